// One copy of each field, then only the copy.
#include "serve/ring_memory.h"

#include <fmt/format.h>
#include <skerry/ring_layout.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace skerry::serve {
namespace {

constexpr uint64_t kPage = SKERRY_RING_PAGE_BYTES;
constexpr uint64_t kMaxAreaBytes = uint64_t{1} << 31;

// Every area holds any refusal.
static_assert(kPage - SKERRY_SLOT_AT_AREA > 3072);

uint64_t aligned(uint64_t at, uint64_t to) {
  return (at + to - 1) / to * to;
}

// A word that the other side reads or writes at the same time.
std::atomic_ref<uint32_t> word(std::byte* at) {
  return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(at));
}

// What is computed from a copy must not be read from its origin again, as a compiler may do that
// takes memory for its own.
void forget_origin() {
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

std::unexpected<Error> wrong_ring(std::string message) {
  return fail(Code::kInvalidArgument, std::move(message));
}

}  // namespace

uint64_t RingMemory::size_of(uint32_t slots, uint64_t slot_bytes) {
  if (slots == 0 || slots > SKERRY_RING_MAX_SLOTS || slot_bytes == 0 ||
      slot_bytes > kMaxAreaBytes) {
    return 0;
  }
  return SKERRY_RING_AT_SLOTS_BEGIN + slots * aligned(slot_bytes + SKERRY_SLOT_AT_AREA, kPage);
}

Result<std::shared_ptr<RingMemory>> RingMemory::make(uint32_t slots, uint64_t slot_bytes) {
  const uint64_t size = size_of(slots, slot_bytes);
  if (size == 0) {
    return wrong_ring(fmt::format("a ring has 1 to {} slots of at most {} bytes each",
                                  static_cast<int>(SKERRY_RING_MAX_SLOTS), kMaxAreaBytes));
  }
  const uint64_t area = aligned(slot_bytes + SKERRY_SLOT_AT_AREA, kPage) - SKERRY_SLOT_AT_AREA;
  io::Fd object(::memfd_create("skerry-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!object || ::ftruncate(object.get(), static_cast<off_t>(size)) != 0 ||
      ::fcntl(object.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return fail(errno_error("shared memory", "of a ring", errno));
  }
  void* memory =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, object.get(), 0);
  if (memory == MAP_FAILED) return fail(errno_error("map", "a ring's memory", errno));
  return std::shared_ptr<RingMemory>(
      new RingMemory(std::move(object), static_cast<std::byte*>(memory), size, slots, area));
}

RingMemory::RingMemory(io::Fd object, std::byte* memory, uint64_t size_bytes, uint32_t slots,
                       uint64_t area_bytes)
    : object_(std::move(object)),
      memory_(memory),
      size_bytes_(size_bytes),
      area_bytes_(area_bytes),
      first_(SKERRY_RING_AT_SLOTS_BEGIN),
      stride_(area_bytes + SKERRY_SLOT_AT_AREA),
      own_(slots) {
  std::memcpy(memory_ + SKERRY_RING_AT_MAGIC, SKERRY_RING_MAGIC, sizeof SKERRY_RING_MAGIC - 1);
  word(memory_ + SKERRY_RING_AT_VERSION) = SKERRY_RING_VERSION;
  word(memory_ + SKERRY_RING_AT_SLOTS) = slots;
  word(memory_ + SKERRY_RING_AT_SLOT_BYTES) = static_cast<uint32_t>(area_bytes);
}

RingMemory::~RingMemory() {
  ::munmap(memory_, size_bytes_);
}

std::byte* RingMemory::area_of(size_t slot) const {
  return slot_at(slot) + SKERRY_SLOT_AT_AREA;
}

std::optional<Result<std::string>> RingMemory::take(size_t slot) {
  Own& own = own_[slot];
  if (own.is_busy) return std::nullopt;
  const uint32_t asked = word(slot_at(slot) + SKERRY_SLOT_AT_ASKED).load(std::memory_order_acquire);
  if (asked == own.taken) return std::nullopt;
  own.taken = asked;
  own.is_busy = true;
  const uint32_t head_bytes =
      word(slot_at(slot) + SKERRY_SLOT_AT_ASKED_BYTES).load(std::memory_order_relaxed);
  if (head_bytes > std::min<uint64_t>(area_bytes_, SKERRY_RING_MAX_HEAD_BYTES)) {
    return wrong_ring(fmt::format("a request's head of {} bytes is too long", head_bytes));
  }
  std::string head(reinterpret_cast<const char*>(area_of(slot)), head_bytes);
  forget_origin();
  return head;
}

Result<void> RingMemory::read_inputs(size_t slot, size_t head_bytes, RingRequest& request) const {
  const std::byte* area = area_of(slot);
  uint64_t at = head_bytes;
  for (size_t i = 0; i < request.inference.inputs.size(); ++i) {
    at = aligned(at, SKERRY_RING_ALIGNMENT);
    const uint64_t bytes = request.input_bytes[i];
    if (at > area_bytes_ || bytes > area_bytes_ - at) {
      return wrong_ring(fmt::format("input '{}' of {} bytes lies beyond the slot's {}",
                                    request.inference.inputs[i].name, bytes, area_bytes_));
    }
    request.inference.inputs[i].bytes.assign(area + at, area + at + bytes);
    at += bytes;
  }
  forget_origin();
  for (const tensor::Tensor& input : request.inference.inputs) {
    if (input.type != tensor::DataType::kBytes) continue;
    SKERRY_ASSIGN(const size_t elements, tensor::element_count(input.shape));
    SKERRY_TRY(tensor::split_bytes(input.bytes, elements));
  }
  return {};
}

Result<void> RingMemory::write_answer(size_t slot, std::string_view head,
                                      std::span<const tensor::Tensor> outputs) {
  uint64_t end = head.size();
  for (const tensor::Tensor& output : outputs) {
    end = aligned(end, SKERRY_RING_ALIGNMENT) + output.bytes.size();
  }
  if (end > area_bytes_) {
    return fail(Code::kResourceExhausted,
                fmt::format("the answer needs {} bytes, and the ring's slots have {}: open it with "
                            "larger ones",
                            end, area_bytes_));
  }
  std::byte* area = area_of(slot);
  std::memcpy(area, head.data(), head.size());
  uint64_t at = head.size();
  for (const tensor::Tensor& output : outputs) {
    at = aligned(at, SKERRY_RING_ALIGNMENT);
    if (!output.bytes.empty()) std::memcpy(area + at, output.bytes.data(), output.bytes.size());
    at += output.bytes.size();
  }
  own_[slot].head_bytes = static_cast<uint32_t>(head.size());
  return {};
}

void RingMemory::publish(size_t slot) {
  Own& own = own_[slot];
  own.is_busy = false;
  word(slot_at(slot) + SKERRY_SLOT_AT_ANSWER_BYTES)
      .store(own.head_bytes, std::memory_order_relaxed);
  word(slot_at(slot) + SKERRY_SLOT_AT_ANSWERED).store(own.taken, std::memory_order_release);
}

// Each side says that it sleeps, then looks once more; the other one writes, then looks whether it
// sleeps. With all four in one order at least one of them sees the other.
bool RingMemory::client_sleeps() const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return word(memory_ + SKERRY_RING_AT_CLIENT_SLEEPS).load(std::memory_order_relaxed) != 0;
}

void RingMemory::set_sleeping(bool sleeps) {
  word(memory_ + SKERRY_RING_AT_SERVER_SLEEPS).store(sleeps ? 1 : 0, std::memory_order_relaxed);
  if (sleeps) std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace skerry::serve
