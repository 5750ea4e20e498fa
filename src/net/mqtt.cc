// MQTT 5 by libmosquitto 2.0, driven by the loop. The library connects, frames, keeps what is not
// acknowledged and sends it again; this file gives it readiness, time, addresses and a policy for
// reconnecting, and calls back only after the library has returned.
#include "net/mqtt.h"

#include <fcntl.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <unordered_map>

#include "base/log.h"
#include "net/address.h"
#include "net/mqtt_tls.h"

namespace skerry::net {
namespace {

constexpr int64_t kConnectTimeoutMs = 30'000;  // from the first packet to CONNACK
constexpr int64_t kResolveTimeoutMs = 10'000;

struct Destroy {
  void operator()(mosquitto* client) const { mosquitto_destroy(client); }
};
using Handle = std::unique_ptr<mosquitto, Destroy>;

// What lasts as long as one connection. The descriptor is a duplicate: the library closes its own
// whenever it likes, and a watch must not outlive its descriptor.
struct Connection {
  Fd fd;
  std::unique_ptr<io::FdWatch> watch;
  io::Timer timer;
  bool tcp_connected = false;
  bool write_armed = false;
};

class MosquittoClient : public MqttClient {
 public:
  MosquittoClient(io::Env& env, MqttOptions options, std::unique_ptr<MqttTls> tls, Handle handle)
      : env_(env), options_(std::move(options)), tls_(std::move(tls)), handle_(std::move(handle)) {
    mosquitto_user_data_set(handle_.get(), this);
    mosquitto_connect_v5_callback_set(handle_.get(), on_connack);
    mosquitto_disconnect_v5_callback_set(handle_.get(), on_disconnect);
    mosquitto_message_v5_callback_set(handle_.get(), on_message);
    mosquitto_publish_v5_callback_set(handle_.get(), on_puback);
    mosquitto_subscribe_v5_callback_set(handle_.get(), on_suback);
  }
  ~MosquittoClient() override {
    *alive_ = false;
    // Best effort: the broker learns that this end is deliberate.
    if (connected_) mosquitto_disconnect_v5(handle_.get(), 0, nullptr);
  }

  void start(Events events) override {
    events_ = std::make_shared<const Events>(std::move(events));
    scope_.spawn(run());
  }
  bool connected() const override { return connected_; }
  void publish(MqttMessage message, Done done) override;
  void subscribe(std::string filter, uint8_t qos, Done done) override;
  void unsubscribe(std::string filter) override;

 private:
  struct Subscription {
    uint8_t qos;
    bool acknowledged = false;  // the broker's session has it
    Done done;
  };
  io::Task<void> run();
  io::Task<Error> session();
  void await_readable();
  void ready(bool readable);
  void tick();
  void settle(int status);
  void end(Error reason);
  bool wants_write();
  bool lost_in_handshake();
  void await_writable();
  Error reason_of(int status);
  void call_back();
  void later(std::function<void()> callback);
  void renew_subscriptions(bool session_present);
  void send_subscribe(const std::string& filter, Subscription& subscription);

  static MosquittoClient& self(void* pointer) { return *static_cast<MosquittoClient*>(pointer); }
  static void on_connack(mosquitto*, void* pointer, int code, int flags, const mosquitto_property*);
  static void on_disconnect(mosquitto*, void* pointer, int code, const mosquitto_property*);
  static void on_message(mosquitto*, void* pointer, const mosquitto_message* message,
                         const mosquitto_property*);
  static void on_puback(mosquitto*, void* pointer, int id, int code, const mosquitto_property*);
  static void on_suback(mosquitto*, void* pointer, int id, int count, const int* codes,
                        const mosquitto_property*);

  io::Env& env_;
  MqttOptions options_;
  std::unique_ptr<MqttTls> tls_;  // null: plain TCP
  Handle handle_;
  std::shared_ptr<const Events> events_;  // held by a callback that may destroy this client
  bool connected_ = false;
  uint32_t attempts_ = 0;
  std::optional<Error> refusal_;  // what the broker said before it closed
  std::optional<Connection> connection_;
  std::optional<io::Completion<Error>> ended_;
  std::unordered_map<int, Done> unacknowledged_;  // publishes of QoS 1, by packet id
  std::unordered_map<int, std::string> subscribing_;
  std::map<std::string, Subscription> subscriptions_;
  std::deque<std::string> unsubscribing_;  // to be said at the next connection
  // Calls of our user, made when no function of the library is on the stack.
  std::deque<std::function<void()>> callbacks_;
  bool calling_back_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  io::TaskScope scope_;
};

Error mqtt_error(const std::string& what, int status) {
  const char* text = status >= 128 ? mosquitto_reason_string(status) : mosquitto_strerror(status);
  Code code = status == MQTT_RC_NOT_AUTHORIZED || status == MQTT_RC_BANNED ? Code::kPermissionDenied
                                                                           : Code::kUnavailable;
  return Error(code, what + ": " + text);
}

// --- Connecting ---------------------------------------------------------------------------------

io::Task<void> MosquittoClient::run() {
  for (uint32_t failures = 0;; ++failures) {
    Error reason = co_await session();
    if (std::exchange(connected_, false)) failures = 0;
    connection_.reset();
    subscribing_.clear();
    later([events = events_, reason] {
      if (events->on_disconnected) events->on_disconnected(reason);
    });
    // Full jitter: a fleet that lost its broker must not come back in step.
    int64_t limit_ms = options_.reconnect_max_ms;
    if (failures < 20) limit_ms = std::min(limit_ms, options_.reconnect_min_ms << failures);
    co_await io::sleep(env_.loop, 1 + static_cast<int64_t>(env_.random.below(
                                          static_cast<uint64_t>(std::max<int64_t>(1, limit_ms)))));
  }
}

// One connection from its beginning to its end; why it ended.
io::Task<Error> MosquittoClient::session() {
  auto addresses = co_await resolve(env_.loop, options_.host, options_.port, kResolveTimeoutMs);
  if (!addresses) co_return addresses.error();
  const SocketAddress& address = (*addresses)[attempts_++ % addresses->size()];
  ended_.emplace(env_.loop);
  io::Completion<Error> ended = *ended_;
  refusal_.reset();
  if (tls_) tls_->take_failure();
  // The library resolves and connects without blocking only where it is given an address.
  int status = mosquitto_connect_bind_async(handle_.get(), address.host().c_str(), options_.port,
                                            options_.keep_alive_s, nullptr);
  int descriptor = mosquitto_socket(handle_.get());
  if (status > 0 || descriptor < 0) co_return reason_of(status);
  Connection& connection = connection_.emplace();
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  connection.fd = Fd(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!connection.fd) co_return errno_error("watching the connection to", address.str(), errno);
  connection.watch = env_.loop.watch(connection.fd.get());
  connection.timer = env_.loop.after(kConnectTimeoutMs, [this] {
    end(Error(Code::kTimeout, "no answer from the broker within 30 s"));
  });
  await_readable();
  await_writable();
  co_return co_await ended;
}

void MosquittoClient::await_readable() {
  connection_->watch->when_readable([this] { ready(true); });
}

void MosquittoClient::await_writable() {
  if (!connection_ || !connection_->watch || std::exchange(connection_->write_armed, true)) return;
  connection_->watch->when_writable([this] { ready(false); });
}

// While TLS shakes hands the library's own answer may stay true for as long as it waits to read.
bool MosquittoClient::wants_write() {
  auto* ssl = static_cast<SSL*>(mosquitto_ssl_get(handle_.get()));
  if (ssl && !SSL_is_init_finished(ssl)) return SSL_want_write(ssl);
  return mosquitto_want_write(handle_.get());
}

// The library takes every system error of a TLS handshake, a refused connection too, for a reason
// to wait; the socket would be ready for ever.
bool MosquittoClient::lost_in_handshake() {
  auto* ssl = static_cast<SSL*>(mosquitto_ssl_get(handle_.get()));
  if (!ssl || SSL_is_init_finished(ssl)) return false;
  pollfd state{.fd = connection_->fd.get(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void MosquittoClient::ready(bool readable) {
  if (!readable) connection_->write_armed = false;
  if (!std::exchange(connection_->tcp_connected, true)) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection_->fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      std::string peer = options_.host + ":" + std::to_string(options_.port);
      return end(Error(Code::kUnavailable, errno_error("connecting to", peer, error).message()));
    }
  }
  auto alive = alive_;
  // Only reading goes on with a handshake, whatever that waits for.
  int status = MOSQ_ERR_SUCCESS;
  if (readable || (tls_ && !connected_)) status = mosquitto_loop_read(handle_.get(), 1);
  if (!readable && status == MOSQ_ERR_SUCCESS) status = mosquitto_loop_write(handle_.get(), 1);
  settle(status != MOSQ_ERR_SUCCESS || !lost_in_handshake() ? status : MOSQ_ERR_CONN_LOST);
  if (*alive && readable && connection_ && connection_->watch) await_readable();
}

// Keeps the connection alive, and notices when it is not.
void MosquittoClient::tick() {
  int64_t every_ms = std::max<int64_t>(1'000, options_.keep_alive_s * 250);
  connection_->timer = env_.loop.after(every_ms, [this] { tick(); });
  settle(mosquitto_loop_misc(handle_.get()));
}

// After every call of the library: what it wants next, whether it is still connected, and the
// callbacks that it caused.
void MosquittoClient::settle(int status) {
  if (!connection_ || !connection_->watch) return call_back();
  if (status != MOSQ_ERR_SUCCESS || mosquitto_socket(handle_.get()) < 0) {
    end(reason_of(status));
  } else if (wants_write()) {
    await_writable();
  }
  call_back();
}

void MosquittoClient::end(Error reason) {
  connection_->watch.reset();
  connection_->timer.cancel();
  ::shutdown(connection_->fd.get(), SHUT_RDWR);  // the library may still hold its descriptor
  ended_->complete(std::move(reason));
}

Error MosquittoClient::reason_of(int status) {
  int system_error = errno;
  if (auto failure = tls_ ? tls_->take_failure() : std::nullopt) return *failure;
  if (refusal_) return *refusal_;
  if (status == MOSQ_ERR_SUCCESS || status == MOSQ_ERR_CONN_LOST) {
    return Error(Code::kUnavailable, "the broker closed the connection");
  }
  if (status == MOSQ_ERR_KEEPALIVE)
    return Error(Code::kTimeout, "the broker does not answer pings");
  if (status == MOSQ_ERR_ERRNO) {
    std::string broker = options_.host + ":" + std::to_string(options_.port);
    return Error(Code::kUnavailable,
                 errno_error("the connection to", broker, system_error).message());
  }
  return mqtt_error("the connection to the broker failed", status);
}

// --- What the library tells ---------------------------------------------------------------------

void MosquittoClient::later(std::function<void()> callback) {
  callbacks_.push_back(std::move(callback));
  env_.loop.post([this, alive = alive_] {
    if (*alive) call_back();
  });
}

void MosquittoClient::call_back() {
  if (calling_back_) return;  // from inside a callback: in its turn
  auto alive = alive_;
  calling_back_ = true;
  while (*alive && !callbacks_.empty()) {
    auto callback = std::move(callbacks_.front());
    callbacks_.pop_front();
    callback();
  }
  if (*alive) calling_back_ = false;
}

void MosquittoClient::on_connack(mosquitto*, void* pointer, int code, int flags,
                                 const mosquitto_property*) {
  MosquittoClient& client = self(pointer);
  if (code != MQTT_RC_SUCCESS) {
    client.refusal_ = mqtt_error("the broker refuses the connection", code);
    return;
  }
  client.callbacks_.push_back([&client, session_present = (flags & 1) != 0] {
    client.connected_ = true;
    client.tick();
    client.renew_subscriptions(session_present);
    auto events = client.events_;
    if (events->on_connected) events->on_connected(session_present);
  });
}

void MosquittoClient::on_disconnect(mosquitto*, void* pointer, int code,
                                    const mosquitto_property*) {
  // Codes of the protocol begin at 128; smaller ones are the library's and come back as its status
  // too.
  if (code >= 128) self(pointer).refusal_ = mqtt_error("the broker ended the connection", code);
}

void MosquittoClient::on_message(mosquitto*, void* pointer, const mosquitto_message* message,
                                 const mosquitto_property*) {
  MosquittoClient& client = self(pointer);
  std::string payload(static_cast<const char*>(message->payload),
                      static_cast<size_t>(message->payloadlen));
  client.callbacks_.push_back(
      [events = client.events_,
       received = MqttMessage{message->topic, std::move(payload),
                              static_cast<uint8_t>(message->qos), message->retain}] {
        if (events->on_message) events->on_message(received);
      });
}

void MosquittoClient::on_puback(mosquitto*, void* pointer, int id, int code,
                                const mosquitto_property*) {
  MosquittoClient& client = self(pointer);
  auto entry = client.unacknowledged_.find(id);
  if (entry == client.unacknowledged_.end()) return;
  Done done = std::move(entry->second);
  client.unacknowledged_.erase(entry);
  if (!done) return;
  client.callbacks_.push_back([done = std::move(done), code] {
    if (code < 128) return done(nullptr);
    Error error = mqtt_error("the broker refuses the message", code);
    done(&error);
  });
}

void MosquittoClient::on_suback(mosquitto*, void* pointer, int id, int count, const int* codes,
                                const mosquitto_property*) {
  MosquittoClient& client = self(pointer);
  auto request = client.subscribing_.find(id);
  if (request == client.subscribing_.end() || count < 1) return;
  std::string filter = std::move(request->second);
  client.subscribing_.erase(request);
  auto entry = client.subscriptions_.find(filter);
  if (entry == client.subscriptions_.end()) return;
  Done done = std::exchange(entry->second.done, {});
  int code = codes[0];
  if (code < 128) {
    entry->second.acknowledged = true;
    if (done) client.callbacks_.push_back([done = std::move(done)] { done(nullptr); });
    return;
  }
  client.subscriptions_.erase(entry);
  Error error = mqtt_error("the broker refuses the subscription to " + filter, code);
  if (!done) return log::warn("mqtt", error.message());
  client.callbacks_.push_back([done = std::move(done), error] { done(&error); });
}

// --- What our user asks -------------------------------------------------------------------------

void MosquittoClient::publish(MqttMessage message, Done done) {
  auto refuse = [&](Error error) {
    if (done) later([done = std::move(done), error = std::move(error)] { done(&error); });
  };
  if (message.qos > 1) return refuse(Error(Code::kUnsupported, "QoS 2 is not supported"));
  if (message.qos == 0 && !connected_) {
    return refuse(Error(Code::kUnavailable, "not connected to the broker"));
  }
  if (message.qos == 1 && unacknowledged_.size() >= options_.max_queued) {
    return refuse(Error(Code::kResourceExhausted, std::to_string(options_.max_queued) +
                                                      " messages wait for the broker already"));
  }
  int id = 0;
  int status = mosquitto_publish_v5(handle_.get(), &id, message.topic.c_str(),
                                    static_cast<int>(message.payload.size()),
                                    message.payload.data(), message.qos, message.retain, nullptr);
  if (status == MOSQ_ERR_INVAL || status == MOSQ_ERR_MALFORMED_UTF8 ||
      status == MOSQ_ERR_PAYLOAD_SIZE || status == MOSQ_ERR_OVERSIZE_PACKET ||
      status == MOSQ_ERR_QOS_NOT_SUPPORTED || status == MOSQ_ERR_NOMEM) {
    return refuse(Error(Code::kInvalidArgument, "cannot publish to '" + message.topic +
                                                    "': " + mosquitto_strerror(status)));
  }
  // Any other failure is the connection's, which ends by itself; a message of QoS 1 is kept for the
  // next.
  if (message.qos == 1) {
    unacknowledged_.emplace(id, std::move(done));
  } else if (status != MOSQ_ERR_SUCCESS) {
    return refuse(mqtt_error("not written", status));
  } else if (done) {
    later([done = std::move(done)] { done(nullptr); });
  }
  if (wants_write()) await_writable();
}

void MosquittoClient::subscribe(std::string filter, uint8_t qos, Done done) {
  if (mosquitto_sub_topic_check(filter.c_str()) != MOSQ_ERR_SUCCESS) {
    Error error(Code::kInvalidArgument, "not a topic filter: '" + filter + "'");
    if (done) later([done = std::move(done), error] { done(&error); });
    return;
  }
  std::erase(unsubscribing_, filter);
  Subscription& subscription = subscriptions_[filter];
  subscription = Subscription{qos, false, std::move(done)};
  if (connected_) send_subscribe(filter, subscription);
}

void MosquittoClient::send_subscribe(const std::string& filter, Subscription& subscription) {
  int id = 0;
  int status =
      mosquitto_subscribe_v5(handle_.get(), &id, filter.c_str(), subscription.qos, 0, nullptr);
  // Otherwise the connection is broken, and the next one asks again.
  if (status == MOSQ_ERR_SUCCESS) subscribing_[id] = filter;
}

void MosquittoClient::unsubscribe(std::string filter) {
  if (subscriptions_.erase(filter) == 0) return;
  if (!connected_ || mosquitto_unsubscribe_v5(handle_.get(), nullptr, filter.c_str(), nullptr) !=
                         MOSQ_ERR_SUCCESS) {
    unsubscribing_.push_back(std::move(filter));
  }
}

void MosquittoClient::renew_subscriptions(bool session_present) {
  for (auto& [filter, subscription] : subscriptions_) {
    if (!session_present) subscription.acknowledged = false;
    if (!subscription.acknowledged) send_subscribe(filter, subscription);
  }
  for (const std::string& filter : std::exchange(unsubscribing_, {})) {
    if (session_present) mosquitto_unsubscribe_v5(handle_.get(), nullptr, filter.c_str(), nullptr);
  }
}

Result<void> check(int status, const char* what) {
  if (status == MOSQ_ERR_SUCCESS) return {};
  return fail(Code::kInvalidArgument,
              std::string("MQTT: ") + what + ": " + mosquitto_strerror(status));
}

struct FreeProperties {
  void operator()(mosquitto_property* list) const { mosquitto_property_free_all(&list); }
};

// The properties of every CONNECT. The library stores them in its blocking connect function only;
// called without a host it stores them and refuses the rest.
Result<void> set_connect_properties(mosquitto* client, const MqttOptions& options) {
  mosquitto_property* list = nullptr;
  int status = mosquitto_property_add_int32(&list, MQTT_PROP_SESSION_EXPIRY_INTERVAL,
                                            options.session_expiry_s);
  if (status == MOSQ_ERR_SUCCESS) {
    status = mosquitto_property_add_int32(&list, MQTT_PROP_MAXIMUM_PACKET_SIZE,
                                          options.max_packet_bytes);
  }
  std::unique_ptr<mosquitto_property, FreeProperties> owned(list);
  SKERRY_TRY(check(status, "properties"));
  status =
      mosquitto_connect_bind_v5(client, nullptr, options.port, options.keep_alive_s, nullptr, list);
  return status == MOSQ_ERR_INVAL ? Result<void>() : check(status, "properties");
}

Result<void> configure(mosquitto* client, const MqttOptions& options, MqttTls* tls) {
  SKERRY_TRY(check(mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5),
                   "protocol version"));
  SKERRY_TRY(check(mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1), "no delay"));
  if (tls) {
    SKERRY_TRY(check(mosquitto_void_option(client, MOSQ_OPT_SSL_CTX, tls->native()), "TLS"));
    SKERRY_TRY(check(mosquitto_int_option(client, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0), "TLS"));
  }
  return set_connect_properties(client, options);
}

}  // namespace

Result<std::unique_ptr<MqttClient>> make_mqtt_client(io::Env& env, MqttOptions options) {
  static const int library = mosquitto_lib_init();
  SKERRY_TRY(check(library, "libmosquitto"));
  if (options.keep_alive_s < 5) {
    return fail(Code::kInvalidArgument, "MQTT: the keep-alive time must be 5 s or more");
  }
  std::unique_ptr<MqttTls> tls;
  if (!options.tls.ca_file.empty() || !options.tls.certificate_file.empty()) {
    SKERRY_ASSIGN(tls, MqttTls::make(options.tls, options.host));
  }
  Handle handle(mosquitto_new(options.client_id.c_str(), false, nullptr));
  if (!handle) {
    return fail(Code::kInvalidArgument, "MQTT: not a client id: '" + options.client_id + "'");
  }
  SKERRY_TRY(configure(handle.get(), options, tls.get()));
  return std::make_unique<MosquittoClient>(env, std::move(options), std::move(tls),
                                           std::move(handle));
}

}  // namespace skerry::net
