// The file of a runtime's library that another program names: its code runs with this process's
// rights, so only those who have them already may be able to write it.
#pragma once

#include <string>

#include "base/error.h"

namespace skerry::runtime {

// The path without links, to be used from here on: absolute, a regular file, and like every folder
// on the way owned by root or this process's user and writable by no others (folders with the
// sticky bit, such as /tmp, pass). kInvalidArgument, kNotFound or kPermissionDenied say what is
// wrong.
Result<std::string> check_library_file(const std::string& path);

}  // namespace skerry::runtime
