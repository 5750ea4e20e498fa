// Whatever answers the C client by HTTP: the head, the document, the tensors behind it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "../client/http_answer.h"

namespace {

// Every byte that the answer points to is its own.
uint64_t sum_of(const HttpAnswer& answer) {
  uint64_t sum = std::strlen(answer.version) + std::strlen(answer.message);
  for (size_t i = 0; i < answer.output_count; ++i) {
    const SkerryClientTensor& output = answer.outputs[i];
    sum += std::strlen(output.name) + output.type;
    for (uint32_t j = 0; j < output.rank; ++j) sum += static_cast<uint64_t>(output.shape[j]);
    const auto* bytes = static_cast<const uint8_t*>(output.data);
    for (uint64_t j = 0; j < output.bytes; ++j) sum += bytes[j];
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto answer = std::make_unique<HttpAnswer>();
  static volatile uint64_t kept = 0;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  HttpHead head{};
  const int head_bytes = skerry_http_head(bytes.data(), bytes.size(), &head);
  if (head_bytes <= 0) return 0;
  const size_t left = size - static_cast<size_t>(head_bytes);
  if (head.body_bytes > left) return 0;
  // On the heap and no longer than it may be, so that a read behind it is seen.
  const auto body = std::make_unique<char[]>(head.body_bytes);
  std::memcpy(body.get(), bytes.data() + head_bytes, head.body_bytes);
  if (skerry_http_answer(body.get(), &head, answer.get()) == nullptr) kept = sum_of(*answer);
  std::free(std::exchange(answer->tensors, nullptr));
  return 0;
}
