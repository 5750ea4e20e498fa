// Statuses of HTTP as codes.
#include "formats/inference_refusal.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace skerry::formats {
namespace {

constexpr size_t kMaxTextBytes = 300;

Code code_of(int status) {
  switch (status) {
    case 401:
    case 403:
      return Code::kPermissionDenied;
    case 404:
      return Code::kNotFound;
    case 409:
      return Code::kFailedPrecondition;
    case 429:
      return Code::kResourceExhausted;
    case 503:
      return Code::kUnavailable;
    default:
      return status / 100 == 5 ? Code::kInternal : Code::kInvalidArgument;
  }
}

}  // namespace

Error inference_refusal(int status, std::string_view body) {
  std::string text = fmt::format("the inference service answers with status {}", status);
  const nlohmann::json document = nlohmann::json::parse(body, nullptr, false);
  if (document.is_object()) {
    const auto error = document.find("error");
    if (error != document.end() && error->is_string()) {
      text = error->get_ref<const std::string&>().substr(0, kMaxTextBytes);
    }
  }
  if (status == 401) {
    text += "; a token is given by --token-file FILE or in the variable SKERRY_INFER_TOKEN";
  }
  return Error(code_of(status), std::move(text));
}

}  // namespace skerry::formats
