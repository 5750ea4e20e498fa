// A file that another process replaces by rename or appends to, as its reader sees it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace skerry::broker {

class FollowedFile {
 public:
  explicit FollowedFile(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }

  struct News {
    bool replaced = false;  // `text` is the whole file, else what came after consume()d bytes
    std::string text;
  };
  enum class State { kSame, kNews, kMissing, kUnreadable };
  // kNews fills `news`. Until consume() says otherwise, what it held is news again once the file
  // changes.
  State look(News& news);
  // The first `bytes` of the last news need not be read again.
  void consume(size_t bytes) { offset_ += static_cast<off_t>(bytes); }

 private:
  struct Stamp {
    ino_t inode = 0;
    off_t size = -1;
    timespec changed{};
    bool operator==(const Stamp& other) const {
      return inode == other.inode && size == other.size && changed.tv_sec == other.changed.tv_sec &&
             changed.tv_nsec == other.changed.tv_nsec;
    }
  };

  const std::string path_;
  Stamp stamp_;
  off_t offset_ = 0;
};

}  // namespace skerry::broker
