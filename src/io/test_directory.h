// A folder of a test's own, for everything that needs real files.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "base/check.h"

namespace skerry::io {

// Below the temporary folder, its path without links; removed with its content.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    path_ = std::filesystem::canonical(std::filesystem::temp_directory_path()) / "skerry-XXXXXX";
    SKERRY_CHECK(::mkdtemp(path_.data()) != nullptr, "a test can make a folder");
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace skerry::io
