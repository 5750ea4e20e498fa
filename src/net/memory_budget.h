// Inside of net: how much memory the requests of a server may hold, together and of one source.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

namespace skerry::net {

class MemoryBudget {
 public:
  MemoryBudget(uint64_t bytes, uint64_t bytes_per_source)
      : bytes_(bytes), bytes_per_source_(bytes_per_source) {}

  // What one connection holds; given back with it. The budget has to outlive it.
  class Share {
   public:
    Share(MemoryBudget& budget, std::string source) : budget_(budget), source_(std::move(source)) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() { hold(0); }
    // Holds `bytes` instead of what it held; false, and as before, where that is too much.
    bool hold(uint64_t bytes) {
      if (bytes != held_ && !budget_.change(source_, held_, bytes)) return false;
      held_ = bytes;
      return true;
    }

   private:
    MemoryBudget& budget_;
    std::string source_;
    uint64_t held_ = 0;
  };

 private:
  bool change(const std::string& source, uint64_t from, uint64_t to) {
    uint64_t& of_source = by_source_[source];
    const bool fits = held_ - from + to <= bytes_ && of_source - from + to <= bytes_per_source_;
    if (to <= from || fits) {
      held_ = held_ - from + to;
      of_source = of_source - from + to;
    }
    if (of_source == 0) by_source_.erase(source);
    return to <= from || fits;
  }

  const uint64_t bytes_;
  const uint64_t bytes_per_source_;
  uint64_t held_ = 0;
  std::unordered_map<std::string, uint64_t> by_source_;
};

}  // namespace skerry::net
