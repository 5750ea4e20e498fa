// mkdtemp(3) and its end.
#include "io/temporary_folder.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

namespace skerry::io {

namespace fs = std::filesystem;

Result<TemporaryFolder> TemporaryFolder::make(std::string_view prefix) {
  std::error_code error;
  const fs::path base = fs::canonical(fs::temp_directory_path(error), error);
  std::string path = (base / prefix).string() + "-XXXXXX";
  if (!error && ::mkdtemp(path.data()) != nullptr) return TemporaryFolder(std::move(path));
  return fail(errno_error("make the folder", path, error ? error.value() : errno));
}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept
    : path_(std::exchange(other.path_, "")) {}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

std::string TemporaryFolder::path(std::string_view name) const {
  return path_ + "/" + std::string(name);
}

}  // namespace skerry::io
