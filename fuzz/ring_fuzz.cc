// A client that means no good writes anything into the memory that it shares, in steps that the
// input says and from a thread of its own meanwhile; what is read is whole or refused, and what is
// written stays within its slot.
#include <skerry/ring_layout.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "serve/ring_memory.h"

namespace {

using namespace skerry::serve;

// One ring for all inputs, with the mapping of a client, which writes all the time.
class HostileRing {
 public:
  HostileRing() : ring_(*RingMemory::make(2, 2000)) {
    void* mapping = ::mmap(nullptr, ring_->size_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
                           ring_->descriptor(), 0);
    if (mapping == MAP_FAILED) std::abort();
    client_ = static_cast<volatile uint8_t*>(mapping);
    std::thread([this] { scribble(); }).detach();
  }

  void write(size_t at, uint8_t value) { client_[at % ring_->size_bytes()] = value; }
  // As a client asks, so that most inputs come further than the number.
  void ask(size_t slot, const uint8_t* head, size_t size) {
    const size_t at = SKERRY_RING_AT_SLOTS_BEGIN + slot * 4096;
    for (size_t i = 0; i < size; ++i) client_[at + SKERRY_SLOT_AT_AREA + i] = head[i];
    const auto bytes = static_cast<uint32_t>(size);
    for (size_t i = 0; i < 4; ++i) {
      client_[at + SKERRY_SLOT_AT_ASKED_BYTES + i] = static_cast<uint8_t>(bytes >> (8 * i));
    }
    client_[at + SKERRY_SLOT_AT_ASKED] = static_cast<uint8_t>(++number_);
    scribbled_ = at + SKERRY_SLOT_AT_AREA + number_ % (size + 1);
  }
  void serve(size_t slot) {
    const auto head = ring_->take(slot);
    if (!head) return;
    auto request = *head ? decode_ring_request(**head) : skerry::fail(head->error());
    const bool is_read = request && ring_->read_inputs(slot, (*head)->size(), *request);
    if (is_read) {
      auto& inputs = request->inference.inputs;
      for (size_t i = 0; i < inputs.size(); ++i) {
        if (inputs[i].bytes.size() != request->input_bytes[i]) std::abort();
      }
      if (!ring_->write_answer(slot, encode_ring_answer(request->version, inputs), inputs)) {
        write_refusal(slot);
      }
    } else {
      write_refusal(slot);
    }
    ring_->publish(slot);
  }

 private:
  void write_refusal(size_t slot) {
    const RingRefusal refusal{SKERRY_STATUS_INTERNAL, 0, "no"};
    if (!ring_->write_answer(slot, encode_ring_refusal(refusal), {})) std::abort();
  }
  void scribble() {
    for (uint8_t value = 0;; ++value) {
      const size_t at = scribbled_.load(std::memory_order_relaxed);
      if (at != 0) client_[at] = value;
    }
  }

  std::shared_ptr<RingMemory> ring_;
  volatile uint8_t* client_ = nullptr;
  std::atomic<size_t> scribbled_ = 0;
  uint32_t number_ = 0;
};

}  // namespace

// Each step: what to do, then a length, then so many bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const ring = std::make_unique<HostileRing>().release();
  while (size >= 2) {
    const uint8_t what = data[0];
    const size_t length = std::min<size_t>(data[1], size - 2);
    data += 2;
    size -= 2;
    if (what % 4 == 0) {
      for (size_t i = 0; i + 2 < length; i += 3) {
        ring->write(data[i] | data[i + 1] << 8, data[i + 2]);
      }
    } else {
      ring->ask(what % 2, data, length);
    }
    ring->serve(what % 2);
    data += length;
    size -= length;
  }
  return 0;
}
