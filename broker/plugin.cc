// mosquitto (2.0, plugin interface 5) ⇄ policy.h: reads certificates, asks the policy, ends the
// sessions of certificates that left the registry, and tells the control plane who came, went and
// subscribed.
//
// Option `plugin_opt_registry FILE`: the active certificates (parse_registry). It is read again
// when it changed: before each connect, and twice a second for the sessions that are open. While it
// cannot be read, the last good list stays in force, so that a full disk locks nobody out.
//
// Message to the control plane, which alone may read it: `$skerry/subscribed/T` with the filter
// that thing T subscribed to, where job notifications can arrive on it.
//
// The broker calls everything here from its one thread. `use_identity_as_username` must stay off:
// with it the broker never asks a plugin about a connection.
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy.h"

namespace skerry::broker {
namespace {

constexpr auto kRegistryInterval = std::chrono::milliseconds(500);

struct Session {
  std::string client_id;
  std::string sha256;
};

// What tells one content of the registry file from the next: it is replaced by rename.
struct FileStamp {
  ino_t inode = 0;
  off_t size = -1;
  timespec changed{};
  bool operator==(const FileStamp& other) const {
    return inode == other.inode && size == other.size && changed.tv_sec == other.changed.tv_sec &&
           changed.tv_nsec == other.changed.tv_nsec;
  }
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
void announce_subscription(std::string_view client_id, std::string_view filter) {
  const std::string topic = "$skerry/subscribed/" + std::string(name_of(client_id));
  mosquitto_broker_publish_copy(nullptr, topic.c_str(), static_cast<int>(filter.size()),
                                filter.data(), 1, false, nullptr);
}

class Plugin {
 public:
  explicit Plugin(std::string registry_path) : registry_path_(std::move(registry_path)) {}

  // Reads the registry file where it changed. True when a new list is in force.
  bool refresh_registry() {
    struct stat info{};
    if (::stat(registry_path_.c_str(), &info) != 0) return complain("cannot be found");
    const FileStamp stamp{info.st_ino, info.st_size, info.st_mtim};
    if (stamp == stamp_) return false;
    std::ifstream file(registry_path_, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file) return complain("cannot be read");
    stamp_ = stamp;
    if (!parse_registry(text, registry_)) return complain("has a line that is no fingerprint");
    complained_ = false;
    return true;
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
    // By session and not by client id: when a client id connects anew, the old session's end is
    // reported after the new one's start.
    sessions_[client] = {client_id, certificate.sha256};
    return MOSQ_ERR_SUCCESS;
  }

  void disconnect(const mosquitto* client) { sessions_.erase(client); }

  int check_access(mosquitto_evt_acl_check& event) {
    const char* id = mosquitto_client_id(event.client);
    if (!id) return MOSQ_ERR_ACL_DENIED;
    const std::string_view client_id = id, topic = event.topic;
    switch (event.access) {
      case MOSQ_ACL_UNSUBSCRIBE:
        return MOSQ_ERR_SUCCESS;
      case MOSQ_ACL_READ:
        return may_receive(client_id, topic) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
      case MOSQ_ACL_WRITE:
        if (may_publish(client_id, topic)) return MOSQ_ERR_SUCCESS;
        mosquitto_log_printf(MOSQ_LOG_NOTICE, "skerry: %s may not publish to %s", id, event.topic);
        return MOSQ_ERR_ACL_DENIED;
      case MOSQ_ACL_SUBSCRIBE:
        if (!may_subscribe(client_id, topic)) {
          mosquitto_log_printf(MOSQ_LOG_NOTICE, "skerry: %s may not subscribe to %s", id,
                               event.topic);
          return MOSQ_ERR_ACL_DENIED;
        }
        if (carries_job_notifications(client_id, topic)) announce_subscription(client_id, topic);
        return MOSQ_ERR_SUCCESS;
      default:
        return MOSQ_ERR_ACL_DENIED;
    }
  }

  // The broker ticks at every turn of its loop, at least ten times a second.
  void tick() {
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_refresh_) {
      next_refresh_ = now + kRegistryInterval;
      if (refresh_registry()) end_revoked_ = true;
    }
    if (std::exchange(end_revoked_, false)) end_revoked_sessions();
  }

 private:
  bool complain(const char* what) {
    if (!std::exchange(complained_, true)) {
      mosquitto_log_printf(MOSQ_LOG_ERR, "skerry: registry %s %s; the previous list stays in force",
                           registry_path_.c_str(), what);
    }
    return false;
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
      if (!is_control_plane(session.client_id) && !registry_.contains(session.sha256)) {
        revoked.push_back(session.client_id);
      }
    }
    for (const std::string& client_id : revoked) {
      mosquitto_log_printf(MOSQ_LOG_NOTICE,
                           "skerry: ended the session of '%s': its certificate is revoked",
                           client_id.c_str());
      mosquitto_kick_client_by_clientid(client_id.c_str(), false);
    }
  }

  const std::string registry_path_;
  FileStamp stamp_;
  bool complained_ = false;
  Registry registry_;
  std::unordered_map<const mosquitto*, Session> sessions_;
  bool end_revoked_ = false;
  std::chrono::steady_clock::time_point next_refresh_;
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
  std::string registry_path;
  for (int i = 0; i < option_count; ++i) {
    if (std::string_view(options[i].key) == "registry") registry_path = options[i].value;
  }
  auto plugin = std::make_unique<Plugin>(registry_path);
  if (!plugin->refresh_registry()) {
    mosquitto_log_printf(
        MOSQ_LOG_ERR,
        "skerry: plugin_opt_registry must name the file of active certificates; '%s' is "
        "missing or damaged",
        registry_path.c_str());
    return MOSQ_ERR_INVAL;
  }
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
  delete static_cast<skerry::broker::Plugin*>(user_data);
  return MOSQ_ERR_SUCCESS;
}
