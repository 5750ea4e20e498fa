// Room on the disk for what has to work when there is none left: taking rights and work away.
#pragma once

#include <cstdint>
#include <string>

namespace skerry::fleet {

// A file that only takes up room. The store's writer gives it up before a revocation (or a cancel,
// a delete) that the disk has no room for, and takes it back some seconds later: until then nothing
// else may use what was freed. One thread uses it.
class Reserve {
 public:
  static constexpr uint64_t kBytes = 16 << 20;

  // Takes the room where it can; a full disk is no error.
  explicit Reserve(std::string path);

  // Before work that takes something away: frees the room where the disk has little.
  void relieve(int64_t now_ms);
  // Before other work: true where it may use the disk. Takes the room back once its time has come.
  bool available(int64_t now_ms);

 private:
  bool hold();

  const std::string path_;
  bool held_ = false;
  int64_t next_try_ms_ = 0;
};

}  // namespace skerry::fleet
