// Members keep their names on both sides, so that only inferences and maps need code of their own.
#include "gateway/translate.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "gateway/inference.pb.h"
#include "tensor/tensor.h"

namespace skerry::gateway {
namespace {

using nlohmann::json;
using tensor::DataType;
using InputTensor = inference::ModelInferRequest::InferInputTensor;
using Parameters = google::protobuf::Map<std::string, inference::InferParameter>;

constexpr std::string_view kJsonBytesHeader = "Inference-Header-Content-Length";
constexpr const char* kSharedRegion = "shared_memory_region";

json json_of(const Parameters& parameters) {
  json result = json::object();
  for (const auto& [name, value] : parameters) {
    switch (value.parameter_choice_case()) {
      case inference::InferParameter::kBoolParam:
        result[name] = value.bool_param();
        break;
      case inference::InferParameter::kInt64Param:
        result[name] = value.int64_param();
        break;
      case inference::InferParameter::kStringParam:
        result[name] = value.string_param();
        break;
      case inference::InferParameter::kDoubleParam:
        result[name] = value.double_param();
        break;
      case inference::InferParameter::kUint64Param:
        result[name] = value.uint64_param();
        break;
      case inference::InferParameter::PARAMETER_CHOICE_NOT_SET:
        break;
    }
  }
  return result;
}

template <class T, class Elements>
std::string bytes_of(const Elements& elements) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(elements.size()) * sizeof(T));
  for (const auto& element : elements) {
    const auto value = static_cast<T>(element);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return bytes;
}

std::string bytes_of_texts(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::string bytes;
  for (const std::string& text : texts) {
    const auto size = static_cast<uint32_t>(text.size());
    bytes.append(reinterpret_cast<const char*>(&size), sizeof size).append(text);
  }
  return bytes;
}

// Of contents that are typed elements; smaller types travel in the next larger field.
Result<std::string> packed(const InputTensor& input) {
  const inference::InferTensorContents& contents = input.contents();
  SKERRY_ASSIGN(const DataType type, tensor::parse_data_type(input.datatype()));
  switch (type) {
    case DataType::kBool:
      return bytes_of<uint8_t>(contents.bool_contents());
    case DataType::kInt8:
      return bytes_of<int8_t>(contents.int_contents());
    case DataType::kInt16:
      return bytes_of<int16_t>(contents.int_contents());
    case DataType::kInt32:
      return bytes_of<int32_t>(contents.int_contents());
    case DataType::kInt64:
      return bytes_of<int64_t>(contents.int64_contents());
    case DataType::kUint8:
      return bytes_of<uint8_t>(contents.uint_contents());
    case DataType::kUint16:
      return bytes_of<uint16_t>(contents.uint_contents());
    case DataType::kUint32:
      return bytes_of<uint32_t>(contents.uint_contents());
    case DataType::kUint64:
      return bytes_of<uint64_t>(contents.uint64_contents());
    case DataType::kFp32:
      return bytes_of<float>(contents.fp32_contents());
    case DataType::kFp64:
      return bytes_of<double>(contents.fp64_contents());
    case DataType::kBytes:
      return bytes_of_texts(contents.bytes_contents());
    default:
      return fail(
          Code::kInvalidArgument,
          fmt::format("{} has no typed contents; send raw_input_contents", input.datatype()));
  }
}

// Text of the protocol that is no UTF-8 has no JSON.
std::string dumped(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<void> add_inputs(const inference::ModelInferRequest& request, json& head,
                        std::string& binary) {
  int next_raw = 0;
  const bool is_raw = request.raw_input_contents_size() > 0;
  for (const InputTensor& input : request.inputs()) {
    json entry = {{"name", input.name()},
                  {"datatype", input.datatype()},
                  {"shape", std::vector<int64_t>(input.shape().begin(), input.shape().end())},
                  {"parameters", json_of(input.parameters())}};
    if (!input.parameters().contains(kSharedRegion)) {
      std::string made;
      const std::string* bytes = &made;
      if (is_raw && input.has_contents()) {
        return fail(Code::kInvalidArgument,
                    fmt::format("input '{}' has contents, and the request raw_input_contents: give "
                                "one of them",
                                input.name()));
      }
      if (is_raw && next_raw >= request.raw_input_contents_size()) {
        return fail(Code::kInvalidArgument,
                    fmt::format("raw_input_contents end before input '{}'", input.name()));
      }
      if (is_raw) {
        bytes = &request.raw_input_contents(next_raw++);
      } else {
        auto contents = packed(input);
        if (!contents) {
          return fail(contents.error().with_context(fmt::format("input '{}'", input.name())));
        }
        made = std::move(*contents);
      }
      entry["parameters"]["binary_data_size"] = bytes->size();
      binary += *bytes;
    }
    head["inputs"].push_back(std::move(entry));
  }
  if (next_raw == request.raw_input_contents_size()) return {};
  return fail(Code::kInvalidArgument, fmt::format("there are {} raw_input_contents for {} inputs",
                                                  request.raw_input_contents_size(), next_raw));
}

Result<json> parse(const std::string& body) {
  json document = json::parse(body, nullptr, false);
  if (!document.is_discarded()) return document;
  return fail(Code::kInternal, "the inference service's answer is no JSON");
}

void set_parameter(const json& value, inference::InferParameter& out) {
  if (value.is_boolean()) {
    out.set_bool_param(value.get<bool>());
  } else if (value.is_number_float()) {
    out.set_double_param(value.get<double>());
  } else if (value.is_number()) {
    out.set_int64_param(value.get<int64_t>());
  } else {
    out.set_string_param(value.is_string() ? value.get<std::string>() : dumped(value));
  }
}

Result<void> from_json(const std::string& text, google::protobuf::Message& out) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &out, options);
  if (status.ok()) return {};
  return fail(Code::kInternal,
              fmt::format("the inference service's answer: {}", std::string(status.message())));
}

// Throws nlohmann's exceptions.
Result<void> read_outputs(const json& head, const std::string& body, size_t at,
                          inference::ModelInferResponse& out) {
  out.set_model_name(head.value("model_name", ""));
  out.set_model_version(head.value("model_version", ""));
  out.set_id(head.value("id", ""));
  for (const json& output : head.at("outputs")) {
    auto& made = *out.add_outputs();
    made.set_name(output.at("name").get<std::string>());
    made.set_datatype(output.at("datatype").get<std::string>());
    for (const json& dimension : output.at("shape")) made.add_shape(dimension.get<int64_t>());
    std::string& raw = *out.add_raw_output_contents();
    const json parameters = output.value("parameters", json::object());
    for (const auto& [name, value] : parameters.items()) {
      if (name == "binary_data_size") {
        const auto size = value.get<size_t>();
        if (size > body.size() - at)
          return fail(Code::kInternal, "the answer's tensors are cut off");
        raw.assign(body, at, size);
        at += size;
      } else {
        set_parameter(value, (*made.mutable_parameters())[name]);
      }
    }
  }
  return {};
}

}  // namespace

Result<net::HttpRequest> http_of(const inference::ModelInferRequest& request) {
  json head = {{"inputs", json::array()}, {"parameters", json_of(request.parameters())}};
  head["parameters"]["binary_data_output"] = true;
  if (!request.id().empty()) head["id"] = request.id();
  std::string binary;
  SKERRY_TRY(add_inputs(request, head, binary));
  for (const auto& output : request.outputs()) {
    json parameters = json_of(output.parameters());
    if (!parameters.contains(kSharedRegion)) parameters["binary_data"] = true;
    head["outputs"].push_back({{"name", output.name()}, {"parameters", std::move(parameters)}});
  }
  net::HttpRequest http{.method = "POST",
                        .target = "/v2/models/" + net::percent_encode(request.model_name())};
  if (!request.model_version().empty()) {
    http.target += "/versions/" + net::percent_encode(request.model_version());
  }
  http.target += "/infer";
  http.body = dumped(head);
  http.headers.add(std::string(kJsonBytesHeader), std::to_string(http.body.size()));
  http.body += binary;
  return http;
}

Result<void> read_answer(const net::HttpResponse& response, inference::ModelInferResponse& out) {
  const std::string size_text(response.headers.get(kJsonBytesHeader));
  const size_t size = size_text.empty()
                          ? response.body.size()
                          : static_cast<size_t>(std::strtoull(size_text.c_str(), nullptr, 10));
  const size_t at = std::min(size, response.body.size());
  SKERRY_ASSIGN(const json head, parse(response.body.substr(0, at)));
  try {
    return read_outputs(head, response.body, at, out);
  } catch (const json::exception& e) {
    return fail(Code::kInternal, fmt::format("the inference service's answer: {}", e.what()));
  }
}

Result<void> read_json(const std::string& body, const std::string& wrapped_in,
                       google::protobuf::Message& out) {
  return from_json(wrapped_in.empty() ? body : fmt::format("{{\"{}\":{}}}", wrapped_in, body), out);
}

Result<void> read_regions(const std::string& body, google::protobuf::Message& out) {
  SKERRY_ASSIGN(const json list, parse(body));
  json regions = json::object();
  for (const json& region : list) {
    if (region.is_object()) regions[region.value("name", "")] = region;
  }
  return from_json(json{{"regions", regions}}.dump(), out);
}

Result<void> read_settings(const std::string& body, bool as_lists, google::protobuf::Message& out) {
  SKERRY_ASSIGN(const json object, parse(body));
  json settings = json::object();
  for (const auto& [name, value] : object.items()) {
    if (as_lists) {
      settings[name] = {{"value", value.is_array() ? value : json::array({value})}};
    } else if (value.is_boolean()) {
      settings[name] = {{"bool_param", value}};
    } else if (value.is_number()) {
      settings[name] = {{"uint32_param", value}};
    } else {
      settings[name] = {{"string_param", value}};
    }
  }
  return from_json(json{{"settings", settings}}.dump(), out);
}

std::string json_of(const inference::TraceSettingRequest& request) {
  json settings = json::object();
  for (const auto& [name, setting] : request.settings()) {
    const std::vector<std::string> values(setting.value().begin(), setting.value().end());
    if (values.empty()) {
      settings[name] = nullptr;  // back to what it is by default
    } else if (name == "trace_level") {
      settings[name] = values;
    } else {
      settings[name] = values.front();
    }
  }
  return dumped(settings);
}

std::string json_of(const inference::LogSettingsRequest& request) {
  json settings = json::object();
  for (const auto& [name, setting] : request.settings()) {
    using Setting = inference::LogSettingsRequest::SettingValue;
    switch (setting.parameter_choice_case()) {
      case Setting::kBoolParam:
        settings[name] = setting.bool_param();
        break;
      case Setting::kUint32Param:
        settings[name] = setting.uint32_param();
        break;
      default:
        settings[name] = setting.string_param();
        break;
    }
  }
  return dumped(settings);
}

Error error_of(const net::HttpResponse& response) {
  std::string message =
      fmt::format("the inference service answers with status {}", response.status);
  const json document = json::parse(response.body, nullptr, false);
  if (document.is_object() && document.value("error", json()).is_string()) {
    message = document["error"].get<std::string>();
  }
  const std::string_view name = response.headers.get("Skerry-Error");
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    if (code_name(static_cast<Code>(i)) == name) return Error(static_cast<Code>(i), message);
  }
  switch (response.status) {
    case 404:
      return Error(Code::kNotFound, message);
    case 413:
    case 429:
    case 507:
      return Error(Code::kResourceExhausted, message);
    case 503:
      return Error(Code::kUnavailable, message);
    default:
      return Error(response.status >= 500 ? Code::kInternal : Code::kInvalidArgument, message);
  }
}

}  // namespace skerry::gateway
