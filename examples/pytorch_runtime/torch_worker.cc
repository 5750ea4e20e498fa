// The process that runs a TorchScript model: PyTorch's library, and a socket to the plugin. It
// takes one model, then runs, until the plugin hangs up.
#include <ATen/Parallel.h>
#include <skerry/runtime_plugin.h>
#include <torch/script.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <sstream>

#include "wire.h"

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

bool receive(int socket, std::string& message) {
  const auto all = [socket](char* at, uint64_t size) {
    while (size > 0) {
      const ssize_t got = ::read(socket, at, size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      at += got;
      size -= static_cast<uint64_t>(got);
    }
    return true;
  };
  uint64_t size = 0;
  if (!all(reinterpret_cast<char*>(&size), sizeof(size)) || size > wire::kMaxMessage) return false;
  message.resize(size);
  return all(message.data(), size);
}

std::string refusal(uint32_t code, const std::string& words) {
  wire::Writer out;
  out.number(code);
  out.words(words.substr(0, 2000));
  return out.message();
}

// Of this process, in bytes.
uint64_t memory() {
  unsigned long pages = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%*u %lu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

torch::jit::Module load(wire::Reader& in) {
  at::set_num_threads(static_cast<int>(in.number<uint32_t>()));
  std::istringstream file{std::string(in.bytes())};
  torch::jit::Module module = torch::jit::load(file, torch::kCPU);
  module.eval();
  return module;
}

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

std::string run(torch::jit::Module& module, wire::Reader& in) {
  const auto arguments = module.get_method("forward").function().getSchema().arguments();
  const auto count = in.number<uint32_t>();
  if (count + 1 > arguments.size()) {
    return refusal(SKERRY_INVALID_ARGUMENT, "forward() takes " +
                                                std::to_string(arguments.size() - 1) +
                                                " inputs, not " + std::to_string(count));
  }
  std::vector<c10::IValue> inputs;
  for (uint32_t i = 0; i < count; ++i) {
    wire::Tensor tensor;
    if (!wire::read(in, tensor)) return refusal(SKERRY_INTERNAL, "a request that is cut");
    inputs.push_back(input(tensor, arguments[i + 1].type()));
  }
  const c10::InferenceMode guard;
  std::vector<torch::Tensor> outputs;
  flatten(module.forward(std::move(inputs)), outputs);
  wire::Writer out;
  out.number<uint32_t>(SKERRY_OK);
  out.number(memory());
  out.number(static_cast<uint32_t>(outputs.size()));
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

}  // namespace

extern "C" __attribute__((visibility("default"))) int skerry_torch_serve(int socket) {
  std::string message;
  torch::jit::Module module;
  for (bool is_loaded = false; receive(socket, message);) {
    std::string answer;
    try {
      wire::Reader in(message);
      if (is_loaded) {
        answer = run(module, in);
      } else {
        module = load(in);
        is_loaded = true;
        wire::Writer out;
        out.number<uint32_t>(SKERRY_OK);
        answer = out.message();
      }
    } catch (const std::bad_alloc&) {
      answer = refusal(SKERRY_RESOURCE_EXHAUSTED, "there is no memory for it");
    } catch (const std::exception& e) {
      answer = refusal(is_loaded ? SKERRY_INTERNAL : SKERRY_CORRUPT, e.what());
    }
    if (!wire::send(socket, answer)) return 1;
  }
  return 0;
}
