// openat() step by step: O_NOFOLLOW guards only the last step of a path.
#include "io/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace skerry::io {
namespace {

constexpr int kCommonFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

Error open_error(const std::string& whole, int error) {
  if (error == ELOOP || error == ENOTDIR) {
    return Error(Code::kInvalidArgument,
                 whole + " leads through a symbolic link or a file; put the file itself there");
  }
  if (error == ENXIO) return Error(Code::kInvalidArgument, whole + " is no regular file");
  return errno_error("open", whole, error);
}

// A zero byte would end the name that is opened before the one that was checked.
bool stays_below(std::string_view part) {
  return !part.empty() && part != "." && part != ".." && part.find('\0') == part.npos;
}

}  // namespace

Result<RegularFile> RegularFile::open(const std::string& directory, std::string_view path,
                                      uint64_t max_bytes) {
  const std::string whole = directory + "/" + std::string(path);
  Fd at(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at) return fail(errno_error("open", whole, errno));
  for (;;) {
    const size_t slash = path.find('/');
    const std::string part(path.substr(0, slash));
    const bool is_last = slash == std::string_view::npos;
    if (!stays_below(part)) {
      return fail(Code::kInvalidArgument, whole + " must name a file below " + directory);
    }
    at = Fd(::openat(at.get(), part.c_str(),
                     kCommonFlags | (is_last ? O_RDONLY : (O_PATH | O_DIRECTORY))));
    if (!at) return fail(open_error(whole, errno));
    if (is_last) break;
    path.remove_prefix(slash + 1);
  }
  RegularFile file(std::move(at), whole);
  struct stat info{};
  if (::fstat(file.fd_.get(), &info) != 0) return fail(errno_error("stat", whole, errno));
  if (!S_ISREG(info.st_mode)) {
    return fail(Code::kInvalidArgument, whole + " is no regular file");
  }
  file.size_bytes_ = static_cast<uint64_t>(info.st_size);
  if (file.size_bytes_ > max_bytes) {
    return fail(Code::kResourceExhausted, whole + " has " + std::to_string(file.size_bytes_) +
                                              " bytes, more than the limit of " +
                                              std::to_string(max_bytes));
  }
  return file;
}

Result<size_t> RegularFile::read(std::span<std::byte> out) {
  size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t got = ::read(fd_.get(), out.data() + filled, out.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(errno_error("read", path_, errno));
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  return filled;
}

}  // namespace skerry::io
