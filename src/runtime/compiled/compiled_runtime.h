// Models that `skerry model compile` has made.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "io/fd.h"
#include "runtime/memory_file.h"
#include "runtime/runtime.h"

struct SkerryCompiledModel;

namespace skerry::runtime {

Result<std::unique_ptr<Runtime>> open_compiled(const std::string& library_path);

// The object of an artifact, checked and loaded. It stays until this goes.
class CompiledLibrary {
 public:
  static Result<CompiledLibrary> load(const MemoryFile& file);
  CompiledLibrary(CompiledLibrary&& other) noexcept;
  CompiledLibrary& operator=(CompiledLibrary&&) = delete;
  ~CompiledLibrary();

  const SkerryCompiledModel& model() const { return *model_; }
  uint64_t size_bytes() const { return size_bytes_; }
  // Of what it exports besides; null where there is nothing of this name.
  void* symbol(const char* name) const;

 private:
  CompiledLibrary(void* library, io::Fd own, uint64_t size_bytes)
      : own_(std::move(own)), library_(library), size_bytes_(size_bytes) {}

  io::Fd own_;  // what its path names
  void* library_;
  uint64_t size_bytes_;
  const SkerryCompiledModel* model_ = nullptr;
};

// That one run has use for; 1 of models that were made before there could be several.
uint32_t max_threads(const SkerryCompiledModel& model);

// Runs the artifact's check of itself.
Result<void> self_check(const SkerryCompiledModel& model);

}  // namespace skerry::runtime
