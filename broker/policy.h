// Who may do what on the fleet's broker, as pure functions: no mosquitto, no files, no clock.
//
// The identity of a session is its client id. That is sound because check_connect() lets a client
// id through only with the certificate it belongs to, and needed because the broker also asks for
// sessions whose client is away (queued messages, sessions restored from disk).
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::broker {

// Subject of the control plane's own certificate; it may do everything. No thing can have this
// name.
inline constexpr std::string_view kControlPlaneName = "skerry-fleet";
inline constexpr std::string_view kControlPlaneOrganization = "Skerry control plane";

struct Certificate {
  std::string common_name;
  std::string organization;
  std::string sha256;  // fingerprint of the DER form, lower-case hex
};

// By the fingerprints of the certificates that may connect: the things that they are attached to,
// or "*CLAIM", where devices that have no certificate of their own share one to ask for it.
using Registry = std::map<std::string, std::string, std::less<>>;

// Applies the complete lines of `text`: "FINGERPRINT THING" lets a certificate in as that thing,
// "FINGERPRINT *CLAIM" as a claim, "-FINGERPRINT" takes that back; empty lines and lines that start
// with '#' are skipped. Returns how many bytes were applied: an unfinished last line waits for its
// rest. Nothing, and `registry` untouched, when a line is anything else.
std::optional<size_t> apply_registry(std::string_view text, Registry& registry);

// Which application topics (those that do not start with '$') things may use, besides THING and
// THING/…, which each has to itself. Filters of MQTT, in which "{thing}" stands for the name of the
// thing that asks.
struct TopicPolicy {
  std::vector<std::string> publish;
  std::vector<std::string> subscribe;
  std::vector<std::string> retain;  // where messages may stay in the broker; nowhere by default
};

// One permission a line: "publish FILTER", "subscribe FILTER" or "retain FILTER"; empty lines and
// lines that start with '#' are skipped. The number of the first line that is anything else, and
// `policy` untouched; 0 where all is well.
size_t parse_topics(std::string_view text, TopicPolicy& policy);

// True where every topic that `filter` (or topic) matches is matched by `pattern` too.
bool covers(std::string_view pattern, std::string_view filter);

// The name a client id speaks for: "T" of "T", "T#2" and "T#endpoint-switch".
std::string_view name_of(std::string_view client_id);
bool is_control_plane(std::string_view client_id);

// Empty where the client may connect, else the reason why not.
std::string check_connect(const Certificate& certificate, std::string_view client_id,
                          const Registry& registry);

// The claim that a certificate with this entry in the registry is of; "" where it is a thing's.
std::string_view claim_of(std::string_view registered);
// What sessions of a claim may do, whatever their client id: ask for a certificate and for a thing,
// and hear the answers.
bool claim_may_publish(std::string_view topic);
bool claim_may_hear(std::string_view topic_or_filter);

bool may_publish(std::string_view client_id, std::string_view topic, bool retain,
                 const TopicPolicy& policy);
bool may_receive(std::string_view client_id, std::string_view topic, const TopicPolicy& policy);
// A shared subscription to application topics is opened by its whole text ("$share/GROUP/FILTER"):
// it takes messages from whoever else is in the group.
bool may_subscribe(std::string_view client_id, std::string_view filter, const TopicPolicy& policy);

// True where a subscription to `filter` can carry job notifications, so that the control plane
// should repeat the pending one: a device may have missed it before it subscribed.
bool carries_job_notifications(std::string_view client_id, std::string_view filter);

}  // namespace skerry::broker
