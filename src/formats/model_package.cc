// The model package's model.json.
#include "formats/model_package.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/json_ptr.h"
#include "formats/limits.h"
#include "formats/names.h"
#include "formats/node.h"

namespace skerry::formats {
namespace {

using nlohmann::json;
using tensor::TensorSpec;

constexpr int64_t kMaxInferenceMs = 86'400'000;
constexpr int64_t kPackageFormat = 1;
constexpr int64_t kMaxBatching = 65'536;  // rows, milliseconds, requests

Result<std::string> required_string(const Node& node, std::string_view key) {
  SKERRY_ASSIGN(auto member, node.require(key));
  SKERRY_ASSIGN(auto text, member.as_string());
  if (text.empty()) return member.wrong("is empty");
  return text;
}

Result<TensorSpec> parse_tensor(const Node& node) {
  TensorSpec spec;
  SKERRY_ASSIGN(spec.name, required_string(node, "name"));
  SKERRY_ASSIGN(const std::string datatype, required_string(node, "datatype"));
  auto type = tensor::parse_data_type(datatype);
  if (!type) return node.wrong(type.error().message());
  spec.type = *type;
  SKERRY_ASSIGN(auto shape, node.require("shape"));
  SKERRY_ASSIGN(auto dimensions, shape.elements());
  if (dimensions.size() > kMaxTensorRank) {
    return shape.wrong(fmt::format("has more than {} dimensions", kMaxTensorRank));
  }
  for (const Node& dimension : dimensions) {
    SKERRY_ASSIGN(const int64_t size, dimension.as_integer());
    if (size < -1 || size == 0) return dimension.wrong("must be 1 or more, or -1 for any size");
    spec.shape.push_back(size);
  }
  return spec;
}

Result<std::vector<TensorSpec>> parse_tensors(const Node& root, std::string_view key) {
  SKERRY_ASSIGN(auto node, root.require(key));
  SKERRY_ASSIGN(auto elements, node.elements());
  std::vector<TensorSpec> tensors;
  std::set<std::string> names;
  for (const Node& element : elements) {
    SKERRY_ASSIGN(auto spec, parse_tensor(element));
    if (!names.insert(spec.name).second) {
      return element.wrong(fmt::format("the name '{}' stands here twice", spec.name));
    }
    tensors.push_back(std::move(spec));
  }
  return tensors;
}

Result<> check_digest(std::string_view key, const std::string& digest) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (digest.size() == 64 && std::ranges::all_of(digest, is_hex)) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("{}: must be 64 lower-case hexadecimal digits", key));
}

// "a/b" is below the folder; "/a", "../a", "a//b" and "a\\b" are not, or not everywhere.
bool is_path_below(std::string_view path) {
  if (path.empty() || path.find('\\') != std::string_view::npos) return false;
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.find_first_not_of('.') == std::string_view::npos) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

Result<> parse_files(const Node& root, ModelPackage& package) {
  SKERRY_ASSIGN(package.file, required_string(root, "file"));
  const bool is_beside = package.file.find('/') == std::string::npos && is_path_below(package.file);
  if (!is_beside || package.file == kModelManifestFile) {
    return fail(Code::kInvalidArgument,
                fmt::format("file: '{}' must be the name of a model file beside {}", package.file,
                            kModelManifestFile));
  }
  SKERRY_ASSIGN(package.sha256, required_string(root, "sha256"));
  SKERRY_TRY(check_digest("sha256", package.sha256));
  SKERRY_ASSIGN(auto files, root.find("files"));
  if (!files) return {};
  SKERRY_ASSIGN(auto members, files->members());
  for (const auto& [path, digest] : members) {
    if (!is_path_below(path) || path == kModelManifestFile || path == package.file) {
      return digest.wrong("must be the path of another file of the package, below its folder");
    }
    SKERRY_ASSIGN(package.files[path], digest.as_string());
    SKERRY_TRY(check_digest(digest.path(), package.files[path]));
  }
  return {};
}

Result<> parse_warmup_value(const Node& value, const TensorSpec& input, WarmupInput& warmup) {
  if (input.type == tensor::DataType::kBytes) {
    if (!value.is_string()) return value.wrong("must be a string: the input is BYTES");
    SKERRY_ASSIGN(auto text, value.as_string());
    warmup.strings.push_back(std::move(text));
    return {};
  }
  if (value.value().is_boolean()) {
    warmup.numbers.push_back(value.value().get<bool>() ? 1 : 0);
    return {};
  }
  if (value.is_string()) return value.wrong("is no number, as the input is numeric");
  SKERRY_ASSIGN(const double number, value.as_number());
  warmup.numbers.push_back(number);
  return {};
}

Result<> parse_warmup_values(const Node& value, const TensorSpec& input, WarmupInput& warmup) {
  if (!value.value().is_array()) return parse_warmup_value(value, input, warmup);
  SKERRY_ASSIGN(auto elements, value.elements());
  if (elements.empty()) return value.wrong("must have one value at least");
  for (const Node& element : elements) SKERRY_TRY(parse_warmup_value(element, input, warmup));
  return {};
}

Result<> parse_warmup_shape(const Node& node, const TensorSpec& input, WarmupInput& warmup) {
  SKERRY_ASSIGN(auto dimensions, node.elements());
  std::vector<int64_t> shape;
  for (const Node& dimension : dimensions) {
    SKERRY_ASSIGN(const int64_t size, dimension.as_integer());
    if (size < 0) return dimension.wrong("must be 0 or more");
    shape.push_back(size);
  }
  if (!tensor::fits(shape, input.shape)) {
    return node.wrong(
        fmt::format("does not fit the input's {}", tensor::describe(input.type, input.shape)));
  }
  warmup.shape = std::move(shape);
  return {};
}

Result<> parse_warmup_file(const Node& node, const TensorSpec& input, WarmupInput& warmup) {
  SKERRY_ASSIGN(warmup.file, node.as_string());
  if (warmup.file.empty()) return node.wrong("is empty");
  if (input.type == tensor::DataType::kBytes || input.type == tensor::DataType::kUint8) return {};
  return node.wrong("is for inputs of BYTES or UINT8");
}

// A value for every element, a list of one for each, or {"shape": […], "value": either}, or
// {"file": its name in the package}.
Result<WarmupInput> parse_warmup_input(const Node& node, const TensorSpec& input) {
  WarmupInput warmup;
  if (!node.is_object()) {
    SKERRY_TRY(parse_warmup_values(node, input, warmup));
    return warmup;
  }
  SKERRY_ASSIGN(auto shape, node.find("shape"));
  if (shape) SKERRY_TRY(parse_warmup_shape(*shape, input, warmup));
  SKERRY_ASSIGN(auto value, node.find("value"));
  if (value) SKERRY_TRY(parse_warmup_values(*value, input, warmup));
  SKERRY_ASSIGN(auto file, node.find("file"));
  if (file) SKERRY_TRY(parse_warmup_file(*file, input, warmup));
  if (file && value) return node.wrong("has both \"value\" and \"file\"");
  if (!shape && !value && !file) return node.wrong("must have \"shape\", \"value\" or \"file\"");
  return warmup;
}

Result<> parse_trial(const Node& root, ModelPackage& package) {
  SKERRY_ASSIGN(auto node, root.find("warmup"));
  if (node) {
    SKERRY_ASSIGN(auto members, node->members());
    for (const auto& [name, value] : members) {
      const auto input = std::ranges::find(package.inputs, name, &TensorSpec::name);
      if (input == package.inputs.end()) return value.wrong("is no input of this model");
      SKERRY_ASSIGN(package.warmup[name], parse_warmup_input(value, *input));
    }
  }
  SKERRY_ASSIGN(auto trial, root.find("trial_run"));
  if (!trial) return {};
  SKERRY_ASSIGN(const std::string text, trial->as_string());
  if (text != "required" && text != "optional") {
    return trial->wrong(fmt::format("'{}' is neither \"required\" nor \"optional\"", text));
  }
  package.trial_optional = text == "optional";
  return {};
}

constexpr EnumNames<ScoreActivation, 3> kActivations = {{{ScoreActivation::kNone, "none"},
                                                         {ScoreActivation::kSoftmax, "softmax"},
                                                         {ScoreActivation::kSigmoid, "sigmoid"}}};

Result<> parse_scores(const Node& root, ModelPackage& package) {
  SKERRY_ASSIGN(auto node, root.find("scores"));
  if (!node) return {};
  ModelScores scores;
  SKERRY_ASSIGN(scores.output, required_string(*node, "output"));
  SKERRY_TRY(node->read("activation", kActivations, scores.activation));
  const auto output = std::ranges::find(package.outputs, scores.output, &TensorSpec::name);
  if (output == package.outputs.end()) {
    return node->wrong(fmt::format("'{}' is no output of this model", scores.output));
  }
  if (output->type != tensor::DataType::kFp32 && output->type != tensor::DataType::kFp64) {
    return node->wrong("the output must be FP32 or FP64");
  }
  const bool is_single = output->shape.empty() || output->shape.back() == 1;
  if (is_single && scores.activation == ScoreActivation::kSoftmax) {
    return node->wrong("softmax of one score is always 1; \"sigmoid\" makes a logit a probability");
  }
  package.scores = std::move(scores);
  return {};
}

// A whole number of `least` and more, and no more than kMaxBatching.
Result<> parse_limit(const Node& root, std::string_view key, int64_t least, int64_t& out) {
  SKERRY_ASSIGN(auto node, root.find(key));
  if (!node) return {};
  SKERRY_ASSIGN(out, node->as_integer());
  if (out >= least && out <= kMaxBatching) return {};
  return node->wrong(fmt::format("must be {} to {}", least, kMaxBatching));
}

Result<> parse_batching(const Node& root, ModelPackage& package) {
  SKERRY_ASSIGN(auto node, root.find("batching"));
  if (!node) return {};
  ModelBatching batching;
  SKERRY_TRY(node->require("max_rows"));
  SKERRY_TRY(parse_limit(*node, "max_rows", 2, batching.max_rows));
  SKERRY_TRY(parse_limit(*node, "max_delay_ms", 0, batching.max_delay_ms));
  SKERRY_ASSIGN(auto queued, node->find("max_queued"));
  if (queued) SKERRY_TRY(parse_limit(*node, "max_queued", 0, batching.max_queued.emplace()));
  SKERRY_ASSIGN(auto preferred, node->find("preferred_rows"));
  if (preferred) {
    SKERRY_ASSIGN(auto elements, preferred->elements());
    for (const Node& element : elements) {
      SKERRY_ASSIGN(const int64_t rows, element.as_integer());
      if (rows < 1 || rows > batching.max_rows) return element.wrong("must be 1 to max_rows");
      batching.preferred_rows.push_back(rows);
    }
  }
  for (const auto* specs : {&package.inputs, &package.outputs}) {
    for (const TensorSpec& spec : *specs) {
      if (!spec.shape.empty() && spec.shape[0] == -1) continue;
      return node->wrong(fmt::format("the first dimension of '{}' must be -1", spec.name));
    }
  }
  if (package.inputs.empty()) return node->wrong("a model without inputs has no rows");
  package.batching = std::move(batching);
  return {};
}

Result<> parse_finite(const Node& root, ModelPackage& package) {
  SKERRY_ASSIGN(auto node, root.find("finite"));
  if (!node) return {};
  SKERRY_ASSIGN(auto elements, node->elements());
  for (const Node& element : elements) {
    SKERRY_ASSIGN(const std::string name, element.as_string());
    const auto output = std::ranges::find(package.outputs, name, &TensorSpec::name);
    if (output == package.outputs.end()) return element.wrong("is no output of this model");
    if (!tensor::is_float(output->type)) return element.wrong("has no type with NaN");
    package.finite.push_back(name);
  }
  return {};
}

json to_json(const ModelBatching& batching) {
  json document = {{"max_rows", batching.max_rows}};
  if (!batching.preferred_rows.empty()) document["preferred_rows"] = batching.preferred_rows;
  if (batching.max_delay_ms > 0) document["max_delay_ms"] = batching.max_delay_ms;
  if (batching.max_queued) document["max_queued"] = *batching.max_queued;
  return document;
}

Result<> parse_runtime_component(const Node& root, ModelPackage& package) {
  SKERRY_ASSIGN(auto node, root.find("runtime_component"));
  if (!node) return {};
  SKERRY_ASSIGN(package.runtime_component, node->as_string());
  auto name = parse_component_name(package.runtime_component);
  return name ? Result<>() : node->wrong(name.error().message());
}

Result<ModelPackage> read_package(const Node& root) {
  SKERRY_ASSIGN(auto format_node, root.require("format"));
  SKERRY_ASSIGN(const int64_t format, format_node.as_integer());
  if (format != kPackageFormat) {
    return format_node.wrong(fmt::format("{} is not supported, only {}", format, kPackageFormat));
  }
  ModelPackage package;
  SKERRY_ASSIGN(package.name, required_string(root, "name"));
  if (auto name = parse_component_name(package.name); !name) {
    return fail(Code::kInvalidArgument,
                fmt::format("name: '{}' may hold letters, digits and -_. only", package.name));
  }
  SKERRY_ASSIGN(auto version_node, root.require("version"));
  SKERRY_ASSIGN(package.version, version_node.as_text());
  if (package.version.empty() || package.version.size() > 64) {
    return version_node.wrong("must have 1 to 64 characters");
  }
  SKERRY_ASSIGN(package.runtime, required_string(root, "runtime"));
  SKERRY_TRY(parse_runtime_component(root, package));
  SKERRY_TRY(parse_files(root, package));
  SKERRY_ASSIGN(package.inputs, parse_tensors(root, "inputs"));
  SKERRY_ASSIGN(package.outputs, parse_tensors(root, "outputs"));
  if (package.outputs.empty()) {
    return fail(Code::kInvalidArgument, "outputs: a model has one output at least");
  }
  SKERRY_TRY(parse_trial(root, package));
  SKERRY_TRY(parse_scores(root, package));
  SKERRY_TRY(parse_batching(root, package));
  SKERRY_TRY(parse_finite(root, package));
  SKERRY_ASSIGN(const auto limit, root.find("max_inference_ms"));
  if (limit) {
    SKERRY_ASSIGN(package.max_inference_ms, limit->as_integer());
    if (package.max_inference_ms < 1 || package.max_inference_ms > kMaxInferenceMs) {
      return limit->wrong(fmt::format("must be 1 to {}", kMaxInferenceMs));
    }
  }
  return package;
}

json to_json(const std::vector<TensorSpec>& tensors) {
  json result = json::array();
  for (const TensorSpec& spec : tensors) {
    result.push_back(
        {{"name", spec.name}, {"datatype", tensor::name_of(spec.type)}, {"shape", spec.shape}});
  }
  return result;
}

json to_json(const WarmupInput& warmup) {
  json values = json::array();
  for (const double number : warmup.numbers) values.push_back(number);
  for (const std::string& text : warmup.strings) values.push_back(text);
  json value = values.size() == 1 ? values[0] : values;
  if (!warmup.shape && warmup.file.empty()) return value;
  json result = json::object();
  if (warmup.shape) result["shape"] = *warmup.shape;
  if (!warmup.file.empty()) result["file"] = warmup.file;
  if (!values.empty()) result["value"] = std::move(value);
  return result;
}

}  // namespace

std::string_view name_of(ScoreActivation activation) {
  return enum_name(kActivations, activation);
}

Result<ModelPackage> parse_model_package(std::string_view text) {
  auto document = parse_json(text, {.size_bytes = kMaxModelManifestBytes});
  if (!document) return fail(document.error().with_context(kModelManifestFile));
  const Node root(*document, "");
  if (!root.is_object()) {
    return fail(Code::kInvalidArgument, fmt::format("{}: must be an object", kModelManifestFile));
  }
  auto package = read_package(root);
  if (!package) return fail(package.error().with_context(kModelManifestFile));
  return package;
}

std::string to_text(const ModelPackage& package) {
  json document = {{"format", kPackageFormat},
                   {"name", package.name},
                   {"version", package.version},
                   {"runtime", package.runtime},
                   {"file", package.file},
                   {"sha256", package.sha256},
                   {"inputs", to_json(package.inputs)},
                   {"outputs", to_json(package.outputs)}};
  if (!package.runtime_component.empty()) {
    document["runtime_component"] = package.runtime_component;
  }
  if (!package.files.empty()) document["files"] = package.files;
  for (const auto& [name, input] : package.warmup) document["warmup"][name] = to_json(input);
  if (package.scores) {
    document["scores"] = {{"output", package.scores->output},
                          {"activation", name_of(package.scores->activation)}};
  }
  if (package.batching) document["batching"] = to_json(*package.batching);
  if (!package.finite.empty()) document["finite"] = package.finite;
  if (package.max_inference_ms > 0) document["max_inference_ms"] = package.max_inference_ms;
  if (package.trial_optional) document["trial_run"] = "optional";
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace skerry::formats
