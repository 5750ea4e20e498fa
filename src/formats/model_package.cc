// The model package's model.json.
#include "formats/model_package.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/json_ptr.h"
#include "formats/names.h"
#include "formats/node.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr size_t kMaxBytes = 64 * 1024;
constexpr size_t kMaxRank = 16;

// The Open Inference Protocol's names.
constexpr std::array<std::string_view, 13> kDatatypes = {
    "BOOL",  "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16",
    "INT32", "INT64", "FP16",   "FP32",   "FP64",   "BYTES"};

Result<std::string> required_string(const Node& node, std::string_view key) {
  SKERRY_ASSIGN(auto member, node.require(key));
  SKERRY_ASSIGN(auto text, member.as_string());
  if (text.empty()) return member.wrong("is empty");
  return text;
}

Result<ModelTensor> parse_tensor(const Node& node) {
  ModelTensor tensor;
  SKERRY_ASSIGN(tensor.name, required_string(node, "name"));
  SKERRY_ASSIGN(tensor.datatype, required_string(node, "datatype"));
  if (std::ranges::find(kDatatypes, tensor.datatype) == kDatatypes.end()) {
    return node.wrong(fmt::format("datatype '{}' is not one of {}", tensor.datatype,
                                  fmt::join(kDatatypes, ", ")));
  }
  SKERRY_ASSIGN(auto shape, node.require("shape"));
  SKERRY_ASSIGN(auto dimensions, shape.elements());
  if (dimensions.size() > kMaxRank) {
    return shape.wrong(fmt::format("has more than {} dimensions", kMaxRank));
  }
  for (const Node& dimension : dimensions) {
    SKERRY_ASSIGN(const int64_t size, dimension.as_integer());
    if (size < -1 || size == 0) return dimension.wrong("must be 1 or more, or -1 for any size");
    tensor.shape.push_back(size);
  }
  return tensor;
}

Result<std::vector<ModelTensor>> parse_tensors(const Node& root, std::string_view key) {
  SKERRY_ASSIGN(auto node, root.require(key));
  SKERRY_ASSIGN(auto elements, node.elements());
  std::vector<ModelTensor> tensors;
  std::set<std::string> names;
  for (const Node& element : elements) {
    SKERRY_ASSIGN(auto tensor, parse_tensor(element));
    if (!names.insert(tensor.name).second) {
      return element.wrong(fmt::format("the name '{}' stands here twice", tensor.name));
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Result<> parse_file(const Node& root, ModelPackage& package) {
  SKERRY_ASSIGN(package.file, required_string(root, "file"));
  const bool is_elsewhere = package.file.find_first_of("/\\") != std::string::npos ||
                            package.file.find_first_not_of('.') == std::string::npos;
  if (is_elsewhere || package.file == kModelManifestFile) {
    return fail(Code::kInvalidArgument,
                fmt::format("file: '{}' must be the name of a model file beside {}", package.file,
                            kModelManifestFile));
  }
  SKERRY_ASSIGN(package.sha256, required_string(root, "sha256"));
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (package.sha256.size() != 64 || !std::ranges::all_of(package.sha256, is_hex)) {
    return fail(Code::kInvalidArgument, "sha256: must be 64 lower-case hexadecimal digits");
  }
  return {};
}

Result<> parse_warmup(const Node& root, ModelPackage& package) {
  SKERRY_ASSIGN(auto node, root.find("warmup"));
  if (!node) return {};
  SKERRY_ASSIGN(auto members, node->members());
  for (const auto& [name, value] : members) {
    const auto input = std::ranges::find(package.inputs, name, &ModelTensor::name);
    if (input == package.inputs.end() || input->datatype == "BYTES") {
      return value.wrong("is no numeric input of this model");
    }
    SKERRY_ASSIGN(package.warmup[name], value.as_number());
  }
  return {};
}

Result<ModelPackage> read_package(const Node& root) {
  SKERRY_ASSIGN(auto format_node, root.require("format"));
  SKERRY_ASSIGN(const int64_t format, format_node.as_integer());
  if (format != kFormat) {
    return format_node.wrong(fmt::format("{} is not supported, only {}", format, kFormat));
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
  SKERRY_TRY(parse_file(root, package));
  SKERRY_ASSIGN(package.inputs, parse_tensors(root, "inputs"));
  SKERRY_ASSIGN(package.outputs, parse_tensors(root, "outputs"));
  if (package.outputs.empty()) {
    return fail(Code::kInvalidArgument, "outputs: a model has one output at least");
  }
  SKERRY_TRY(parse_warmup(root, package));
  return package;
}

json to_json(const std::vector<ModelTensor>& tensors) {
  json result = json::array();
  for (const ModelTensor& tensor : tensors) {
    result.push_back(
        {{"name", tensor.name}, {"datatype", tensor.datatype}, {"shape", tensor.shape}});
  }
  return result;
}

}  // namespace

Result<ModelPackage> parse_model_package(std::string_view text) {
  auto document = parse_json(text, {.size_bytes = kMaxBytes});
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
  json document = {{"format", kFormat},
                   {"name", package.name},
                   {"version", package.version},
                   {"runtime", package.runtime},
                   {"file", package.file},
                   {"sha256", package.sha256},
                   {"inputs", to_json(package.inputs)},
                   {"outputs", to_json(package.outputs)}};
  if (!package.warmup.empty()) document["warmup"] = package.warmup;
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace skerry::formats
