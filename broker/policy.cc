// The rules, in the order in which a client meets them: connect, subscribe, receive, publish.
#include "policy.h"

#include <algorithm>
#include <span>

#include "net/mqtt_topic.h"
#include "net/topic_policy.h"

namespace skerry::broker {
namespace {

using net::take_line;
using net::unshared_filter;

constexpr std::string_view kThings = "$aws/things/";
constexpr std::string_view kShare = "$share/";
constexpr std::string_view kThingVariable = "{thing}";
constexpr size_t kFingerprintLength = 64;
// Where AWS IoT answers who provisions by claim.
constexpr std::string_view kClaimRequests[] = {"$aws/certificates/create/json",
                                               "$aws/certificates/create-from-csr/json",
                                               "$aws/provisioning-templates/+/provision/json"};

// The characters AWS IoT allows in a thing name. None of them means anything in a topic filter.
bool is_thing_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
           c == '_' || c == '-';
  });
}

bool is_fingerprint(std::string_view line) {
  return line.size() == kFingerprintLength && std::all_of(line.begin(), line.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// Any name that is no thing's: a session of a claim must not take a thing's place.
std::string check_claim(std::string_view client_id, const Registry& registry) {
  if (!is_thing_name(client_id)) {
    return "client id '" + std::string(client_id) +
           "' of a claim must be letters, digits, - _ and :";
  }
  const bool is_taken =
      std::ranges::any_of(registry, [&](const auto& entry) { return entry.second == client_id; });
  return is_taken ? "client id '" + std::string(client_id) + "' of a claim is a thing's" : "";
}

// What stock nuclei put behind the thing's name for a second session. The number of sessions has to
// have an end: the broker keeps each for weeks.
bool is_session_suffix(std::string_view suffix) {
  if (suffix.empty() || suffix == "#endpoint-switch") return true;
  suffix.remove_prefix(1);
  return suffix.size() == 1 && suffix.front() >= '2' && suffix.front() <= '9';
}

// The part of `topic` below the thing's own reserved topics "$aws/things/T/"; empty where it is
// elsewhere.
std::string_view own_reserved(std::string_view client_id, std::string_view topic) {
  const std::string_view thing = name_of(client_id);
  if (!topic.starts_with(kThings)) return {};
  topic.remove_prefix(kThings.size());
  if (!topic.starts_with(thing)) return {};
  topic.remove_prefix(thing.size());
  return topic.starts_with('/') ? topic.substr(1) : std::string_view();
}

bool is_application_topic(std::string_view topic) {
  return !topic.empty() && topic.front() != '$';
}

// Topics on which the cloud answers. A thing that wrote to its own could only deceive itself and
// other sessions of its identity, but what arrives there should be the control plane's word.
bool is_answer(std::string_view reserved) {
  const std::string_view last = reserved.substr(reserved.rfind('/') + 1);
  return last == "accepted" || last == "rejected" || last == "delta" || last == "documents" ||
         reserved.starts_with("jobs/notify");
}

struct RegistryLine {
  std::string_view fingerprint, thing;  // both empty for a comment
};

std::optional<RegistryLine> parse_registry_line(std::string_view line) {
  if (line.empty() || line.front() == '#') return RegistryLine{};
  const bool is_removal = line.front() == '-';
  if (is_removal) line.remove_prefix(1);
  const std::string_view fingerprint = line.substr(0, kFingerprintLength);
  line.remove_prefix(fingerprint.size());
  if (!is_fingerprint(fingerprint)) return std::nullopt;
  if (is_removal) return line.empty() ? std::optional(RegistryLine{fingerprint, {}}) : std::nullopt;
  if (!line.starts_with(' ')) return std::nullopt;
  const std::string_view name = line.substr(line.starts_with(" *") ? 2 : 1);
  if (!is_thing_name(name)) return std::nullopt;
  return RegistryLine{fingerprint, line.substr(1)};
}

std::string_view take_level(std::string_view& topic, bool& more) {
  const size_t slash = topic.find('/');
  const std::string_view level = topic.substr(0, slash);
  more = slash != std::string_view::npos;
  topic.remove_prefix(more ? slash + 1 : topic.size());
  return level;
}

std::string for_thing(std::string pattern, std::string_view thing) {
  for (size_t at = 0; (at = pattern.find(kThingVariable, at)) != std::string::npos;) {
    pattern.replace(at, kThingVariable.size(), thing);
    at += thing.size();
  }
  return pattern;
}

bool is_own(std::string_view thing, std::string_view filter) {
  return filter == thing ||
         (filter.starts_with(thing) && filter.size() > thing.size() && filter[thing.size()] == '/');
}

bool is_open(std::string_view thing, std::span<const std::string> patterns,
             std::string_view filter) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) {
    return covers(for_thing(pattern, thing), filter);
  });
}

}  // namespace

std::optional<size_t> apply_registry(std::string_view text, Registry& registry) {
  const std::string_view complete = text.substr(0, text.rfind('\n') + 1);
  for (std::string_view rest = complete; !rest.empty();) {
    if (!parse_registry_line(take_line(rest))) return std::nullopt;
  }
  for (std::string_view rest = complete; !rest.empty();) {
    const auto line = parse_registry_line(take_line(rest));
    if (!line->thing.empty()) {
      registry.insert_or_assign(std::string(line->fingerprint), std::string(line->thing));
    } else if (const auto found = registry.find(line->fingerprint); found != registry.end()) {
      registry.erase(found);
    }
  }
  return complete.size();
}

size_t parse_topics(std::string_view text, TopicPolicy& policy) {
  using Kind = net::TopicPermission::Kind;
  TopicPolicy parsed;
  for (size_t number = 1; !text.empty(); ++number) {
    auto permission = net::parse_topic_line(take_line(text));
    if (!permission) return number;
    if (!*permission) continue;
    std::vector<std::string>& list = (*permission)->kind == Kind::kPublish     ? parsed.publish
                                     : (*permission)->kind == Kind::kSubscribe ? parsed.subscribe
                                                                               : parsed.retain;
    list.push_back(std::move((*permission)->filter));
  }
  policy = std::move(parsed);
  return 0;
}

bool covers(std::string_view pattern, std::string_view filter) {
  for (bool more_pattern = true, more_filter = true;;) {
    const std::string_view wanted = take_level(pattern, more_pattern);
    if (wanted == "#") return true;
    const std::string_view level = take_level(filter, more_filter);
    if (level == "#" || (wanted != "+" && wanted != level)) return false;
    // "a/#" matches "a" as well.
    if (!more_filter) return !more_pattern || pattern == "#";
    if (!more_pattern) return false;
  }
}

std::string_view name_of(std::string_view client_id) {
  return client_id.substr(0, client_id.find('#'));
}

bool is_control_plane(std::string_view client_id) {
  return name_of(client_id) == kControlPlaneName;
}

std::string check_connect(const Certificate& certificate, std::string_view client_id,
                          const Registry& registry) {
  const std::string_view name = name_of(client_id);
  if (is_control_plane(client_id)) {
    if (certificate.organization == kControlPlaneOrganization &&
        certificate.common_name == kControlPlaneName) {
      return {};
    }
    return "the name '" + std::string(name) + "' belongs to the control plane";
  }
  const auto registered = registry.find(certificate.sha256);
  if (registered == registry.end()) {
    return "certificate " + certificate.sha256 +
           " is revoked, not registered or not attached to a thing";
  }
  const std::string& thing = registered->second;
  if (!claim_of(thing).empty()) return check_claim(client_id, registry);
  if (name != thing) {
    return "client id '" + std::string(client_id) + "' is not '" + thing + "' or '" + thing +
           "#…', the thing that certificate " + certificate.sha256 + " is attached to";
  }
  if (!is_session_suffix(client_id.substr(thing.size()))) {
    return "client id '" + std::string(client_id) + "': further sessions of a thing are '" + thing +
           "#2' to '" + thing + "#9' and '" + thing + "#endpoint-switch'";
  }
  return {};
}

std::string_view claim_of(std::string_view registered) {
  return registered.starts_with('*') ? registered.substr(1) : std::string_view();
}

bool claim_may_publish(std::string_view topic) {
  return std::ranges::any_of(kClaimRequests, [&](auto pattern) { return covers(pattern, topic); });
}

bool claim_may_hear(std::string_view topic_or_filter) {
  for (const std::string_view answer : {"/accepted", "/rejected"}) {
    if (!topic_or_filter.ends_with(answer)) continue;
    return claim_may_publish(topic_or_filter.substr(0, topic_or_filter.size() - answer.size()));
  }
  return false;
}

bool may_subscribe(std::string_view client_id, std::string_view filter, const TopicPolicy& policy) {
  if (is_control_plane(client_id)) return true;
  const std::string_view thing = name_of(client_id), topics = unshared_filter(filter);
  if (!own_reserved(client_id, topics).empty()) return true;
  return is_application_topic(topics) &&
         (is_own(thing, topics) || is_open(thing, policy.subscribe, filter));
}

bool may_receive(std::string_view client_id, std::string_view topic, const TopicPolicy& policy) {
  if (is_control_plane(client_id) || !own_reserved(client_id, topic).empty()) return true;
  const std::string_view thing = name_of(client_id);
  if (!is_application_topic(topic)) return false;
  // The broker does not say by which subscription a message came: what a shared one may carry
  // may be received.
  return is_own(thing, topic) || is_open(thing, policy.subscribe, topic) ||
         std::ranges::any_of(policy.subscribe, [&](const std::string& pattern) {
           return pattern.starts_with(kShare) &&
                  covers(for_thing(std::string(unshared_filter(pattern)), thing), topic);
         });
}

bool may_publish(std::string_view client_id, std::string_view topic, bool retain,
                 const TopicPolicy& policy) {
  if (is_control_plane(client_id)) return true;
  const std::string_view thing = name_of(client_id);
  if (retain && !is_open(thing, policy.retain, topic)) return false;
  if (is_application_topic(topic)) {
    return is_own(thing, topic) || is_open(thing, policy.publish, topic);
  }
  const std::string_view reserved = own_reserved(client_id, topic);
  return !reserved.empty() && !is_answer(reserved);
}

bool carries_job_notifications(std::string_view client_id, std::string_view filter) {
  const std::string_view reserved = own_reserved(client_id, unshared_filter(filter));
  return reserved == "#" || reserved.starts_with("jobs/notify") || reserved.starts_with("jobs/#") ||
         reserved.starts_with("jobs/+") || reserved.starts_with("+/");
}

}  // namespace skerry::broker
