// Inference requests and answers of the Open Inference Protocol v2 over HTTP: JSON, and its binary
// extension, in which raw tensors follow the JSON in the body.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/inference_service.h"
#include "tensor/tensor.h"

namespace skerry::serve {

// Bytes of a region of shared memory (shared_memory.h) that stand for a tensor's.
struct SharedRange {
  std::string region;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  bool operator==(const SharedRange&) const = default;
};

// How the caller wants to be answered.
struct AnswerForm {
  struct Output {
    std::optional<bool> binary;         // where absent, binary_output decides
    uint64_t classes = 0;               // the highest scores with their classes instead of all
    std::optional<SharedRange> shared;  // goes there instead of into the answer
  };
  std::string id;
  bool binary_output = false;
  std::vector<Output> outputs;  // of each named output
};

struct DecodedRequest {
  // An input whose bytes are still to be read (shared_tensors.h).
  struct SharedInput {
    size_t input = 0;
    SharedRange range;
  };
  InferenceRequest inference;
  AnswerForm form;
  std::vector<SharedInput> shared_inputs;
};

// `json_bytes`: the header Inference-Header-Content-Length; without it the whole body is JSON.
// Untrusted bytes. kInvalidArgument names the place; kUnsupported where an extension is asked for
// that this server does not have. Needs memory for the tensors beside the body, and no more.
Result<DecodedRequest> decode_request(std::string_view body, std::optional<size_t> json_bytes);

// A body that is the one input's tensor and nothing else (Inference-Header-Content-Length: 0). Its
// shape follows from the size; a BYTES tensor gets the whole body as its one element.
Result<DecodedRequest> decode_raw_request(std::string_view body,
                                          std::span<const tensor::TensorSpec> inputs);

// What was said about output number `output`; null where nothing was.
const AnswerForm::Output* find_output(const AnswerForm& form, size_t output);
// Whether it goes behind the JSON as it is.
bool wants_binary(const AnswerForm& form, size_t output);

struct EncodedAnswer {
  std::string body;
  std::optional<size_t> json_bytes;  // set where binary tensors follow the JSON
};

// Of an output in shared memory only where it is. kInvalidArgument where an output has no JSON form
// (FP16, NaN and infinity, BYTES that are not UTF-8) and was not asked for as binary data.
Result<EncodedAnswer> encode_answer(std::string_view model, std::string_view version,
                                    const AnswerForm& form,
                                    std::span<const tensor::Tensor> outputs);

// Appends `text` as a JSON string with quotes. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace skerry::serve
