// mosquitto (2.0, plugin interface 5) ⇄ policy.h: reads certificates, asks the policy, ends the
// sessions of certificates that left the registry, and tells the control plane who came, went and
// subscribed.
//
// Options:
// - `plugin_opt_registry FILE`: the active certificates (apply_registry). The control plane appends
//   what changes, and replaces the file now and then. It is looked at before each connect, and
//   twice a second for the sessions that are open. While it cannot be read, the last good list
//   stays in force, so that a full disk locks nobody out.
// - `plugin_opt_topics FILE`: the topics that are open to things (parse_topics); looked at
// likewise.
//   Without it nothing is open.
// - `plugin_opt_retained FILE`: what things left to stay (retained.h), written at most once a
// minute
//   and at the end. Without it that is counted anew at every start.
//
// Messages to the control plane, which alone may read them:
// - `$skerry/subscribed/T` with the filter that thing T subscribed to, where job notifications can
//   arrive on it.
// - `$skerry/presence` with who came and went since the last one (presence.h). Whoever publishes to
//   `$skerry/presence/get` causes a list of all who are there.
//
// - `$skerry/claims/CLAIM/CLIENT/TOPIC` with what a session of a claim has published to TOPIC. What
//   the control plane publishes to `$skerry/answers/CLIENT/TOPIC` goes to that session alone, as
//   TOPIC, whether it has subscribed or not: others of the claim must not hear it.
//
// The broker calls everything here from its one thread. `use_identity_as_username` must stay off:
// with it the broker never asks a plugin about a connection.
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "followed_file.h"
#include "policy.h"
#include "presence.h"
#include "quota.h"
#include "retained.h"

namespace skerry::broker {
namespace {

constexpr auto kLookInterval = std::chrono::milliseconds(500);
constexpr auto kRetainedInterval = std::chrono::minutes(1);
constexpr int kMessagesPerTick = 32;
constexpr std::string_view kAnswers = "$skerry/answers/";
constexpr uint32_t kMostOfClaim = 16 << 10;  // bytes of a message

struct Session {
  std::string client_id;
  std::string sha256;
  std::string claim;  // "" where it is a thing's, or the control plane's
};

std::string subject_entry(X509* certificate, int nid) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  const int index = X509_NAME_get_index_by_NID(subject, nid, -1);
  if (index < 0) return {};
  unsigned char* utf8 = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
  if (size < 0) return {};
  std::string text(utf8, utf8 + size);
  OPENSSL_free(utf8);
  return text;
}

std::string fingerprint(X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return {};
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

// Queued by the broker until the packet in hand is done: a notification that answers it finds the
// subscription in place.
void tell_control_plane(const std::string& topic, std::string_view payload) {
  mosquitto_broker_publish_copy(nullptr, topic.c_str(), static_cast<int>(payload.size()),
                                payload.data(), 1, false, nullptr);
}

class Plugin {
 public:
  Plugin(std::string registry_path, std::string topics_path, std::string retained_path)
      : registry_file_(std::move(registry_path)),
        topics_file_(std::move(topics_path)),
        retained_path_(std::move(retained_path)) {}

  // Reads the registry file where it changed. True when other certificates are in force.
  bool refresh_registry() {
    FollowedFile::News news;
    switch (registry_file_.look(news)) {
      case FollowedFile::State::kSame:
        return false;
      case FollowedFile::State::kMissing:
        return complain("cannot be found");
      case FollowedFile::State::kUnreadable:
        return complain("cannot be read");
      case FollowedFile::State::kNews:
        break;
    }
    Registry fresh;
    const auto applied = apply_registry(news.text, news.replaced ? fresh : registry_);
    if (!applied) return complain("has a line that is no fingerprint with a thing");
    if (news.replaced) registry_ = std::move(fresh);
    registry_file_.consume(*applied);
    complained_ = false;
    return true;
  }

  void refresh_topics() {
    FollowedFile::News news;
    const auto state = topics_file_.look(news);
    if (state == FollowedFile::State::kMissing) topics_ = {};
    if (state != FollowedFile::State::kNews) return;
    // Always read whole: nothing of it is consumed.
    if (const size_t line = parse_topics(news.text, topics_)) {
      mosquitto_log_printf(MOSQ_LOG_ERR,
                           "skerry: %s line %u is not publish, subscribe or retain with a filter; "
                           "the previous topics stay open",
                           topics_file_.path().c_str(), static_cast<unsigned>(line));
    } else {
      mosquitto_log_printf(MOSQ_LOG_NOTICE, "skerry: topics of %s are in force",
                           topics_file_.path().c_str());
    }
  }

  int connect(mosquitto* client) {
    const char* id = mosquitto_client_id(client);
    const std::string client_id = id ? id : "";
    const std::unique_ptr<X509, decltype(&X509_free)> x509(
        static_cast<X509*>(mosquitto_client_certificate(client)), X509_free);
    if (!x509) return refuse(client, client_id, "it showed no certificate");
    const Certificate certificate{subject_entry(x509.get(), NID_commonName),
                                  subject_entry(x509.get(), NID_organizationName),
                                  fingerprint(x509.get())};
    if (refresh_registry()) end_revoked_ = true;
    const std::string reason = check_connect(certificate, client_id, registry_);
    if (!reason.empty()) return refuse(client, client_id, reason);
    disconnect(client);  // where the broker's memory for an earlier session serves again
    std::string claim;
    if (!is_control_plane(client_id)) claim = claim_of(registry_.find(certificate.sha256)->second);
    // By session and not by client id: when a client id connects anew, the old session's end is
    // reported after the new one's start.
    Session& session = sessions_[client] = {client_id, certificate.sha256, std::move(claim)};
    if (is_thing(session)) presence_.session_began(name_of(client_id));
    return MOSQ_ERR_SUCCESS;
  }

  void disconnect(const mosquitto* client) {
    const auto session = sessions_.find(client);
    if (session == sessions_.end()) return;
    if (is_thing(session->second)) presence_.session_ended(name_of(session->second.client_id));
    sessions_.erase(session);
  }

  int check_access(const mosquitto_evt_acl_check& event) {
    const char* id = mosquitto_client_id(event.client);
    if (!id) return MOSQ_ERR_ACL_DENIED;
    const std::string_view client_id = id, topic = event.topic;
    const auto session = sessions_.find(event.client);
    if (session != sessions_.end() && !session->second.claim.empty())
      return check_claim_access(session->second, event);
    switch (event.access) {
      case MOSQ_ACL_UNSUBSCRIBE:
        quota_.unsubscribe(client_id, topic);
        return MOSQ_ERR_SUCCESS;
      case MOSQ_ACL_READ:
        return may_receive(client_id, topic, topics_) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
      case MOSQ_ACL_WRITE:
        return check_publish(client_id, event);
      case MOSQ_ACL_SUBSCRIBE:
        return check_subscribe(client_id, topic);
      default:
        return MOSQ_ERR_ACL_DENIED;
    }
  }

  // The broker ticks at every turn of its loop, at least ten times a second.
  void tick() {
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_refresh_) {
      next_refresh_ = now + kLookInterval;
      if (refresh_registry()) end_revoked_ = true;
      refresh_topics();
    }
    // As many as the control plane's session can take.
    for (int sent = 0; sent < kMessagesPerTick; ++sent) {
      const auto message = presence_.take_message();
      if (!message) break;
      tell_control_plane("$skerry/presence", *message);
    }
    if (std::exchange(end_revoked_, false)) end_revoked_sessions();
    if (now >= next_retained_) {
      next_retained_ = now + kRetainedInterval;
      remove_overdue();
      write_retained();
    }
  }

  void read_retained() {
    std::ifstream file(retained_path_, std::ios::binary);
    if (!file) return;  // the first start
    const std::string text(std::istreambuf_iterator<char>(file), {});
    if (!retained_.read(text)) {
      mosquitto_log_printf(MOSQ_LOG_WARNING,
                           "skerry: %s is damaged; retained messages are counted anew",
                           retained_path_.c_str());
    }
  }

  // The broker's own snapshot may be as old, so it is not forced to the disk.
  void write_retained() {
    if (retained_path_.empty() || !retained_.take_changed()) return;
    const std::string fresh = retained_path_ + ".new";
    std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
    file << retained_.text();
    file.close();
    if (!file || std::rename(fresh.c_str(), retained_path_.c_str()) != 0) {
      mosquitto_log_printf(MOSQ_LOG_WARNING, "skerry: cannot write %s", retained_path_.c_str());
    }
  }

 private:
  void remove_overdue() {
    const auto now = std::chrono::system_clock::now();
    for (const auto& [thing, topic] : retained_.overdue(now)) {
      mosquitto_broker_publish_copy(nullptr, topic.c_str(), 0, nullptr, 0, true, nullptr);
      retained_.keep(now, thing, topic, 0);
    }
  }

  static bool is_thing(const Session& session) {
    return session.claim.empty() && !is_control_plane(session.client_id);
  }

  int check_claim_access(const Session& session, const mosquitto_evt_acl_check& event) {
    const std::string_view topic = event.topic;
    switch (event.access) {
      case MOSQ_ACL_UNSUBSCRIBE:
        return MOSQ_ERR_SUCCESS;
      case MOSQ_ACL_READ:
        return claim_may_hear(topic) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
      case MOSQ_ACL_SUBSCRIBE:
        if (claim_may_hear(topic)) return MOSQ_ERR_SUCCESS;
        return deny(session.client_id, "has a claim, and may not subscribe to", event.topic);
      case MOSQ_ACL_WRITE:
        break;
      default:
        return MOSQ_ERR_ACL_DENIED;
    }
    if (!claim_may_publish(topic) || event.retain)
      return deny(session.client_id, "has a claim, and may not publish to", event.topic);
    // All of a claim together: a claim that has got about keeps nobody else from the broker.
    if (event.payloadlen > kMostOfClaim ||
        !quota_.publish(std::chrono::steady_clock::now(), "*" + session.claim, true,
                        event.payloadlen)) {
      return deny(session.client_id, "has a claim that publishes too much; refused", event.topic);
    }
    tell_control_plane(
        "$skerry/claims/" + session.claim + "/" + session.client_id + "/" + std::string(topic),
        {static_cast<const char*>(event.payload), event.payloadlen});
    return MOSQ_ERR_SUCCESS;
  }

  // `to`: "CLIENT/TOPIC".
  void hand_on(std::string_view to, const mosquitto_evt_acl_check& event) const {
    const std::string client(to.substr(0, to.find('/')));
    const std::string topic(to.substr(std::min(to.size(), client.size() + 1)));
    const bool is_there = std::ranges::any_of(sessions_, [&](const auto& each) {
      return !each.second.claim.empty() && each.second.client_id == client;
    });
    if (!is_there || !claim_may_hear(topic)) return;
    mosquitto_broker_publish_copy(client.c_str(), topic.c_str(), static_cast<int>(event.payloadlen),
                                  event.payload, 1, false, nullptr);
  }

  bool complain(const char* what) {
    if (!std::exchange(complained_, true)) {
      mosquitto_log_printf(MOSQ_LOG_ERR, "skerry: registry %s %s; the previous list stays in force",
                           registry_file_.path().c_str(), what);
    }
    return false;
  }

  int deny(std::string_view client_id, const char* what, const char* topic) {
    if (quota_.may_complain(std::chrono::steady_clock::now(), name_of(client_id))) {
      mosquitto_log_printf(MOSQ_LOG_NOTICE, "skerry: %s %s %s (further refusals are not logged)",
                           std::string(client_id).c_str(), what, topic);
    }
    return MOSQ_ERR_ACL_DENIED;
  }

  int check_publish(std::string_view client_id, const mosquitto_evt_acl_check& event) {
    const std::string_view topic = event.topic, thing = name_of(client_id);
    if (!may_publish(client_id, topic, event.retain, topics_)) {
      return deny(client_id, event.retain ? "may not retain a message on" : "may not publish to",
                  event.topic);
    }
    if (is_control_plane(client_id)) {
      if (topic == "$skerry/presence/get") presence_.ask();
      if (topic.starts_with(kAnswers)) hand_on(topic.substr(kAnswers.size()), event);
      return MOSQ_ERR_SUCCESS;
    }
    if (!quota_.publish(std::chrono::steady_clock::now(), thing, topic.starts_with('$'),
                        event.payloadlen)) {
      return deny(client_id, "publishes too much; refused", event.topic);
    }
    if (event.retain &&
        !retained_.keep(std::chrono::system_clock::now(), thing, topic, event.payloadlen)) {
      return deny(client_id, "retains too many messages, or too large ones; refused", event.topic);
    }
    return MOSQ_ERR_SUCCESS;
  }

  int check_subscribe(std::string_view client_id, std::string_view filter) {
    if (!may_subscribe(client_id, filter, topics_)) {
      return deny(client_id, "may not subscribe to", std::string(filter).c_str());
    }
    if (is_control_plane(client_id)) return MOSQ_ERR_SUCCESS;
    if (!quota_.subscribe(client_id, filter)) {
      return deny(client_id, "has too many subscriptions; refused", std::string(filter).c_str());
    }
    if (carries_job_notifications(client_id, filter)) {
      tell_control_plane("$skerry/subscribed/" + std::string(name_of(client_id)), filter);
    }
    return MOSQ_ERR_SUCCESS;
  }

  int refuse(mosquitto* client, const std::string& client_id, const std::string& reason) {
    const char* address = mosquitto_client_address(client);
    mosquitto_log_printf(MOSQ_LOG_NOTICE, "skerry: refused client '%s' from %s: %s",
                         client_id.c_str(), address ? address : "?", reason.c_str());
    return MOSQ_ERR_AUTH;
  }

  void end_revoked_sessions() {
    std::vector<std::string> revoked;  // kicking changes sessions_
    for (const auto& [client, session] : sessions_) {
      if (is_control_plane(session.client_id)) continue;
      const auto registered = registry_.find(session.sha256);
      const std::string now = registered == registry_.end() ? "" : registered->second;
      if (now !=
          (session.claim.empty() ? std::string(name_of(session.client_id)) : "*" + session.claim)) {
        revoked.push_back(session.client_id);
      }
    }
    for (const std::string& client_id : revoked) {
      mosquitto_log_printf(
          MOSQ_LOG_NOTICE,
          "skerry: ended the session of '%s': its certificate is revoked or detached",
          client_id.c_str());
      mosquitto_kick_client_by_clientid(client_id.c_str(), false);
    }
  }

  FollowedFile registry_file_, topics_file_;
  bool complained_ = false;
  Registry registry_;
  TopicPolicy topics_;
  Quota quota_;
  const std::string retained_path_;
  Retained retained_;
  std::unordered_map<const mosquitto*, Session> sessions_;
  Presence presence_;
  bool end_revoked_ = false;
  std::chrono::steady_clock::time_point next_refresh_, next_retained_;
};

int on_connect(int, void* data, void* plugin) {
  return static_cast<Plugin*>(plugin)->connect(
      static_cast<mosquitto_evt_basic_auth*>(data)->client);
}
int on_access(int, void* data, void* plugin) {
  return static_cast<Plugin*>(plugin)->check_access(*static_cast<mosquitto_evt_acl_check*>(data));
}
int on_disconnect(int, void* data, void* plugin) {
  static_cast<Plugin*>(plugin)->disconnect(static_cast<mosquitto_evt_disconnect*>(data)->client);
  return MOSQ_ERR_SUCCESS;
}
int on_tick(int, void*, void* plugin) {
  static_cast<Plugin*>(plugin)->tick();
  return MOSQ_ERR_SUCCESS;
}

}  // namespace
}  // namespace skerry::broker

#define SKERRY_EXPORT extern "C" __attribute__((visibility("default")))

SKERRY_EXPORT int mosquitto_plugin_version(int count, const int* versions) {
  for (int i = 0; i < count; ++i) {
    if (versions[i] == MOSQ_PLUGIN_VERSION) return MOSQ_PLUGIN_VERSION;
  }
  return -1;
}

SKERRY_EXPORT int mosquitto_plugin_init(mosquitto_plugin_id_t* identifier, void** user_data,
                                        mosquitto_opt* options, int option_count) {
  using namespace skerry::broker;
  std::string registry_path, topics_path, retained_path;
  for (int i = 0; i < option_count; ++i) {
    if (std::string_view(options[i].key) == "registry") registry_path = options[i].value;
    if (std::string_view(options[i].key) == "topics") topics_path = options[i].value;
    if (std::string_view(options[i].key) == "retained") retained_path = options[i].value;
  }
  auto plugin = std::make_unique<Plugin>(registry_path, topics_path, retained_path);
  if (!plugin->refresh_registry()) {
    mosquitto_log_printf(
        MOSQ_LOG_ERR,
        "skerry: plugin_opt_registry must name the file of active certificates; '%s' is "
        "missing or damaged",
        registry_path.c_str());
    return MOSQ_ERR_INVAL;
  }
  plugin->refresh_topics();
  plugin->read_retained();
  const std::pair<int, MOSQ_FUNC_generic_callback> callbacks[] = {
      {MOSQ_EVT_BASIC_AUTH, on_connect},
      {MOSQ_EVT_ACL_CHECK, on_access},
      {MOSQ_EVT_DISCONNECT, on_disconnect},
      {MOSQ_EVT_TICK, on_tick},
  };
  for (const auto& [event, callback] : callbacks) {
    const int rc = mosquitto_callback_register(identifier, event, callback, nullptr, plugin.get());
    if (rc != MOSQ_ERR_SUCCESS) return rc;
  }
  *user_data = plugin.release();
  return MOSQ_ERR_SUCCESS;
}

SKERRY_EXPORT int mosquitto_plugin_cleanup(void* user_data, mosquitto_opt*, int) {
  auto* const plugin = static_cast<skerry::broker::Plugin*>(user_data);
  plugin->write_retained();
  delete plugin;
  return MOSQ_ERR_SUCCESS;
}
