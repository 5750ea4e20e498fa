// Parses the null runtime's model file and copies inputs to outputs.
#include "runtime/null/null_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <csignal>
#include <list>
#include <mutex>
#include <nlohmann/json.hpp>

namespace skerry::runtime {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxFileBytes = 1 << 20;

enum class Behaviour { kIdentity, kFail, kHang, kCrash, kCrashLoad, kGrow };

constexpr std::array<std::pair<std::string_view, Behaviour>, 6> kBehaviours = {{
    {"identity", Behaviour::kIdentity},
    {"fail", Behaviour::kFail},
    {"hang", Behaviour::kHang},
    {"crash", Behaviour::kCrash},
    {"crash_load", Behaviour::kCrashLoad},
    {"grow", Behaviour::kGrow},
}};

// As a wild pointer in native code would, which no compiler may see through.
void crash() {
  ::raise(SIGSEGV);
}

class NullModel : public Model {
 public:
  NullModel(std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs, Behaviour behaviour)
      : inputs_(std::move(inputs)), outputs_(std::move(outputs)), behaviour_(behaviour) {}

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }
  bool is_bounded() const override { return behaviour_ != Behaviour::kHang; }
  uint64_t memory_bytes() const override {
    return sizeof *this + (inputs_.size() + outputs_.size()) * sizeof(TensorSpec);
  }

  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                  std::span<const std::string> wanted,
                                  const std::stop_token& stop) override {
    SKERRY_ASSIGN(auto matched, match_inputs(inputs_, inputs));
    SKERRY_ASSIGN(auto selected, select_outputs(outputs_, wanted));
    if (behaviour_ == Behaviour::kFail) {
      return fail(Code::kInternal, "the null model's behaviour is to fail");
    }
    if (behaviour_ == Behaviour::kHang) return hang(stop);
    if (behaviour_ == Behaviour::kGrow) grow();
    if (behaviour_ == Behaviour::kCrash && !is_zero(matched.front()->bytes)) crash();
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
  static bool is_zero(std::span<const std::byte> bytes) {
    return std::ranges::all_of(bytes, [](std::byte each) { return each == std::byte{0}; });
  }

  // Ends with bad_alloc, or the process.
  static void grow() {
    constexpr size_t kGrowthBytes = 64 << 20;
    for (std::list<tensor::Bytes> pieces;;) pieces.emplace_back(kGrowthBytes);
  }

  static std::unexpected<Error> hang(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait(lock, stop, [] { return false; });
    return fail(Code::kCancelled, "the run was stopped");
  }

  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  Behaviour behaviour_;
};

// Throws nlohmann's exceptions, which load() catches.
Result<std::vector<TensorSpec>> parse_specs(const Json& array) {
  std::vector<TensorSpec> specs;
  for (const Json& entry : array) {
    SKERRY_ASSIGN(const tensor::DataType type,
                  tensor::parse_data_type(entry.at("datatype").get_ref<const std::string&>()));
    specs.push_back(
        {entry.at("name").get<std::string>(), type, entry.at("shape").get<std::vector<int64_t>>()});
  }
  return specs;
}

Result<std::unique_ptr<Model>> parse_model(std::string_view text) {
  const Json json = Json::parse(text);
  if (json.at("null_model").get<int>() != 1) {
    return fail(Code::kUnsupported, "null_model is not 1, the only format there is");
  }
  SKERRY_ASSIGN(auto inputs, parse_specs(json.at("inputs")));
  SKERRY_ASSIGN(auto outputs, parse_specs(json.at("outputs")));
  const auto behaviour = json.at("behaviour").get<std::string>();
  const auto* known =
      std::ranges::find(kBehaviours, behaviour, [](const auto& b) { return b.first; });
  if (known == kBehaviours.end()) {
    return fail(Code::kUnsupported, fmt::format("there is no behaviour '{}'", behaviour));
  }
  if (inputs.empty()) return fail(Code::kCorrupt, "there are no inputs");
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
  if (known->second == Behaviour::kCrashLoad) crash();
  return std::make_unique<NullModel>(std::move(inputs), std::move(outputs), known->second);
}

}  // namespace

Result<std::unique_ptr<Model>> NullRuntime::load_files(const ModelSource& source,
                                                       const LoadOptions& options) {
  SKERRY_ASSIGN(const tensor::Bytes bytes,
                source.read(source.main_file(), std::min(options.max_file_bytes, kMaxFileBytes)));
  try {
    return parse_model({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  } catch (const Json::exception& e) {
    return fail(Code::kCorrupt, fmt::format("it is no null model: {}", e.what()));
  }
}

}  // namespace skerry::runtime
