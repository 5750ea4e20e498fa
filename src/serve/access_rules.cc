// The document, member by member.
#include "serve/access_rules.h"

#include <fmt/format.h>
#include <pwd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/encoding.h"
#include "formats/json_ptr.h"
#include "formats/node.h"

namespace skerry::serve {
namespace {

using formats::Node;

constexpr size_t kMaxClients = 4096;
constexpr size_t kMaxModels = 1024;
constexpr size_t kDigestBytes = 32;
constexpr double kMaxRate = 1e9;
constexpr size_t kUserBufferBytes = 16 << 10;

constexpr formats::EnumNames<Right, 8> kRights = {{{Right::kRead, "read"},
                                                   {Right::kInfer, "infer"},
                                                   {Right::kMetrics, "metrics"},
                                                   {Right::kSharedMemory, "shared_memory"},
                                                   {Right::kRepository, "repository"},
                                                   {Right::kSettings, "settings"},
                                                   {Right::kRuntimes, "runtimes"},
                                                   {Right::kForward, "forward"}}};

// What every client and `anonymous` may have, then what says who a client is.
constexpr std::array<std::string_view, 8> kKnown = {
    "allow", "models", "requests_per_s", "burst", "concurrent", "name", "token_sha256", "user"};
constexpr size_t kOfAnonymous = 5;

Result<void> check_known(const Node& node, std::span<const std::string_view> known) {
  SKERRY_ASSIGN(const auto members, node.members());
  for (const auto& [key, member] : members) {
    if (std::ranges::find(known, key) == known.end()) {
      return member.wrong(fmt::format("is unknown here; there are: {}", fmt::join(known, ", ")));
    }
  }
  return {};
}

Result<double> read_rate(const Node& node, std::string_view key, double least) {
  SKERRY_ASSIGN(const auto found, node.find(key));
  if (!found) return 0;
  SKERRY_ASSIGN(const double value, found->as_number());
  if (value >= least && value <= kMaxRate) return value;
  return found->wrong(fmt::format("must be {} to {}", least, kMaxRate));
}

Result<RateLimit> read_limit(const Node& node) {
  RateLimit limit;
  SKERRY_ASSIGN(limit.requests_per_s, read_rate(node, "requests_per_s", 0.001));
  SKERRY_ASSIGN(limit.burst, read_rate(node, "burst", 1));
  if (limit.burst > 0 && limit.requests_per_s == 0) {
    return node.wrong("has 'burst' without 'requests_per_s'");
  }
  if (limit.requests_per_s > 0 && limit.burst == 0) {
    limit.burst = std::max(1.0, limit.requests_per_s);
  }
  int64_t concurrent = 0;
  SKERRY_TRY(node.read("concurrent", concurrent));
  if (concurrent < 0 || concurrent > 1'000'000)
    return node.wrong("'concurrent' must be 0 to 1000000");
  limit.concurrent = static_cast<uint32_t>(concurrent);
  return limit;
}

Result<AccessRule> read_rule(const Node& node) {
  AccessRule rule;
  SKERRY_ASSIGN(const auto allow, node.find("allow"));
  if (allow) {
    SKERRY_ASSIGN(const auto elements, allow->elements());
    for (const Node& element : elements) {
      SKERRY_ASSIGN(const Right right, element.as_enum(kRights));
      rule.rights.add(right);
    }
  }
  SKERRY_ASSIGN(const auto models, node.find("models"));
  if (models) {
    SKERRY_ASSIGN(rule.models, models->as_string_list());
    if (rule.models.empty() || rule.models.size() > kMaxModels) {
      return models->wrong(
          fmt::format("must have 1 to {} names; leave it out for all", kMaxModels));
    }
    for (const std::string& name : rule.models) {
      if (!name.empty() && name.find('*') >= name.size() - 1) continue;
      return models->wrong(fmt::format("'{}': a '*' stands at the end of a name alone", name));
    }
  }
  SKERRY_ASSIGN(rule.limit, read_limit(node));
  return rule;
}

Result<int64_t> read_user(const Node& node) {
  if (node.value().is_number()) {
    SKERRY_ASSIGN(const int64_t uid, node.as_integer());
    if (uid >= 0 && uid <= UINT32_MAX) return uid;
    return node.wrong("must be a user's number or name");
  }
  SKERRY_ASSIGN(const std::string name, node.as_string());
  std::string buffer(kUserBufferBytes, '\0');
  struct passwd entry = {};
  struct passwd* found = nullptr;
  ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) return static_cast<int64_t>(found->pw_uid);
  return node.wrong(fmt::format("there is no user '{}' on this machine", name));
}

// One digest, or several while a token is replaced by another.
Result<void> read_tokens(const Node& node, size_t client, AccessRules& rules) {
  std::vector<Node> elements = {node};
  if (!node.is_string()) {
    SKERRY_ASSIGN(elements, node.elements());
  }
  for (const Node& element : elements) {
    SKERRY_ASSIGN(const std::string text, element.as_string());
    const auto digest = hex_decode(text);
    if (!digest || digest->size() != kDigestBytes) {
      return element.wrong("must be 64 hexadecimal digits; `skerry-infer token` prints them");
    }
    if (!rules.tokens.emplace(std::string(*digest), client).second) {
      return element.wrong("is another token's, too");
    }
  }
  return {};
}

Result<void> read_client(const Node& node, AccessRules& rules) {
  SKERRY_TRY(check_known(node, kKnown));
  SKERRY_ASSIGN(AccessRule rule, read_rule(node));
  SKERRY_ASSIGN(const Node name, node.require("name"));
  SKERRY_ASSIGN(rule.name, name.as_string());
  if (rule.name.empty()) return name.wrong("is empty");
  const size_t index = rules.clients.size();
  SKERRY_ASSIGN(const auto token, node.find("token_sha256"));
  SKERRY_ASSIGN(const auto user, node.find("user"));
  if (!token && !user) return node.wrong("has neither 'token_sha256' nor 'user'");
  if (token) SKERRY_TRY(read_tokens(*token, index, rules));
  if (user) {
    SKERRY_ASSIGN(const int64_t uid, read_user(*user));
    if (!rules.users.emplace(uid, index).second) return user->wrong("is another client's, too");
  }
  rules.clients.push_back(std::move(rule));
  return {};
}

}  // namespace

std::string_view right_name(Right right) {
  return right == Right::kHealth ? "health" : formats::enum_name(kRights, right);
}

bool AccessRule::may_use(std::string_view model) const {
  if (models.empty()) return true;
  return std::ranges::any_of(models, [&](std::string_view each) {
    return each.ends_with('*') ? model.starts_with(each.substr(0, each.size() - 1)) : model == each;
  });
}

Result<AccessRules> parse_access_rules(std::string_view json_text) {
  SKERRY_ASSIGN(const auto document, formats::parse_json(json_text));
  const Node root(document, "");
  if (!root.is_object()) return fail(Code::kInvalidArgument, "access rules must be an object");
  constexpr std::array<std::string_view, 3> kMembers = {"format", "clients", "anonymous"};
  SKERRY_TRY(check_known(root, kMembers));
  SKERRY_ASSIGN(const Node format, root.require("format"));
  SKERRY_ASSIGN(const int64_t version, format.as_integer());
  if (version != 1) return format.wrong("must be 1");

  AccessRules rules;
  SKERRY_ASSIGN(const auto clients, root.find("clients"));
  if (clients) {
    SKERRY_ASSIGN(const auto elements, clients->elements());
    if (elements.size() > kMaxClients) {
      return clients->wrong(fmt::format("has more than {}", kMaxClients));
    }
    for (const Node& element : elements) SKERRY_TRY(read_client(element, rules));
  }
  SKERRY_ASSIGN(const auto anonymous, root.find("anonymous"));
  if (anonymous) {
    SKERRY_TRY(check_known(*anonymous, std::span(kKnown).first(kOfAnonymous)));
    SKERRY_ASSIGN(rules.anonymous, read_rule(*anonymous));
  }
  rules.anonymous.name = "anonymous";
  return rules;
}

}  // namespace skerry::serve
