// Rules and policies are read when they are asked for: a new configuration counts at once.
#include "nucleus/client_devices.h"

#include <nlohmann/json.hpp>

#include "net/x509.h"

namespace skerry::nucleus {
namespace {

using net::openssl::Certificate;
using nlohmann::json;

constexpr const char* kAuthComponent = "aws.greengrass.clientdevices.Auth";
constexpr std::string_view kThingName = "${iot:Connection.Thing.ThingName}";
constexpr size_t kTokenCharacters = 32;
constexpr int kMaxRuleDepth = 32;

// `*` stands for any text.
bool matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, after_star = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++after_star;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// any := all { OR all };  all := one { AND one };  one := ( any ) | thingName: NAME
class Rule {
 public:
  Rule(std::string_view text, const std::string& thing) : rest_(text), thing_(thing) {}

  Result<bool> run() {
    SKERRY_ASSIGN(const bool selected, any(0));
    if (!word().empty()) return wrong();
    return selected;
  }

 private:
  static std::unexpected<Error> wrong() {
    return fail(Code::kInvalidArgument,
                "a selectionRule is thingName: NAME, joined with AND, OR and parentheses");
  }
  // The next word, left where it is.
  std::string_view word() {
    while (rest_.starts_with(' ')) rest_.remove_prefix(1);
    if (rest_.starts_with('(') || rest_.starts_with(')')) return rest_.substr(0, 1);
    return rest_.substr(0, rest_.find_first_of(" ()"));
  }
  bool take(std::string_view wanted) {
    if (word() != wanted) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }
  Result<bool> any(int depth) {
    SKERRY_ASSIGN(bool selected, all(depth));
    while (take("OR")) {
      SKERRY_ASSIGN(const bool other, all(depth));
      selected |= other;
    }
    return selected;
  }
  Result<bool> all(int depth) {
    SKERRY_ASSIGN(bool selected, one(depth));
    while (take("AND")) {
      SKERRY_ASSIGN(const bool other, one(depth));
      selected &= other;
    }
    return selected;
  }
  Result<bool> one(int depth) {
    if (depth > kMaxRuleDepth) return wrong();
    if (take("(")) {
      SKERRY_ASSIGN(const bool selected, any(depth + 1));
      if (!take(")")) return wrong();
      return selected;
    }
    constexpr std::string_view kKey = "thingName:";
    if (!word().starts_with(kKey)) return wrong();
    rest_.remove_prefix(kKey.size());
    const std::string_view name = word();
    if (name.empty() || name == "(" || name == ")") return wrong();
    rest_.remove_prefix(name.size());
    return matches(name, thing_);
  }

  std::string_view rest_;
  const std::string& thing_;
};

// The lists of a configuration, as far as they are lists of text.
std::vector<std::string> texts(const json& object, const char* key) {
  std::vector<std::string> found;
  if (!object.is_object() || !object.contains(key) || !object[key].is_array()) return found;
  for (const json& each : object[key]) {
    if (each.is_string()) found.push_back(each.get<std::string>());
  }
  return found;
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool any_matches(const std::vector<std::string>& patterns, const std::string& thing,
                 std::string_view text) {
  for (std::string pattern : patterns) {
    for (size_t at = 0; (at = pattern.find(kThingName, at)) != std::string::npos;
         at += thing.size())
      pattern.replace(at, kThingName.size(), thing);
    if (matches(pattern, text)) return true;
  }
  return false;
}

// What a policy says; nothing where it says nothing. A denial wins.
std::optional<bool> verdict(const json& policy, const std::string& thing,
                            std::string_view operation, std::string_view resource) {
  std::optional<bool> allowed;
  if (!policy.is_object()) return allowed;
  for (const json& statement : policy) {
    if (!any_matches(texts(statement, "operations"), thing, operation) ||
        !any_matches(texts(statement, "resources"), thing, resource))
      continue;
    if (statement.contains("effect") && statement["effect"] != json("ALLOW")) return false;
    allowed = true;
  }
  return allowed;
}

bool is_valid_at(const Certificate& certificate, int64_t now_ms) {
  return net::x509::not_before_s(certificate.get()) < now_ms / 1000 &&
         net::x509::not_after_s(certificate.get()) > now_ms / 1000;
}

bool is_registered(const json& entry, const std::string& id) {
  if (!entry.is_object()) return false;
  if (entry.contains("certificateId") && entry["certificateId"] == json(id)) return true;
  if (!entry.contains("certificatePem") || !entry["certificatePem"].is_string()) return false;
  const Certificate registered =
      net::x509::parse_certificate(entry["certificatePem"].get_ref<const std::string&>());
  return registered && net::x509::fingerprint(registered.get()) == id;
}

bool is_known(std::string_view operation, std::string_view resource) {
  const auto goes_with = [&](std::string_view known, std::string_view prefix) {
    return operation == known && resource.starts_with(prefix) && resource.size() > prefix.size();
  };
  return goes_with("mqtt:connect", "mqtt:clientId:") || goes_with("mqtt:publish", "mqtt:topic:") ||
         goes_with("mqtt:subscribe", "mqtt:topicfilter:");
}

}  // namespace

Result<bool> selects(std::string_view rule, const std::string& thing) {
  return Rule(rule, thing).run();
}

json ClientDevices::registry(const char* part) const {
  return config_.tree().get(ComponentName(kAuthComponent), {part}).value_or(json());
}

Result<std::string> ClientDevices::thing_of(const std::string& certificate_pem,
                                            int64_t now_ms) const {
  const Certificate shown = net::x509::parse_certificate(certificate_pem);
  if (!shown) return fail(Code::kPermissionDenied, "this is no certificate in PEM");
  if (!is_valid_at(shown, now_ms)) {
    return fail(Code::kPermissionDenied, "the certificate is not valid at this time");
  }
  const std::string id = net::x509::fingerprint(shown.get());
  const json things = registry("clientDevices");
  if (things.is_object()) {
    for (const auto& [thing, entry] : things.items()) {
      if (is_registered(entry, id)) return thing;
    }
  }
  return fail(Code::kPermissionDenied, "the certificate is not that of a client device");
}

Result<std::string> ClientDevices::token_for(const std::string& client_id,
                                             const std::string& certificate_pem, io::Random& random,
                                             int64_t now_ms) {
  if (client_id.empty()) return fail(Code::kInvalidArgument, "clientId must not be empty");
  SKERRY_ASSIGN(std::string thing, thing_of(certificate_pem, now_ms));
  if (tokens_.size() >= kMaxTokens) {
    things_.erase(tokens_.front());
    tokens_.pop_front();
  }
  std::string token = random.token(kTokenCharacters);
  things_[token] = std::move(thing);
  tokens_.push_back(token);
  return token;
}

Result<bool> ClientDevices::allows(const std::string& token, std::string_view operation,
                                   std::string_view resource) const {
  const auto found = things_.find(token);
  if (found == things_.end()) return fail(Code::kNotFound, "no such token");
  if (!is_known(operation, resource)) {
    return fail(Code::kInvalidArgument,
                "mqtt:connect is asked of mqtt:clientId:…, mqtt:publish of mqtt:topic:…, "
                "mqtt:subscribe of mqtt:topicfilter:…");
  }
  const json groups = registry("deviceGroups");
  if (!groups.is_object() || !groups.contains("definitions") ||
      !groups["definitions"].is_object() || !groups.contains("policies"))
    return false;
  bool allowed = false;
  for (const json& group : groups["definitions"]) {
    if (!group.is_object()) continue;
    const auto selected = selects(text_at(group, "selectionRule"), found->second);
    const std::string policy = text_at(group, "policyName");
    if (!selected || !*selected || !groups["policies"].contains(policy)) continue;
    const auto said = verdict(groups["policies"][policy], found->second, operation, resource);
    if (said && !*said) return false;
    allowed |= said.has_value();
  }
  return allowed;
}

}  // namespace skerry::nucleus
