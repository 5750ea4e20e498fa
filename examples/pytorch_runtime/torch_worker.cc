// What skerry-torch-worker loads for TorchScript: PyTorch's library, and a socket to the plugin.
#include <ATen/Parallel.h>
#include <skerry/runtime_plugin.h>
#include <torch/script.h>

#include <array>
#include <sstream>

#include "wire.h"
#include "worker.h"

namespace {

struct TypePair {
  uint32_t ours;
  torch::ScalarType theirs;
};
constexpr std::array<TypePair, 8> kTypes = {{{SKERRY_BOOL, torch::kBool},
                                             {SKERRY_INT8, torch::kInt8},
                                             {SKERRY_INT16, torch::kInt16},
                                             {SKERRY_INT32, torch::kInt32},
                                             {SKERRY_INT64, torch::kInt64},
                                             {SKERRY_UINT8, torch::kUInt8},
                                             {SKERRY_FP32, torch::kFloat32},
                                             {SKERRY_FP64, torch::kFloat64}}};

// `wanted`: what forward() declares; a plain number is a tensor without dimensions to callers.
c10::IValue input(const wire::Tensor& tensor, const c10::TypePtr& wanted) {
  for (const TypePair& pair : kTypes) {
    if (pair.ours != tensor.type) continue;
    auto* data = const_cast<char*>(tensor.bytes.data());
    const torch::Tensor value =
        torch::from_blob(data, tensor.shape, torch::dtype(pair.theirs)).clone();
    if (wanted->kind() == c10::TypeKind::IntType) return value.item<int64_t>();
    if (wanted->kind() == c10::TypeKind::FloatType) return value.item<double>();
    if (wanted->kind() == c10::TypeKind::BoolType) return value.item<bool>();
    return value;
  }
  throw std::invalid_argument("an input has an element type that TorchScript has not");
}

// A tensor, or a tuple or list of them.
void flatten(const c10::IValue& value, std::vector<torch::Tensor>& out) {
  if (value.isTensor()) {
    out.push_back(value.toTensor().to(torch::kCPU).contiguous());
  } else if (value.isTuple()) {
    for (const c10::IValue& each : value.toTupleRef().elements()) flatten(each, out);
  } else if (value.isTensorList()) {
    for (const torch::Tensor& each : value.toTensorVector()) flatten(each, out);
  } else {
    throw std::invalid_argument("forward() returns " + value.tagKind() +
                                ", not tensors or a tuple of them");
  }
}

std::string run_module(torch::jit::Module& module, wire::Reader& in) {
  const auto arguments = module.get_method("forward").function().getSchema().arguments();
  const auto count = in.number<uint32_t>();
  if (count + 1 > arguments.size()) {
    return worker::refusal(SKERRY_INVALID_ARGUMENT, "forward() takes " +
                                                        std::to_string(arguments.size() - 1) +
                                                        " inputs, not " + std::to_string(count));
  }
  std::vector<c10::IValue> inputs;
  for (uint32_t i = 0; i < count; ++i) {
    wire::Tensor tensor;
    if (!wire::read(in, tensor)) return worker::refusal(SKERRY_INTERNAL, "a request that is cut");
    inputs.push_back(input(tensor, arguments[i + 1].type()));
  }
  const c10::InferenceMode guard;
  std::vector<torch::Tensor> outputs;
  flatten(module.forward(std::move(inputs)), outputs);
  wire::Writer out = worker::answer_head(static_cast<uint32_t>(outputs.size()));
  for (const torch::Tensor& tensor : outputs) {
    uint32_t type = SKERRY_BYTES;  // which no output has
    for (const TypePair& pair : kTypes) {
      if (pair.theirs == tensor.scalar_type()) type = pair.ours;
    }
    wire::write(out, {type,
                      tensor.sizes().vec(),
                      {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}});
  }
  return out.message();
}

class Script : public worker::Program {
 public:
  std::string load(uint32_t threads, std::string_view file) override {
    at::set_num_threads(static_cast<int>(threads));
    std::istringstream stream{std::string(file)};
    module_ = torch::jit::load(stream, torch::kCPU);
    module_.eval();
    return worker::success();
  }
  std::string run(wire::Reader& in) override { return run_module(module_, in); }

 private:
  torch::jit::Module module_;
};

}  // namespace

extern "C" __attribute__((visibility("default"))) int skerry_torch_serve(int socket) {
  Script script;
  return worker::serve(socket, script);
}
