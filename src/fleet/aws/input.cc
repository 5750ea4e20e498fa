// Members, options, pages, tags and client tokens.
#include "fleet/aws/input.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "fleet/store.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr size_t kMaxTags = 200;
constexpr size_t kMaxTagKey = 128;
constexpr size_t kMaxTagValue = 256;
constexpr size_t kMaxClientToken = 64;

std::unexpected<Error> wrong(const std::string& name, const std::string& message) {
  return fail(Code::kInvalidArgument, name + ": " + message);
}

Result<void> check_length(const std::string& name, const std::string& text, Length length) {
  if (text.size() < length.min || text.size() > length.max) {
    return wrong(name, "must have " + std::to_string(length.min) + " to " +
                           std::to_string(length.max) + " characters, has " +
                           std::to_string(text.size()));
  }
  return {};
}

// "" where the request has none.
Result<std::string> client_token(const json& body) {
  SKERRY_ASSIGN(std::string token, string_member(body, "clientToken", {1, kMaxClientToken}));
  bool valid = std::all_of(token.begin(), token.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (!valid) return wrong("clientToken", "may have letters, digits and '-' only");
  return token;
}

std::string digest_of(const json& body) {
  return hex_encode(sha256(body.dump()));
}

}  // namespace

Result<std::string> string_member(const json& object, const std::string& name, Length length,
                                  bool required) {
  auto member = object.find(name);
  if (member == object.end() || member->is_null()) {
    if (required) return wrong(name, "is required");
    return std::string();
  }
  if (!member->is_string()) return wrong(name, "must be a string");
  std::string text = member->get<std::string>();
  SKERRY_TRY(check_length(name, text, length));
  return text;
}

Result<const json*> object_member(const json& object, const std::string& name) {
  auto member = object.find(name);
  if (member == object.end() || member->is_null()) return nullptr;
  if (!member->is_object()) return wrong(name, "must be an object");
  return &*member;
}

Result<std::string> enum_option(const ApiRequest& request, const std::string& name,
                                std::initializer_list<std::string_view> allowed) {
  std::string value = request.option(name);
  if (!request.query.contains(name)) return value;
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  std::string choices;
  for (std::string_view choice : allowed) {
    if (!choices.empty()) choices += ", ";
    choices += choice;
  }
  return wrong(name, "'" + value + "' is none of " + choices);
}

Result<bool> bool_option(const ApiRequest& request, const std::string& name, bool otherwise) {
  SKERRY_ASSIGN(std::string value, enum_option(request, name, {"true", "false", "True", "False"}));
  return value.empty() ? otherwise : value == "true" || value == "True";
}

Result<Page> page_of(const ApiRequest& request, size_t most, const std::string& limit_name,
                     const std::string& token_name) {
  Page page;
  page.limit = std::min<size_t>(most, 100);
  if (request.query.contains(limit_name)) {
    const std::string text = request.option(limit_name);
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), page.limit);
    if (error != std::errc() || end != text.data() + text.size() || page.limit < 1 ||
        page.limit > most) {
      return wrong(limit_name, "must be a number from 1 to " + std::to_string(most));
    }
  }
  auto after = base64_decode(request.option(token_name));
  if (!after) return wrong(token_name, "is not a token of this list");
  page.after = *after;
  return page;
}

void add_next_token(json& answer, const std::string& next, const std::string& token_name) {
  if (!next.empty()) answer[token_name] = base64_encode(next);
}

Result<void> check_tags(const json& tags) {
  if (tags.size() > kMaxTags) {
    return wrong("tags", "at most " + std::to_string(kMaxTags) + " are possible");
  }
  for (const auto& [key, value] : tags.items()) {
    SKERRY_TRY(check_length("tags: the key '" + key + "'", key, {1, kMaxTagKey}));
    if (!value.is_string()) return wrong("tags: " + key, "must be a string");
    SKERRY_TRY(check_length("tags: " + key, value.get<std::string>(), {0, kMaxTagValue}));
  }
  return {};
}

Result<json> tags_of(const json& body) {
  SKERRY_ASSIGN(const json* tags, object_member(body, "tags"));
  if (!tags) return json::object();
  SKERRY_TRY(check_tags(*tags));
  return *tags;
}

void add_tags(json& answer, const std::string& tags_json) {
  json tags = json::parse(tags_json, nullptr, false);
  if (tags.is_object() && !tags.empty()) answer["tags"] = std::move(tags);
}

double timestamp(int64_t wall_ms) {
  return static_cast<double>(wall_ms) / 1000.0;
}

Result<std::optional<json>> former_answer(ApiContext& context, const char* operation,
                                          const json& body) {
  SKERRY_ASSIGN(std::string token, client_token(body));
  if (token.empty()) return std::optional<json>();
  SKERRY_ASSIGN(auto answer, context.store.find_answer(operation, token));
  if (!answer) return std::optional<json>();
  if (answer->request_sha256 != digest_of(body)) {
    return fail(Code::kAlreadyExists,
                "clientToken " + token + " was used with another " + operation + " request");
  }
  return std::optional<json>(json::parse(answer->response_json, nullptr, false));
}

Result<void> remember_answer(ApiContext& context, const char* operation, const json& body,
                             const json& answer) {
  SKERRY_ASSIGN(std::string token, client_token(body));
  if (token.empty()) return {};
  return context.store.remember_answer(operation, token, {digest_of(body), answer.dump()},
                                       context.env.clock.wall_ms());
}

}  // namespace skerry::fleet::aws
