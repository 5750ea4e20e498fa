// The runtimes there are, by the name that model.json uses, and those that a program has.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/runtime.h"

namespace skerry::runtime {

struct RuntimeKind {
  std::string_view name;
  std::string_view component;  // that brings the vendor's shared library; "" where none is needed
  std::string_view formats;    // of its model files, for people: ".onnx"
  Result<std::unique_ptr<Runtime>> (*open)(const std::string& library_path) = nullptr;
};

std::span<const RuntimeKind> runtime_kinds();

// kInvalidArgument lists the names there are, or says that a library's path is missing or too much.
Result<std::unique_ptr<Runtime>> open_runtime(std::string_view name,
                                              const std::string& library_path);

// A runtime that a program has. Its library is loaded when its first model needs it. Thread-safe.
class AvailableRuntime {
 public:
  struct Origin {
    std::string name;
    std::string library;      // "" where none is needed
    std::string component;    // that brings it; "" where unknown
    bool registered = false;  // while the program runs, by that component
  };

  explicit AvailableRuntime(Origin origin) : origin_(std::move(origin)) {}
  explicit AvailableRuntime(std::unique_ptr<Runtime> runtime);

  const Origin& origin() const { return origin_; }
  // Opens it where it is not open yet; what failed is tried again the next time. The runtime stays
  // as long as this.
  Result<Runtime*> open() const;
  // The vendor's; "" until it is open or its version was noted. Waits for no library.
  std::string version() const;
  // What the library takes in memory before its first model, where somebody has measured it; or 0.
  uint64_t memory_bytes() const { return memory_bytes_; }
  void note(std::string version, uint64_t memory_bytes) const;

 private:
  Origin origin_;
  mutable std::mutex open_mutex_;  // held while a library is loaded, which may take for ever
  mutable std::unique_ptr<Runtime> runtime_;
  mutable std::mutex mutex_;
  mutable std::string version_;
  mutable std::atomic<uint64_t> memory_bytes_ = 0;
};

using AvailableRuntimePtr = std::shared_ptr<const AvailableRuntime>;

// The runtimes of a program. Thread-safe.
class Runtimes {
 public:
  // kInvalidArgument as open_runtime() has it, kAlreadyExists for a name that is there.
  Result<void> add(std::string_view name, const std::string& library_path);
  // One that is open, under its own name.
  void add(std::unique_ptr<Runtime> runtime);
  // One that a component brings while the program runs; replaces the one that was registered before
  // for models that are loaded from here on. kAlreadyExists for a name that add() has given.
  Result<AvailableRuntimePtr> put(AvailableRuntime::Origin origin);
  // What is loaded stays. kNotFound for a name that put() has not given.
  Result<void> remove(std::string_view name);

  // kUnsupported says what to deploy or which option is missing; `component` is what the asker
  // knows to bring the runtime, or "". A registered library is looked at again: kPermissionDenied
  // where others may write it by now.
  Result<AvailableRuntimePtr> find(std::string_view name, std::string_view component = "") const;
  std::vector<AvailableRuntimePtr> all() const;  // by name

 private:
  mutable std::mutex mutex_;
  std::map<std::string, AvailableRuntimePtr, std::less<>> runtimes_;
};

}  // namespace skerry::runtime
