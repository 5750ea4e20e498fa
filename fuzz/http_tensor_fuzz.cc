// Inference requests over HTTP: JSON with binary tensors behind it. The first line of an input is
// the header Inference-Header-Content-Length, or empty; the rest is the body.
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "serve/tensor_codec.h"
#include "tensor/tensor.h"

namespace {

namespace serve = skerry::serve;
namespace tensor = skerry::tensor;

void check(bool holds) {
  if (!holds) std::abort();
}

// True where the runtimes would take each tensor as it is.
bool well_formed(const std::vector<tensor::Tensor>& tensors) {
  for (const tensor::Tensor& tensor : tensors) {
    const tensor::TensorSpec spec{tensor.name, tensor.type, tensor.shape};
    const tensor::TensorView view = tensor.view();
    if (!tensor::match_inputs({&spec, 1}, {&view, 1})) return false;
  }
  return true;
}

// An answer's tensors, read back as a request's, are the ones that went in.
void check_round_trip(const serve::AnswerForm& form, const std::vector<tensor::Tensor>& outputs) {
  const serve::AnswerForm asked = {form.id, form.binary_output, {}};
  auto answer = serve::encode_answer("model", "1", asked, outputs);
  if (!answer) return;
  const size_t key = answer->body.find("\"outputs\":[");
  check(key != std::string::npos);
  answer->body.replace(key, 9, "\"inputs\"");
  if (answer->json_bytes) --*answer->json_bytes;
  const auto again = serve::decode_request(answer->body, answer->json_bytes);
  check(again.has_value());
  check(again->form.id == form.id);
  const std::vector<tensor::Tensor>& tensors = again->inference.inputs;
  check(tensors.size() == outputs.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    check(tensors[i].name == outputs[i].name && tensors[i].type == outputs[i].type);
    check(tensors[i].shape == outputs[i].shape);
    // Any byte but 0 is true, and comes back as 1.
    const bool normalised = tensors[i].type == tensor::DataType::kBool;
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
  const auto request = serve::decode_request(input.substr(line + 1), json_bytes);
  if (!request) return 0;
  const std::vector<tensor::Tensor>& outputs = request->inference.inputs;
  if (well_formed(outputs)) check_round_trip(request->form, outputs);
  return 0;
}
