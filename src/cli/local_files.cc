// Files and programs on this machine.
#include "cli/local_files.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "io/files.h"

namespace skerry::cli {

Result<std::string> find_sibling(const std::string& name) {
  std::error_code error;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", error);
  std::string candidates = own.parent_path().string();
  if (const char* path = std::getenv("PATH")) candidates += std::string(":") + path;
  for (size_t begin = 0; begin <= candidates.size();) {
    const size_t end = std::min(candidates.find(':', begin), candidates.size());
    std::string program = candidates.substr(begin, end - begin) + "/" + name;
    if (::access(program.c_str(), X_OK) == 0) return program;
    begin = end + 1;
  }
  return fail(Code::kNotFound, "the program " + name + " is neither in " +
                                   own.parent_path().string() +
                                   " nor in PATH: build or install it");
}

Result<void> make_private_directory(const std::string& path) {
  io::RealFiles files;
  return io::make_directories(files, path, 0700);
}

Result<std::string> read_local_file(const std::string& path) {
  io::RealFiles files;
  return io::read_file(files, path, uint64_t{4} << 30);
}

Result<void> write_new_file(const std::string& path, std::string_view content, uint32_t mode) {
  io::RealFiles files;
  SKERRY_TRY(io::make_directories(files, io::parent_of(path), 0755));
  if (io::exists(files, path)) return fail(Code::kAlreadyExists, path + " exists already");
  return io::write_file_atomic(files, path, content, mode);
}

std::string absolute_path(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

}  // namespace skerry::cli
