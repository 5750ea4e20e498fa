// The memory that a client on this machine shares with the server, as the server uses it. The
// client may write anything anywhere in it at any time: each field of the client's is copied once,
// what is checked and used is the copy, and where things lie comes from this object alone. The
// memory cannot be cut short: it is the server's, and sealed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/fd.h"
#include "serve/ring_codec.h"

namespace skerry::serve {

// Of the loop's thread but for read_inputs() and write_answer(), which any one thread may call for
// a slot that was taken.
class RingMemory {
 public:
  // `slot_bytes` is rounded up to whole pages. kInvalidArgument where a number is out of range.
  static Result<std::shared_ptr<RingMemory>> make(uint32_t slots, uint64_t slot_bytes);
  // Of the memory that make() would need; 0 where it would refuse.
  static uint64_t size_of(uint32_t slots, uint64_t slot_bytes);
  ~RingMemory();
  RingMemory(const RingMemory&) = delete;
  RingMemory& operator=(const RingMemory&) = delete;

  int descriptor() const { return object_.get(); }  // for the client
  size_t slots() const { return own_.size(); }
  uint64_t size_bytes() const { return size_bytes_; }

  // The head of a request that has come into `slot` since the last answer there. Nothing where none
  // has; kInvalidArgument where it cannot be one. In both other cases the slot is taken until
  // publish().
  std::optional<Result<std::string>> take(size_t slot);
  // Copies the tensors behind the head. kInvalidArgument where they do not fit into the slot, or
  // are not what the head says.
  Result<void> read_inputs(size_t slot, size_t head_bytes, RingRequest& request) const;
  // kResourceExhausted where they do not fit: then nothing was written.
  Result<void> write_answer(size_t slot, std::string_view head,
                            std::span<const tensor::Tensor> outputs);
  // What was written is the client's from here on.
  void publish(size_t slot);

  // Whether the client wants a byte on its socket. After publish().
  bool client_sleeps() const;
  // From here on the client sends a byte for a request; look at the slots once more then.
  void set_sleeping(bool sleeps);

 private:
  struct Own {
    uint32_t taken = 0;       // number of the last request
    uint32_t head_bytes = 0;  // of the answer that was written
    bool is_busy = false;
  };
  RingMemory(io::Fd object, std::byte* memory, uint64_t size_bytes, uint32_t slots,
             uint64_t area_bytes);
  std::byte* slot_at(size_t slot) const { return memory_ + first_ + slot * stride_; }
  std::byte* area_of(size_t slot) const;

  io::Fd object_;
  std::byte* memory_;
  uint64_t size_bytes_;
  uint64_t area_bytes_;
  uint64_t first_, stride_;
  std::vector<Own> own_;
};

}  // namespace skerry::serve
