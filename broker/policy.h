// Who may do what on the fleet's broker, as pure functions: no mosquitto, no files, no clock.
//
// The identity of a session is its client id. That is sound because check_connect() lets a client
// id through only with the certificate it belongs to, and needed because the broker also asks for
// sessions whose client is away (queued messages, sessions restored from disk).
#pragma once

#include <set>
#include <string>
#include <string_view>

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

// Fingerprints of the certificates that may connect.
using Registry = std::set<std::string, std::less<>>;

// One fingerprint a line; empty lines and lines that start with '#' are skipped. False, and
// `registry` untouched, when a line is anything else.
bool parse_registry(std::string_view text, Registry& registry);

// The name a client id speaks for: "T" of "T", "T#2" and "T#endpoint-switch".
std::string_view name_of(std::string_view client_id);
bool is_control_plane(std::string_view client_id);

// Empty where the client may connect, else the reason why not.
std::string check_connect(const Certificate& certificate, std::string_view client_id,
                          const Registry& registry);

bool may_publish(std::string_view client_id, std::string_view topic);
bool may_receive(std::string_view client_id, std::string_view topic);
bool may_subscribe(std::string_view client_id, std::string_view filter);

// True where a subscription to `filter` can carry job notifications, so that the control plane
// should repeat the pending one: a device may have missed it before it subscribed.
bool carries_job_notifications(std::string_view client_id, std::string_view filter);

}  // namespace skerry::broker
