// What skerry-torch-worker loads for ExecuTorch's programs (.pte): the vendor's runtime with its
// kernels, and a socket to the plugin. It takes one program, then runs its method "forward", until
// the plugin hangs up.
#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <skerry/runtime_plugin.h>

#include <array>
#include <cstdio>
#include <memory>

#include "wire.h"
#include "worker.h"

// Its header is not in the vendor's wheel, the function is in its library.
namespace executorch::extension::threadpool {
struct ThreadPool {
  // NOLINTNEXTLINE(readability-identifier-naming): the name is theirs.
  bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

using executorch::aten::ScalarType;
using executorch::extension::BufferDataLoader;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;

struct TypePair {
  uint32_t ours;
  ScalarType theirs;
};
constexpr std::array<TypePair, 8> kTypes = {{{SKERRY_BOOL, ScalarType::Bool},
                                             {SKERRY_INT8, ScalarType::Char},
                                             {SKERRY_INT16, ScalarType::Short},
                                             {SKERRY_INT32, ScalarType::Int},
                                             {SKERRY_INT64, ScalarType::Long},
                                             {SKERRY_UINT8, ScalarType::Byte},
                                             {SKERRY_FP32, ScalarType::Float},
                                             {SKERRY_FP64, ScalarType::Double}}};

std::string hex(Error error) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "error 0x%x", static_cast<unsigned>(error));
  return text.data();
}

// Plain numbers are tensors to callers, as with TorchScript.
EValue value_of(const wire::Tensor& tensor, ScalarType type, executorch::runtime::Tag wanted,
                std::vector<executorch::extension::TensorPtr>& kept) {
  std::vector<executorch::aten::SizesType> sizes(tensor.shape.begin(), tensor.shape.end());
  auto* const data = const_cast<char*>(tensor.bytes.data());
  kept.push_back(executorch::extension::from_blob(data, sizes, type));
  if (wanted == executorch::runtime::Tag::Int && type == ScalarType::Long) {
    return EValue(kept.back()->const_data_ptr<int64_t>()[0]);
  }
  if (wanted == executorch::runtime::Tag::Double && type == ScalarType::Double) {
    return EValue(kept.back()->const_data_ptr<double>()[0]);
  }
  if (wanted == executorch::runtime::Tag::Bool && type == ScalarType::Bool) {
    return EValue(kept.back()->const_data_ptr<bool>()[0]);
  }
  return EValue(*kept.back());
}

class Program : public worker::Program {
 public:
  std::string load(uint32_t threads, std::string_view file) override {
    executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(threads);
    // Constants are used where they are, and want alignment that the message does not have.
    bytes_ = std::unique_ptr<char[], void (*)(void*)>(
        static_cast<char*>(std::aligned_alloc(64, (file.size() + 64) / 64 * 64)), std::free);
    if (!bytes_) return worker::refusal(SKERRY_RESOURCE_EXHAUSTED, "there is no memory for it");
    std::memcpy(bytes_.get(), file.data(), file.size());
    module_ =
        std::make_unique<Module>(std::make_unique<BufferDataLoader>(bytes_.get(), file.size()));
    const Error error = module_->load_method("forward");
    if (error == Error::Ok) return worker::success();
    return worker::refusal(SKERRY_CORRUPT, "ExecuTorch does not load it: " + hex(error));
  }

  std::string run(wire::Reader& in) override {
    const auto meta = module_->method_meta("forward");
    const auto count = in.number<uint32_t>();
    if (!meta.ok() || count != meta->num_inputs()) {
      return worker::refusal(SKERRY_INVALID_ARGUMENT,
                             "forward() does not take " + std::to_string(count) + " inputs");
    }
    std::vector<wire::Tensor> tensors(count);
    std::vector<executorch::extension::TensorPtr> kept;
    std::vector<EValue> inputs;
    for (uint32_t i = 0; i < count; ++i) {
      if (!wire::read(in, tensors[i]))
        return worker::refusal(SKERRY_INTERNAL, "a request that is cut");
      const auto wanted = meta->input_tag(i);
      bool is_known = false;
      for (const TypePair& pair : kTypes) {
        if (pair.ours != tensors[i].type || !wanted.ok()) continue;
        is_known = true;
        inputs.push_back(value_of(tensors[i], pair.theirs, *wanted, kept));
      }
      if (!is_known) {
        return worker::refusal(SKERRY_INVALID_ARGUMENT,
                               "an input has an element type that "
                               "ExecuTorch does not take");
      }
    }
    const auto outputs = module_->forward(inputs);
    if (!outputs.ok()) {
      return worker::refusal(SKERRY_INVALID_ARGUMENT, "ExecuTorch's " + hex(outputs.error()));
    }
    wire::Writer out = worker::answer_head(static_cast<uint32_t>(outputs->size()));
    for (const EValue& each : *outputs) {
      if (!each.isTensor())
        return worker::refusal(SKERRY_UNSUPPORTED, "forward() returns no tensor");
      const auto& tensor = each.toTensor();
      uint32_t type = SKERRY_BYTES;  // which no output has
      for (const TypePair& pair : kTypes) {
        if (pair.theirs == tensor.scalar_type()) type = pair.ours;
      }
      wire::write(out, {type,
                        {tensor.sizes().begin(), tensor.sizes().end()},
                        {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()}});
    }
    return out.message();
  }

 private:
  std::unique_ptr<char[], void (*)(void*)> bytes_{nullptr, std::free};
  std::unique_ptr<Module> module_;
};

}  // namespace

extern "C" __attribute__((visibility("default"))) int skerry_torch_serve(int socket) {
  Program program;
  return worker::serve(socket, program);
}
