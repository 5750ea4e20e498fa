// Pages, tags and client tokens.
#include "fleet/aws/input.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "fleet/store.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr size_t kMaxTags = 200;
constexpr int64_t kDefaultPage = 100;
constexpr size_t kMacBytes = 16;

// Of the operation, its filters and the position, under the control plane's key.
std::string page_mac(const ApiContext& context, std::string_view position) {
  json filters = context.given;
  for (const char* page : {"maxResults", "nextToken", "pageSize", "marker"}) filters.erase(page);
  const std::string signed_text = std::string(context.operation) + "\n" +
                                  formats::json_text(filters) + "\n" + std::string(position);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), context.page_key.data(), static_cast<int>(context.page_key.size()),
       reinterpret_cast<const unsigned char*>(signed_text.data()), signed_text.size(), mac, &size);
  return {reinterpret_cast<const char*>(mac), kMacBytes};
}

std::string digest_of(const json& request) {
  return hex_encode(sha256(formats::json_text(request)));
}

}  // namespace

Result<Page> page_of(const ApiContext& context, const Paged& request) {
  Page page;
  page.limit = static_cast<size_t>(request.max_results.value_or(kDefaultPage));
  if (request.next_token.empty()) return page;
  auto token = base64_decode(request.next_token);
  if (token && token->size() > kMacBytes) {
    page.after = token->substr(kMacBytes);
    const std::string expected = page_mac(context, page.after);
    if (CRYPTO_memcmp(token->data(), expected.data(), kMacBytes) == 0) return page;
  }
  return fail(Code::kInvalidArgument, "the token is not one of this list with these filters");
}

void add_next_token(const ApiContext& context, json& answer, const std::string& next,
                    const std::string& token_name) {
  if (!next.empty()) answer[token_name] = base64_encode(page_mac(context, next) + next);
}

json object_of(const std::string& text) {
  json object = json::parse(text, nullptr, false);
  return object.is_object() ? object : json::object();
}

void add_tags(json& answer, const std::string& tags_json) {
  json tags = object_of(tags_json);
  if (!tags.empty()) answer["tags"] = std::move(tags);
}

Result<void> check_tag_count(const json& tags) {
  if (tags.size() <= kMaxTags) return {};
  return fail(Code::kInvalidArgument,
              "tags: at most " + std::to_string(kMaxTags) + " are possible");
}

double timestamp(int64_t wall_ms) {
  return static_cast<double>(wall_ms) / 1000.0;
}

std::string thing_arn(const ApiContext& context, const ThingName& name) {
  return formats::target_arn(context.scope, {formats::Target::Kind::kThing, name.str()});
}

std::string group_arn(const ApiContext& context, const ThingGroupName& name) {
  return formats::target_arn(context.scope, {formats::Target::Kind::kThingGroup, name.str()});
}

std::string job_arn(const ApiContext& context, const JobId& job) {
  return formats::Arn{"aws", "iot", context.scope.region, context.scope.account, "job/" + job.str()}
      .str();
}

Result<std::optional<json>> former_answer(const ApiContext& context,
                                          const std::string& client_token) {
  if (client_token.empty()) return std::optional<json>();
  const std::string operation(context.operation);
  SKERRY_ASSIGN(auto answer, context.store.find_answer(operation, client_token));
  if (!answer) return std::optional<json>();
  if (answer->request_sha256 != digest_of(context.given)) {
    return fail(Code::kAlreadyExists,
                "clientToken " + client_token + " was used with another " + operation + " request");
  }
  return std::optional<json>(object_of(answer->response_json));
}

Result<void> remember_answer(const ApiContext& context, const std::string& client_token,
                             const json& answer) {
  if (client_token.empty()) return {};
  return context.store.remember_answer(std::string(context.operation), client_token,
                                       {digest_of(context.given), formats::json_text(answer)},
                                       context.env.clock.wall_ms());
}

}  // namespace skerry::fleet::aws
