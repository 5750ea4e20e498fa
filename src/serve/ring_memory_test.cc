// The memory that a client shares: what it writes is copied once and believed nowhere, and heads of
// every kind that are wrong.
#include "serve/ring_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <skerry/ring_layout.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>
#include <cstring>
#include <thread>

namespace skerry::serve {
namespace {

using testing::HasSubstr;

// A client of the memory with a mapping of its own, as another process has.
class ClientMemory {
 public:
  explicit ClientMemory(const RingMemory& ring) : size_(ring.size_bytes()) {
    memory_ = static_cast<std::byte*>(
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, ring.descriptor(), 0));
  }
  ~ClientMemory() { ::munmap(memory_, size_); }
  ClientMemory(const ClientMemory&) = delete;
  ClientMemory& operator=(const ClientMemory&) = delete;

  std::atomic_ref<uint32_t> word(size_t at) const {
    return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(memory_ + at));
  }
  size_t slot(size_t index) const {
    return SKERRY_RING_AT_SLOTS_BEGIN +
           index * (word(SKERRY_RING_AT_SLOT_BYTES) + SKERRY_SLOT_AT_AREA);
  }
  std::byte* area(size_t index) const { return memory_ + slot(index) + SKERRY_SLOT_AT_AREA; }

  void ask(size_t index, std::string_view head, uint32_t number, std::string_view tensors = "") {
    std::memcpy(area(index), head.data(), head.size());
    const size_t at = (head.size() + 63) / 64 * 64;
    std::memcpy(area(index) + at, tensors.data(), tensors.size());
    word(slot(index) + SKERRY_SLOT_AT_ASKED_BYTES) = static_cast<uint32_t>(head.size());
    word(slot(index) + SKERRY_SLOT_AT_ASKED) = number;
  }

 private:
  std::byte* memory_;
  size_t size_;
};

template <class Number>
std::string field(Number value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string head_of(uint16_t inputs, uint16_t outputs, const std::string& model = "m") {
  return field(uint32_t{SKERRY_RING_INFER}) + field(uint32_t{3}) + field(uint64_t{1500}) +
         field(inputs) + field(outputs) + field(static_cast<uint16_t>(model.size())) +
         field(uint16_t{2}) + model + "v1";
}

std::string input_of(const std::string& name, tensor::DataType type, uint64_t bytes,
                     const std::vector<int64_t>& shape) {
  std::string text = field(static_cast<uint16_t>(type)) +
                     field(static_cast<uint16_t>(shape.size())) +
                     field(static_cast<uint32_t>(name.size())) + field(bytes);
  for (const int64_t each : shape) text += field(each);
  return text + name;
}

const std::string kOneInput =
    head_of(1, 1) + input_of("x", tensor::DataType::kFp32, 8, {1, 2}) + field(uint16_t{1}) + "y";

std::shared_ptr<RingMemory> make_ring(uint32_t slots = 2) {
  auto ring = RingMemory::make(slots, 4000);
  EXPECT_TRUE(ring) << ring.error().message();
  return *ring;
}

TEST(RingCodec, ReadsAllFieldsOfARequest) {
  const auto request = decode_ring_request(kOneInput);
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ(request->model, "m");
  EXPECT_EQ(request->version, "v1");
  EXPECT_EQ(request->inference.priority, 3u);
  EXPECT_EQ(request->inference.timeout_ms, 2);  // is not over before 1.5
  EXPECT_EQ(request->inference.outputs, std::vector<std::string>{"y"});
  ASSERT_EQ(request->inference.inputs.size(), 1u);
  EXPECT_EQ(request->inference.inputs[0].name, "x");
  EXPECT_EQ(request->inference.inputs[0].type, tensor::DataType::kFp32);
  EXPECT_EQ(request->inference.inputs[0].shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(request->input_bytes, std::vector<uint64_t>{8});
}

TEST(RingCodec, RefusesEveryHeadThatIsCutOrLongerOrWrong) {
  for (size_t size = 0; size < kOneInput.size(); ++size) {
    EXPECT_FALSE(decode_ring_request(kOneInput.substr(0, size))) << size;
  }
  EXPECT_FALSE(decode_ring_request(kOneInput + '\0'));
  const auto reason = [](const std::string& head) {
    const auto request = decode_ring_request(head);
    return request ? "" : request.error().message();
  };
  using tensor::DataType;
  EXPECT_THAT(reason(head_of(1, 0) + input_of("x", DataType::kBf16, 4, {2})),
              HasSubstr("element type 13"));
  EXPECT_THAT(reason(head_of(1, 0) + input_of("x", DataType::kFp32, 4, {2})), HasSubstr("has 8"));
  EXPECT_THAT(reason(head_of(1, 0) + input_of("x", DataType::kFp32, 0, {-1})), HasSubstr("-1"));
  EXPECT_THAT(
      reason(head_of(1, 0) + input_of("x", DataType::kInt8, 0, {1 << 30, 1 << 30, 1 << 30})),
      HasSubstr("too many elements"));
  EXPECT_THAT(
      reason(head_of(1, 0) + input_of("x", DataType::kInt8, 1, std::vector<int64_t>(33, 1))),
      HasSubstr("33 dimensions"));
  EXPECT_THAT(reason(head_of(257, 0)), HasSubstr("more tensors"));
  std::string other = kOneInput;
  other[0] = 2;
  EXPECT_THAT(reason(other), HasSubstr("kind 2"));
}

TEST(RingMemory, IsSealedAndSaysHowItIsLaidOut) {
  const auto ring = make_ring(3);
  EXPECT_EQ(ring->size_bytes(), RingMemory::size_of(3, 4000));
  EXPECT_EQ(ring->size_bytes(), 4096u + 3 * 8192);
  EXPECT_NE(::ftruncate(ring->descriptor(), 0), 0);
  EXPECT_NE(::ftruncate(ring->descriptor(), 1 << 20), 0);
  const ClientMemory client(*ring);
  EXPECT_EQ(client.word(SKERRY_RING_AT_VERSION), SKERRY_RING_VERSION);
  EXPECT_EQ(client.word(SKERRY_RING_AT_SLOTS), 3u);
  EXPECT_EQ(client.word(SKERRY_RING_AT_SLOT_BYTES), 8192u - SKERRY_SLOT_AT_AREA);
  for (const auto& [slots, bytes] :
       {std::pair<uint32_t, uint64_t>{0, 100}, {65, 100}, {1, 0}, {1, uint64_t{1} << 32}}) {
    EXPECT_EQ(RingMemory::size_of(slots, bytes), 0u);
    EXPECT_FALSE(RingMemory::make(slots, bytes));
  }
}

TEST(RingMemory, ARequestIsTakenOnceAndAnswered) {
  const auto ring = make_ring();
  ClientMemory client(*ring);
  EXPECT_FALSE(ring->take(1));
  client.ask(1, kOneInput, 7, "abcdefgh");
  EXPECT_FALSE(ring->take(0));
  const auto head = ring->take(1);
  ASSERT_TRUE(head && *head);
  EXPECT_EQ(**head, kOneInput);
  auto request = decode_ring_request(**head);
  ASSERT_TRUE(ring->read_inputs(1, kOneInput.size(), *request));
  EXPECT_EQ(std::memcmp(request->inference.inputs[0].bytes.data(), "abcdefgh", 8), 0);

  client.word(client.slot(1) + SKERRY_SLOT_AT_ASKED) = 8;  // before there is an answer
  EXPECT_FALSE(ring->take(1));
  tensor::Tensor output{"y", tensor::DataType::kInt8, {3}, tensor::Bytes(3, std::byte{5})};
  const std::string answer = encode_ring_answer("v1", {&output, 1});
  ASSERT_TRUE(ring->write_answer(1, answer, {&output, 1}));
  EXPECT_EQ(client.word(client.slot(1) + SKERRY_SLOT_AT_ANSWERED), 0u);
  ring->publish(1);
  EXPECT_EQ(client.word(client.slot(1) + SKERRY_SLOT_AT_ANSWERED), 7u);
  EXPECT_EQ(client.word(client.slot(1) + SKERRY_SLOT_AT_ANSWER_BYTES), answer.size());
  EXPECT_EQ(std::memcmp(client.area(1), answer.data(), answer.size()), 0);
  EXPECT_EQ(std::memcmp(client.area(1) + 64, "\5\5\5", 3), 0);
  EXPECT_TRUE(ring->take(1));
}

TEST(RingMemory, NothingReachesBeyondTheSlot) {
  const auto ring = make_ring(1);
  ClientMemory client(*ring);
  const uint32_t area = client.word(SKERRY_RING_AT_SLOT_BYTES);
  client.ask(0, kOneInput, 1);
  for (const uint32_t bytes : {area + 1, uint32_t{SKERRY_RING_MAX_HEAD_BYTES} + 1, UINT32_MAX}) {
    client.word(client.slot(0) + SKERRY_SLOT_AT_ASKED_BYTES) = bytes;
    const auto head = ring->take(0);
    ASSERT_TRUE(head);
    EXPECT_FALSE(*head);
    ring->publish(0);
    client.word(client.slot(0) + SKERRY_SLOT_AT_ASKED) += 1;
  }
  for (const uint64_t bytes : {uint64_t{area}, uint64_t{area} - 63, UINT64_MAX, UINT64_MAX - 127}) {
    RingRequest request;
    request.inference.inputs.resize(1);
    request.inference.inputs[0].type = tensor::DataType::kInt8;
    request.input_bytes = {bytes};
    EXPECT_FALSE(ring->read_inputs(0, 1, request)) << bytes;
  }
  RingRequest full;
  full.inference.inputs.resize(2);
  for (auto& input : full.inference.inputs) input.type = tensor::DataType::kInt8;
  full.input_bytes = {uint64_t{area} - 64, 0};
  EXPECT_TRUE(ring->read_inputs(0, 1, full));
  EXPECT_EQ(full.inference.inputs[0].bytes.size(), area - 64);
  full.input_bytes = {uint64_t{area} - 64, 1};
  EXPECT_FALSE(ring->read_inputs(0, 1, full));

  tensor::Tensor output{"y", tensor::DataType::kInt8, {area}, tensor::Bytes(area)};
  const auto written = ring->write_answer(0, "head", {&output, 1});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kResourceExhausted);
  const RingRefusal longest{SKERRY_STATUS_INTERNAL, 0, std::string(100'000, 'x')};
  EXPECT_TRUE(ring->write_answer(0, encode_ring_refusal(longest), {}));
}

TEST(RingMemory, TextIsCheckedAfterTheCopy) {
  const auto ring = make_ring(1);
  const ClientMemory client(*ring);
  RingRequest request;
  request.inference.inputs = {{"x", tensor::DataType::kBytes, {2}, {}}};
  request.input_bytes = {9};
  std::memcpy(client.area(0) + 64, "\1\0\0\0a\0\0\0\0", 9);
  EXPECT_TRUE(ring->read_inputs(0, 1, request));
  std::memcpy(client.area(0) + 64, "\6\0\0\0a\0\0\0\0", 9);
  EXPECT_FALSE(ring->read_inputs(0, 1, request));
}

// A client that writes while its request is read: whatever is seen, lengths that were checked are
// those that are used. The length flips between one that is right and one that reaches far beyond
// the memory, which a second look at it would use sooner or later.
TEST(RingMemory, AClientThatWritesMeanwhileChangesNothingThatWasChecked) {
  const auto ring = make_ring(1);
  ClientMemory client(*ring);
  const size_t slot = client.slot(0);
  client.ask(0, kOneInput, 1, "abcdefgh");
  std::atomic<bool> ends = false;
  std::thread scribbler([&] {
    const auto length = client.word(slot + SKERRY_SLOT_AT_ASKED_BYTES);
    auto* const area = reinterpret_cast<volatile unsigned char*>(client.area(0));
    for (uint32_t i = 0; !ends; ++i) {
      length.store(UINT32_MAX, std::memory_order_relaxed);
      const size_t at = i % kOneInput.size();
      area[at] = static_cast<unsigned char>(i >> 4);
      area[at] = static_cast<unsigned char>(kOneInput[at]);
      length.store(static_cast<uint32_t>(kOneInput.size()), std::memory_order_relaxed);
    }
  });
  size_t read = 0;
  size_t refused = 0;
  for (uint32_t i = 0; (read < 2000 || refused < 2000) && i < 20'000'000; ++i) {
    if (i % 1024 == 0) std::this_thread::yield();
    const auto head = ring->take(0);
    if (!head) {
      client.word(slot + SKERRY_SLOT_AT_ASKED) += 1;
      continue;
    }
    auto request = *head ? decode_ring_request(**head) : fail(head->error());
    const bool is_read = request && ring->read_inputs(0, (*head)->size(), *request);
    ++(is_read ? read : refused);
    ring->publish(0);
    client.word(slot + SKERRY_SLOT_AT_ASKED) += 1;
  }
  ends = true;
  scribbler.join();
  EXPECT_GT(read, 0u);
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace skerry::serve
