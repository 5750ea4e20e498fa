// Heads of requests and answers in the memory that a local client shares (docs/data/ring.md), read
// from a copy that the client cannot change.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "serve/inference_service.h"
#include "tensor/tensor.h"

namespace skerry::serve {

struct RingRequest {
  std::string model;
  std::string version;
  InferenceRequest inference;         // the inputs' bytes are still to be read
  std::vector<uint64_t> input_bytes;  // of each input, as the client says
};

// Untrusted bytes: kInvalidArgument says what is wrong, kUnsupported where the kind is not known.
Result<RingRequest> decode_ring_request(std::string_view head);

// Why there are no outputs. Shared codes, and the ones that only access rules give.
struct RingRefusal {
  uint32_t status = 0;  // SKERRY_STATUS_…
  uint32_t retry_after_s = 0;
  std::string message;
};
uint32_t ring_status(Code code);

std::string encode_ring_answer(std::string_view version, std::span<const tensor::Tensor> outputs);
std::string encode_ring_refusal(const RingRefusal& refusal);

}  // namespace skerry::serve
