// Reading what is new in a file: by its inode, size and time of change.
#include "followed_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skerry::broker {

FollowedFile::State FollowedFile::look(News& news) {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return State::kMissing;
  struct Close {
    int fd;
    ~Close() { ::close(fd); }
  } const close{fd};
  struct stat info{};
  if (::fstat(fd, &info) != 0) return State::kUnreadable;
  const Stamp stamp{info.st_ino, info.st_size, info.st_mtim};
  if (stamp == stamp_) return State::kSame;
  news.replaced = stamp.inode != stamp_.inode || stamp.size < offset_;
  if (news.replaced) offset_ = 0;
  news.text.assign(static_cast<size_t>(stamp.size - offset_), '\0');
  size_t got = 0;
  while (got < news.text.size()) {
    const ssize_t n = ::pread(fd, news.text.data() + got, news.text.size() - got,
                              offset_ + static_cast<off_t>(got));
    if (n <= 0) return State::kUnreadable;
    got += static_cast<size_t>(n);
  }
  stamp_ = stamp;
  return State::kNews;
}

}  // namespace skerry::broker
