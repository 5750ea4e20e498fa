// The Open Inference Protocol with binary tensors both ways.
#include "flow/model_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/inference_refusal.h"

namespace skerry::flow {
namespace {

using nlohmann::json;

constexpr std::string_view kJsonBytesHeader = "Inference-Header-Content-Length";

Error error_of(const net::HttpResponse& response) {
  Error error = formats::inference_refusal(response.status, response.body);
  // A model may be deployed after those who ask for it.
  if (error.code() != Code::kNotFound) return error;
  return Error(Code::kUnavailable, error.message());
}

// Throws nlohmann's exceptions.
Result<ModelClient::Answer> parse_answer(const net::HttpResponse& response) {
  const std::string_view body = response.body;
  const size_t json_bytes =
      std::min(static_cast<size_t>(std::strtoull(
                   std::string(response.headers.get(kJsonBytesHeader)).c_str(), nullptr, 10)),
               body.size());
  const json document = json::parse(body.substr(0, json_bytes == 0 ? body.size() : json_bytes));
  ModelClient::Answer answer{document.value("model_version", ""), {}};
  size_t at = json_bytes;
  for (const json& output : document.at("outputs")) {
    tensor::Tensor made;
    made.name = output.at("name");
    SKERRY_ASSIGN(made.type, tensor::parse_data_type(output.at("datatype").get<std::string>()));
    made.shape = output.at("shape").get<std::vector<int64_t>>();
    const auto size = output.at("parameters").at("binary_data_size").get<size_t>();
    SKERRY_ASSIGN(const size_t count, tensor::element_count(made.shape));
    const size_t element = tensor::size_of(made.type);
    if (size > body.size() - at || (element > 0 && size != count * element)) {
      return fail(Code::kCorrupt, "the inference service's answer is shorter than it says");
    }
    const auto* first = reinterpret_cast<const std::byte*>(body.data()) + at;
    made.bytes.assign(first, first + size);
    at += size;
    answer.outputs.push_back(std::move(made));
  }
  return answer;
}

}  // namespace

const tensor::Tensor* ModelClient::Answer::find(std::string_view name) const {
  const auto found = std::ranges::find(outputs, name, &tensor::Tensor::name);
  return found == outputs.end() ? nullptr : &*found;
}

std::string ModelClient::target(std::string_view rest) const {
  std::string target = "/v2/models/" + net::percent_encode(model_);
  if (!version_.empty()) target += "/versions/" + net::percent_encode(version_);
  return target.append(rest);
}

io::Task<Result<void>> ModelClient::look() {
  const std::string path = target("");
  SKERRY_CO_ASSIGN(const auto response, co_await http_.fetch(base_ + path, {.target = path}));
  if (response.status != 200) co_return fail(error_of(response));
  try {
    inputs_.clear();
    for (const json& input : json::parse(response.body).at("inputs")) {
      SKERRY_CO_ASSIGN(const auto type,
                       tensor::parse_data_type(input.at("datatype").get<std::string>()));
      inputs_.push_back({input.at("name"), type, input.at("shape")});
    }
  } catch (const json::exception& e) {
    co_return fail(Code::kCorrupt, fmt::format("the inference service's answer: {}", e.what()));
  }
  co_return Result<void>();
}

Result<const tensor::TensorSpec*> ModelClient::input(std::string_view name) const {
  std::string names;
  for (const tensor::TensorSpec& spec : inputs_) {
    if (spec.name == name) return &spec;
    names += (names.empty() ? "" : ", ") + spec.name;
  }
  return fail(Code::kInvalidArgument,
              fmt::format("model '{}' has no input '{}', only: {}", model_, name, names));
}

io::Task<Result<ModelClient::Answer>> ModelClient::infer(std::vector<tensor::Tensor> inputs) {
  json head = {{"inputs", json::array()}, {"parameters", {{"binary_data_output", true}}}};
  for (const tensor::Tensor& input : inputs) {
    head["inputs"].push_back({{"name", input.name},
                              {"datatype", tensor::name_of(input.type)},
                              {"shape", input.shape},
                              {"parameters", {{"binary_data_size", input.bytes.size()}}}});
  }
  net::HttpRequest request{.method = "POST", .target = target("/infer"), .body = head.dump()};
  request.headers.add(std::string(kJsonBytesHeader), std::to_string(request.body.size()));
  for (const tensor::Tensor& input : inputs) {
    request.body.append(reinterpret_cast<const char*>(input.bytes.data()), input.bytes.size());
  }
  const std::string url = base_ + request.target;
  SKERRY_CO_ASSIGN(const auto response, co_await http_.fetch(url, std::move(request)));
  if (response.status != 200) co_return fail(error_of(response));
  try {
    co_return parse_answer(response);
  } catch (const json::exception& e) {
    co_return fail(Code::kCorrupt, fmt::format("the inference service's answer: {}", e.what()));
  }
}

}  // namespace skerry::flow
