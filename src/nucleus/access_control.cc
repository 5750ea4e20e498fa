// Parsing of policies, and the matching of resources as a small automaton: time is bounded by
// pattern length times resource length, whatever the pattern.
#include "nucleus/access_control.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

// Whether text[at] is a whole topic level.
bool is_whole_level(std::string_view text, size_t at) {
  return (at == 0 || text[at - 1] == '/') && (at + 1 == text.size() || text[at + 1] == '/');
}

// The strings of a list; `complain` hears of everything else.
template <class Complain>
std::vector<std::string> strings_of(const json& policy, const char* key, Complain complain) {
  std::vector<std::string> strings;
  const auto list = policy.find(key);
  if (list == policy.end() || !list->is_array()) {
    complain(std::string("needs a list \"") + key + "\"");
    return strings;
  }
  for (const json& item : *list) {
    if (item.is_string()) {
      strings.push_back(item.get<std::string>());
    } else {
      complain(std::string("\"") + key + "\" must hold strings only");
    }
  }
  return strings;
}

}  // namespace

Result<ResourcePattern> ResourcePattern::parse(std::string_view text, bool mqtt_wildcards) {
  ResourcePattern pattern;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (rest.starts_with("${*}") || rest.starts_with("${?}") || rest.starts_with("${$}")) {
      pattern.tokens_.push_back({Kind::kCharacter, rest[2]});
      i += 3;
    } else if (rest[0] == '*') {
      pattern.tokens_.push_back({Kind::kAnything});
    } else if (rest[0] == '?') {
      return fail(Code::kInvalidArgument, "resource \"" + std::string(text) +
                                              "\": '?' is reserved; write ${?} for the character");
    } else if (mqtt_wildcards && rest[0] == '+' && is_whole_level(text, i)) {
      pattern.tokens_.push_back({Kind::kLevel});
    } else if (mqtt_wildcards && rest == "#" && is_whole_level(text, i)) {
      // "a/#" covers "a" as well: the slash belongs to the subtree.
      if (!pattern.tokens_.empty()) {
        pattern.tokens_.back() = {Kind::kSubtree};
      } else {
        pattern.tokens_.push_back({Kind::kAnything});
      }
    } else {
      pattern.tokens_.push_back({Kind::kCharacter, rest[0]});
    }
  }
  return pattern;
}

bool ResourcePattern::matches(std::string_view resource) const {
  // active[i]: the tokens before i have matched all that was read. Tokens that may match nothing
  // pass their activity on.
  std::vector<char> active(tokens_.size() + 1, 0), next(active);
  const auto pass_on = [&](std::vector<char>& states) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (states[i] && tokens_[i].kind != Kind::kCharacter) states[i + 1] = 1;
    }
  };
  active[0] = 1;
  pass_on(active);
  bool in_subtree = false;
  for (const char c : resource) {
    std::ranges::fill(next, 0);
    bool enters_subtree = in_subtree;
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (!active[i]) continue;
      switch (tokens_[i].kind) {
        case Kind::kCharacter:
          next[i + 1] |= tokens_[i].character == c;
          break;
        case Kind::kAnything:
          next[i] = 1;
          break;
        case Kind::kLevel:
          next[i] |= c != '/' && c != '#';
          break;
        case Kind::kSubtree:
          enters_subtree |= c == '/';
          break;
      }
    }
    in_subtree = enters_subtree;
    active.swap(next);
    pass_on(active);
  }
  return active.back() || in_subtree;
}

AccessPolicies AccessPolicies::parse(const json& access_control) {
  AccessPolicies all;
  if (!access_control.is_object()) {
    all.problems_.emplace_back("accessControl must be a JSON object");
    return all;
  }
  for (const auto& [service, policies] : access_control.items()) {
    if (!policies.is_object()) {
      all.problems_.push_back("accessControl of " + service + " must be a JSON object");
      continue;
    }
    for (const auto& [id, body] : policies.items()) {
      const auto complain = [&](const std::string& what) {
        all.problems_.push_back("accessControl policy " + id + " of " + service + ": " + what);
      };
      if (!body.is_object()) {
        complain("must be a JSON object");
        continue;
      }
      Policy policy{service, strings_of(body, "operations", complain), {}};
      for (const std::string& text : strings_of(body, "resources", complain)) {
        auto pattern = ResourcePattern::parse(text, service == kMqttProxyService);
        if (pattern) {
          policy.resources.push_back(std::move(*pattern));
        } else {
          complain(pattern.error().message());
        }
      }
      all.policies_.push_back(std::move(policy));
    }
  }
  return all;
}

bool AccessPolicies::allow(std::string_view service, std::string_view operation,
                           std::string_view resource) const {
  return std::ranges::any_of(policies_, [&](const Policy& policy) {
    return policy.service == service &&
           std::ranges::any_of(policy.operations,
                               [&](const std::string& o) { return o == "*" || o == operation; }) &&
           std::ranges::any_of(policy.resources,
                               [&](const ResourcePattern& r) { return r.matches(resource); });
  });
}

Result<void> AccessControl::check(const ComponentName& principal, std::string_view service,
                                  std::string_view operation, std::string_view resource) {
  Entry& entry = entries_[principal];
  if (entry.version != store_.version()) {
    entry.version = store_.version();
    std::string text;
    store_.tree().append_json(principal, {"accessControl"}, text);
    if (text != entry.text) {
      entry.policies = text.empty() ? AccessPolicies() : AccessPolicies::parse(json::parse(text));
      for (const std::string& problem : entry.policies.problems()) {
        log::warn("ipc", problem, {{"component", principal.str()}});
      }
      entry.text = std::move(text);
    }
  }
  if (entry.policies.allow(service, operation, resource)) return {};
  return fail(Code::kPermissionDenied, "Principal " + principal.str() +
                                           " is not authorized to perform " + std::string(service) +
                                           ":" + std::string(operation) + " on resource " +
                                           std::string(resource));
}

}  // namespace skerry::nucleus
