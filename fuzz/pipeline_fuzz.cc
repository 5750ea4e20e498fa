// Pipeline files come in packages of others: any text is loaded or refused, and what is loaded runs
// on small inputs without harm.
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "io/test_directory.h"
#include "pipeline/pipeline.h"
#include "runtime/null/null_runtime.h"

namespace {

using namespace skerry;

struct Package {
  io::ScratchDirectory directory;
  runtime::Runtimes runtimes;

  Package() {
    std::ofstream(directory.path("lines.txt")) << "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n";
    std::ofstream(directory.path("null.json")) << R"({"null_model": 1, "behaviour": "identity",
      "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
      "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}]})";
    runtimes.add(std::make_unique<runtime::NullRuntime>());
    runtimes.add(pipeline::make_pipeline_runtime(runtimes));
  }
};

tensor::Tensor small(const tensor::TensorSpec& spec) {
  tensor::Tensor input{spec.name, spec.type, spec.shape, {}};
  size_t count = 1;
  for (int64_t& dimension : input.shape) {
    if (dimension < 0) dimension = 3;
    dimension = std::min<int64_t>(dimension, 8);
    count *= static_cast<size_t>(dimension);
    if (count > 4096) count = dimension = 1;
  }
  const auto elements = tensor::element_count(input.shape);
  for (size_t i = 0; i < *elements && spec.type == tensor::DataType::kBytes; ++i) {
    tensor::append_bytes(input.bytes, "a b");
  }
  if (spec.type != tensor::DataType::kBytes) {
    input.bytes.resize(*elements * tensor::size_of(spec.type), std::byte{1});
  }
  return input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Package package;
  std::ofstream(package.directory.path("p.json"), std::ios::binary | std::ios::trunc)
      << std::string_view(reinterpret_cast<const char*>(data), size);
  const runtime::ModelSource source(package.directory.path(), "p.json",
                                    {{"p.json", ""}, {"lines.txt", ""}, {"null.json", ""}});
  auto model = (*(*package.runtimes.find("pipeline"))->open())->load(source, {});
  if (!model) return 0;
  std::vector<tensor::Tensor> inputs;
  for (const tensor::TensorSpec& spec : (*model)->inputs()) inputs.push_back(small(spec));
  const auto result = (*model)->run(tensor::views_of(inputs), {});
  if (result && result->size() != (*model)->outputs().size()) std::abort();
  return 0;
}
