// Parses the null runtime's model file and copies inputs to outputs.
#include "runtime/null/null_runtime.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "runtime/tensor.h"

namespace skerry::runtime {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxFileBytes = 1 << 20;

class NullModel : public Model {
 public:
  NullModel(std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs, bool fails)
      : inputs_(std::move(inputs)), outputs_(std::move(outputs)), fails_(fails) {}

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }

  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                  std::span<const std::string> wanted) override {
    SKERRY_ASSIGN(auto matched, match_inputs(inputs_, inputs));
    SKERRY_ASSIGN(auto selected, select_outputs(outputs_, wanted));
    if (fails_) return fail(Code::kInternal, "the null model's behaviour is to fail");
    std::vector<Tensor> results;
    for (const size_t i : selected) {
      const TensorView& source = *matched[i];
      results.push_back({outputs_[i].name,
                         source.type,
                         {source.shape.begin(), source.shape.end()},
                         {source.bytes.begin(), source.bytes.end()}});
    }
    return results;
  }

 private:
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  bool fails_;
};

// Throws nlohmann's exceptions, which load() catches.
Result<std::vector<TensorSpec>> parse_specs(const Json& array) {
  std::vector<TensorSpec> specs;
  for (const Json& entry : array) {
    SKERRY_ASSIGN(const DataType type,
                  parse_data_type(entry.at("datatype").get_ref<const std::string&>()));
    specs.push_back(
        {entry.at("name").get<std::string>(), type, entry.at("shape").get<std::vector<int64_t>>()});
  }
  return specs;
}

Result<std::unique_ptr<Model>> parse_model(const std::string& text) {
  const Json json = Json::parse(text);
  if (json.at("null_model").get<int>() != 1) {
    return fail(Code::kUnsupported, "null_model is not 1, the only format there is");
  }
  SKERRY_ASSIGN(auto inputs, parse_specs(json.at("inputs")));
  SKERRY_ASSIGN(auto outputs, parse_specs(json.at("outputs")));
  const auto behaviour = json.at("behaviour").get<std::string>();
  if (behaviour != "identity" && behaviour != "fail") {
    return fail(Code::kUnsupported,
                fmt::format("behaviour '{}' is neither identity nor fail", behaviour));
  }
  if (outputs.size() > inputs.size()) {
    return fail(Code::kCorrupt, "more outputs than inputs: output i is a copy of input i");
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].type != inputs[i].type || outputs[i].shape != inputs[i].shape) {
      return fail(Code::kCorrupt,
                  fmt::format("output '{}' differs from input '{}', of which it is a copy",
                              outputs[i].name, inputs[i].name));
    }
  }
  return std::make_unique<NullModel>(std::move(inputs), std::move(outputs), behaviour == "fail");
}

}  // namespace

Result<std::unique_ptr<Model>> NullRuntime::load(const std::string& path, const LoadOptions&) {
  SKERRY_ASSIGN(const std::string text, io::read_file(files_, path, kMaxFileBytes));
  try {
    auto model = parse_model(text);
    if (!model) return fail(model.error().with_context(path));
    return model;
  } catch (const Json::exception& e) {
    return fail(Code::kCorrupt, fmt::format("{} is no null model: {}", path, e.what()));
  }
}

}  // namespace skerry::runtime
