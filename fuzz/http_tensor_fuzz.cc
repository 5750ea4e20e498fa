// Inference requests over HTTP: JSON with binary tensors behind it. The first line of an input is
// the header Inference-Header-Content-Length, or empty; the rest is the body.
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "runtime/tensor.h"
#include "serve/tensor_codec.h"

namespace {

namespace runtime = skerry::runtime;
namespace serve = skerry::serve;

void check(bool holds) {
  if (!holds) std::abort();
}

// The inputs of `request`, as a model that gives back what it gets would answer.
std::vector<runtime::Tensor> echo(const serve::InferRequest& request) {
  std::vector<runtime::Tensor> outputs;
  for (const runtime::TensorView& view : request.views()) {
    outputs.push_back({std::string(view.name),
                       view.type,
                       {view.shape.begin(), view.shape.end()},
                       {view.bytes.begin(), view.bytes.end()}});
  }
  return outputs;
}

// True where the runtimes would take each tensor as it is.
bool well_formed(const std::vector<runtime::Tensor>& tensors) {
  for (const runtime::Tensor& tensor : tensors) {
    const runtime::TensorSpec spec{tensor.name, tensor.type, tensor.shape};
    const runtime::TensorView view = tensor.view();
    if (!runtime::match_inputs({&spec, 1}, {&view, 1})) return false;
  }
  return true;
}

// An answer's tensors, read back as a request's, are the ones that went in.
void check_round_trip(const serve::InferRequest& request,
                      const std::vector<runtime::Tensor>& outputs) {
  serve::InferRequest asked = {};
  asked.id = request.id;
  asked.binary_output = request.binary_output;
  auto answer = serve::encode_answer("model", "1", asked, outputs);
  if (!answer) return;
  const size_t key = answer->body.find("\"outputs\":[");
  check(key != std::string::npos);
  answer->body.replace(key, 9, "\"inputs\"");
  if (answer->json_bytes) --*answer->json_bytes;
  serve::RequestDecoder decoder;
  const auto again = decoder.decode(answer->body, answer->json_bytes);
  check(again.has_value());
  check(again->id == request.id);
  const std::vector<runtime::Tensor> tensors = echo(*again);
  check(tensors.size() == outputs.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    check(tensors[i].name == outputs[i].name && tensors[i].type == outputs[i].type);
    check(tensors[i].shape == outputs[i].shape);
    // Any byte but 0 is true, and comes back as 1.
    const bool normalised = tensors[i].type == runtime::DataType::kBool;
    check(normalised || tensors[i].bytes == outputs[i].bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  std::optional<size_t> json_bytes;
  if (line > 0) {
    size_t value = 0;
    std::from_chars(input.data(), input.data() + line, value);
    json_bytes = value;
  }
  serve::RequestDecoder decoder;
  const auto request = decoder.decode(std::string(input.substr(line + 1)), json_bytes);
  if (!request) return 0;
  const std::vector<runtime::Tensor> outputs = echo(*request);
  if (well_formed(outputs)) check_round_trip(*request, outputs);
  return 0;
}
