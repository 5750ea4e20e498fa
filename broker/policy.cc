// The rules, in the order in which a client meets them: connect, subscribe, receive, publish.
#include "policy.h"

#include <algorithm>

namespace skerry::broker {
namespace {

constexpr std::string_view kThings = "$aws/things/";
constexpr std::string_view kShare = "$share/";
constexpr size_t kFingerprintLength = 64;

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

// The filter that a shared subscription "$share/GROUP/FILTER" shares.
std::string_view unshared(std::string_view filter) {
  if (!filter.starts_with(kShare)) return filter;
  const size_t slash = filter.find('/', kShare.size());
  return slash == std::string_view::npos ? std::string_view() : filter.substr(slash + 1);
}

// Topics on which the cloud answers. A thing that wrote to its own could only deceive itself and
// other sessions of its identity, but what arrives there should be the control plane's word.
bool is_answer(std::string_view reserved) {
  const std::string_view last = reserved.substr(reserved.rfind('/') + 1);
  return last == "accepted" || last == "rejected" || last == "delta" || last == "documents" ||
         reserved.starts_with("jobs/notify");
}

}  // namespace

bool parse_registry(std::string_view text, Registry& registry) {
  Registry parsed;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty() || line.front() == '#') continue;
    if (!is_fingerprint(line)) return false;
    parsed.emplace(line);
  }
  registry = std::move(parsed);
  return true;
}

std::string_view name_of(std::string_view client_id) {
  return client_id.substr(0, client_id.find('#'));
}

bool is_control_plane(std::string_view client_id) {
  return name_of(client_id) == kControlPlaneName;
}

std::string check_connect(const Certificate& certificate, std::string_view client_id,
                          const Registry& registry) {
  const std::string& name = certificate.common_name;
  if (name_of(client_id) != name) {
    return "client id '" + std::string(client_id) + "' is not the certificate's common name '" +
           name + "' or '" + name + "#…'";
  }
  if (name == kControlPlaneName) {
    if (certificate.organization == kControlPlaneOrganization) return {};
    return "the name '" + name + "' belongs to the control plane";
  }
  if (!is_thing_name(name)) return "the certificate's common name '" + name + "' is no thing name";
  if (!registry.contains(certificate.sha256)) {
    return "certificate " + certificate.sha256 + " of thing '" + name +
           "' is revoked or not registered";
  }
  return {};
}

bool may_subscribe(std::string_view client_id, std::string_view filter) {
  if (is_control_plane(client_id)) return true;
  filter = unshared(filter);
  // Wildcards at the front ("#", "+/…") match no topic that starts with '$'.
  return is_application_topic(filter) || !own_reserved(client_id, filter).empty();
}

bool may_receive(std::string_view client_id, std::string_view topic) {
  return is_control_plane(client_id) || is_application_topic(topic) ||
         !own_reserved(client_id, topic).empty();
}

bool may_publish(std::string_view client_id, std::string_view topic) {
  if (is_control_plane(client_id) || is_application_topic(topic)) return true;
  const std::string_view reserved = own_reserved(client_id, topic);
  return !reserved.empty() && !is_answer(reserved);
}

bool carries_job_notifications(std::string_view client_id, std::string_view filter) {
  const std::string_view reserved = own_reserved(client_id, unshared(filter));
  return reserved == "#" || reserved.starts_with("jobs/notify") || reserved.starts_with("jobs/#") ||
         reserved.starts_with("jobs/+") || reserved.starts_with("+/");
}

}  // namespace skerry::broker
