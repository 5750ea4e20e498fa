// Inference requests and answers of the Open Inference Protocol v2 over HTTP: JSON, and its binary
// extension, in which raw tensors follow the JSON in the body.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/runtime.h"

namespace skerry::serve {

struct RequestedOutput {
  std::string name;
  std::optional<bool> binary;  // where absent, the request's own choice decides
};

struct InferRequest {
  struct Input {
    std::string name;
    runtime::DataType type = runtime::DataType::kFp32;
    std::vector<int64_t> shape;
    // A binary tensor stays in the body; one from JSON has bytes of its own.
    bool is_in_body = false;
    size_t body_offset = 0;
    size_t body_size = 0;
    std::vector<std::byte> own_bytes;
  };

  std::string body;  // as received
  std::string id;
  std::vector<Input> inputs;
  std::vector<RequestedOutput> outputs;  // empty: all
  bool binary_output = false;

  // Valid until the request changes or moves.
  std::vector<runtime::TensorView> views() const;
};

// Reads requests one after another, keeping the parser's memory. One thread at a time.
class RequestDecoder {
 public:
  RequestDecoder();
  ~RequestDecoder();

  // `json_bytes`: the header Inference-Header-Content-Length; without it the whole body is JSON.
  // Untrusted bytes. kInvalidArgument names the place; kUnsupported where an extension is asked for
  // that this server does not have. Memory use is bounded by a small multiple of the body's size.
  Result<InferRequest> decode(std::string body, std::optional<size_t> json_bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct EncodedAnswer {
  std::string body;
  std::optional<size_t> json_bytes;  // set where binary tensors follow the JSON
};

// The answer to `request`. kInvalidArgument where an output has no JSON form (FP16, NaN and
// infinity, BYTES that are not UTF-8) and was not asked for as binary data.
Result<EncodedAnswer> encode_answer(std::string_view model, std::string_view version,
                                    const InferRequest& request,
                                    std::span<const runtime::Tensor> outputs);

// Appends `text` as a JSON string with quotes. Bytes that are not UTF-8 are the caller's concern.
void append_json_string(std::string& out, std::string_view text);

}  // namespace skerry::serve
