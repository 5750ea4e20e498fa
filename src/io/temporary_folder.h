// A new folder below the system's temporary one that nobody else can enter; gone with this, and all
// that is in it.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::io {

class TemporaryFolder {
 public:
  // PREFIX-XXXXXX; its path is without links.
  static Result<TemporaryFolder> make(std::string_view prefix);
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();

  const std::string& path() const { return path_; }
  std::string path(std::string_view name) const;

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace skerry::io
