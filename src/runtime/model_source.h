// The files of a model package as a runtime gets to see them: each is read once, from front to
// back, and hashed on the way, so that what was verified is what is loaded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/sha256.h"
#include "io/regular_file.h"
#include "tensor/tensor.h"

namespace skerry::runtime {

class ModelFile {
 public:
  ModelFile(io::RegularFile file, std::string path, std::string sha256)
      : file_(std::move(file)), path_(std::move(path)), sha256_(std::move(sha256)) {}

  uint64_t size_bytes() const { return file_.size_bytes(); }
  const std::string& path() const { return path_; }  // whole, for messages
  // The next bytes, all of `out`; kCorrupt where the file ends before.
  Result<void> read(std::span<std::byte> out);
  // Reads what is left. kCorrupt unless the bytes of the whole file are those that the package
  // promises. Nothing may be run before this has succeeded.
  Result<void> verify();

 private:
  io::RegularFile file_;
  std::string path_;
  std::string sha256_;  // "" in tests: not verified
  Sha256 hash_;
  uint64_t read_bytes_ = 0;
};

class ModelSource {
 public:
  // `digests`: SHA-256 in hex of every file by its path below `directory`.
  ModelSource(std::string directory, std::string main_file,
              std::map<std::string, std::string, std::less<>> digests)
      : directory_(std::move(directory)),
        main_file_(std::move(main_file)),
        digests_(std::move(digests)) {}

  const std::string& main_file() const { return main_file_; }
  // The same files with another one as the main one: a model inside of a pipeline's package.
  ModelSource with_main(std::string file) const { return {directory_, std::move(file), digests_}; }
  bool has(std::string_view path) const { return digests_.contains(path); }
  auto paths() const { return std::views::keys(digests_); }  // of all files, sorted
  // kInvalidArgument where the package has no such file or it is no regular one,
  // kResourceExhausted above `max_bytes`.
  Result<ModelFile> open(std::string_view path, uint64_t max_bytes) const;
  // A whole file, verified.
  Result<tensor::Bytes> read(std::string_view path, uint64_t max_bytes) const;

 private:
  std::string directory_;
  std::string main_file_;
  std::map<std::string, std::string, std::less<>> digests_;
};

}  // namespace skerry::runtime
