// Files and programs on this machine, as the commands use them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::cli {

// The program NAME beside this one, or in PATH.
Result<std::string> find_sibling(const std::string& name);
// `path` and its parents; only this user may enter it.
Result<void> make_private_directory(const std::string& path);
Result<std::string> read_local_file(const std::string& path);
// A file that must not exist yet.
Result<void> write_new_file(const std::string& path, std::string_view content, uint32_t mode);
// "./a" → "/current/directory/a"
std::string absolute_path(const std::string& path);

}  // namespace skerry::cli
