// A folder of a test's own, for everything that needs real files.
#pragma once

#include <string>

#include "base/check.h"
#include "io/temporary_folder.h"

namespace skerry::io {

class ScratchDirectory {
 public:
  ScratchDirectory() : folder_(TemporaryFolder::make("skerry")) {
    SKERRY_CHECK(folder_.has_value(), "a test can make a folder");
  }

  const std::string& path() const { return folder_->path(); }
  std::string path(const std::string& name) const { return folder_->path(name); }

 private:
  Result<TemporaryFolder> folder_;
};

}  // namespace skerry::io
