// MQTT 5 by libmosquitto 2.0, driven by the loop. The library connects and frames; this file gives
// it readiness, time, addresses and a policy for reconnecting, and calls back only after the
// library has returned. Each connection has a client of the library of its own: what lasts longer
// (the messages that are not acknowledged, the subscriptions) is kept here.
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
#include "base/owned.h"
#include "net/address.h"
#include "net/mqtt_outbox.h"
#include "net/mqtt_properties.h"
#include "net/mqtt_tls.h"

namespace skerry::net {
namespace {

constexpr int64_t kConnectTimeoutMs = 30'000;  // from the first packet to CONNACK
constexpr int64_t kResolveTimeoutMs = 10'000;
// A connection that lasted this long was a good one: the next attempt follows soon. One that ended
// without a word (mosquitto 2.0 does so where another client with our name connects), or that was
// taken over, says nothing of the kind until it has lasted longer than two such clients would wait.
constexpr int64_t kStableMs = 10'000;
constexpr int64_t kUndisputedMs = 120'000;

using Handle = Owned<mosquitto, mosquitto_destroy>;

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
  MosquittoClient(io::Env& env, MqttOptions options, std::unique_ptr<MqttTls> tls)
      : env_(env),
        options_(std::move(options)),
        tls_(std::move(tls)),
        outbox_(options_.max_queued, options_.max_queued_bytes) {}
  // For the next connection; also tells whether the options can be used.
  Result<void> make_handle();
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
  Result<void> publish(MqttMessage message, Done done) override;
  MqttBacklog backlog() const override { return outbox_.backlog(); }
  Result<void> subscribe(MqttSubscription subscription, Done done) override;
  void unsubscribe(const std::string& filter) override;

 private:
  struct Subscription {
    MqttSubscription wanted;
    bool acknowledged = false;  // the broker's session has it
    std::vector<Done> waiting;  // for the answer
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
  std::string broker_name() const;
  Error connect_error(int system_error) const;
  void call_back();
  void later(std::function<void()> callback);
  void answer(Done done, std::optional<Error> error);
  void renew_subscriptions(bool session_present);
  void send_subscribe(const Subscription& subscription);
  void send_unsubscribe(const std::string& filter);
  int send(const MqttMessage& message, int* packet_id);
  void send_queued();

  static MosquittoClient& self(void* pointer) { return *static_cast<MosquittoClient*>(pointer); }
  static void on_connack(mosquitto*, void* pointer, int code, int flags, const mosquitto_property*);
  static void on_disconnect(mosquitto*, void* pointer, int code, const mosquitto_property*);
  static void on_message(mosquitto*, void* pointer, const mosquitto_message* message,
                         const mosquitto_property*);
  static void on_puback(mosquitto*, void* pointer, int id, int code, const mosquitto_property*);
  static void on_unsuback(mosquitto*, void* pointer, int id, const mosquitto_property*);
  static void on_suback(mosquitto*, void* pointer, int id, int count, const int* codes,
                        const mosquitto_property*);

  io::Env& env_;
  MqttOptions options_;
  std::unique_ptr<MqttTls> tls_;  // null: plain TCP
  Handle handle_;
  std::shared_ptr<const Events> events_;  // held by a callback that may destroy this client
  bool connected_ = false;
  uint32_t attempts_ = 0;
  bool was_connected_ = false;    // ever
  uint32_t unanswered_ = 0;       // connections since the last that the broker has answered
  std::optional<Error> refusal_;  // what the broker said before it closed
  int refusal_code_ = 0;
  bool unexplained_ = false;  // it closed an accepted connection without a word
  BrokerCapabilities broker_;
  std::optional<Connection> connection_;
  std::optional<io::Completion<Error>> ended_;
  MqttOutbox outbox_;
  size_t unsent_bytes_ = 0;  // of QoS 0, since the connection has last taken everything
  std::unordered_map<int, std::string> subscribing_;
  std::map<std::string, Subscription> subscriptions_;
  std::vector<std::string> unsubscribing_;  // until the broker has answered
  std::unordered_map<int, std::string> unsubscribe_requests_;
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
    const int64_t since_ms = env_.clock.monotonic_ms();
    Error reason = co_await session();
    const int64_t lasted_ms = env_.clock.monotonic_ms() - since_ms;
    const bool disputed = unexplained_ || refusal_code_ == MQTT_RC_SESSION_TAKEN_OVER;
    if (std::exchange(connected_, false) && lasted_ms >= (disputed ? kUndisputedMs : kStableMs)) {
      failures = 0;
    }
    connection_.reset();
    subscribing_.clear();
    unsubscribe_requests_.clear();
    if (auto refused = outbox_.connection_lost(blames_packet(refusal_code_))) {
      answer(std::move(*refused), reason);
    }
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
  refusal_.reset();
  refusal_code_ = 0;
  unexplained_ = false;
  auto addresses = co_await resolve(env_.loop, options_.host, options_.port, kResolveTimeoutMs);
  if (!addresses) co_return addresses.error();
  const SocketAddress& address = (*addresses)[attempts_++ % addresses->size()];
  ended_.emplace(env_.loop);
  io::Completion<Error> ended = *ended_;
  if (tls_) tls_->take_failure();
  if (auto made = make_handle(); !made) co_return made.error();
  // The library resolves and connects without blocking only where it is given an address.
  errno = 0;
  int status = mosquitto_connect_bind_async(handle_.get(), address.host().c_str(), options_.port,
                                            options_.keep_alive_s, nullptr);
  const int system_error = errno;
  int descriptor = mosquitto_socket(handle_.get());
  if (status > 0 || descriptor < 0) {
    errno = system_error;
    co_return reason_of(status);
  }
  // Nobody listens on this machine: the library has begun the TLS handshake all the same, and taken
  // the socket's error.
  pollfd state{.fd = descriptor, .events = 0, .revents = 0};
  if (::poll(&state, 1, 0) > 0 && (state.revents & POLLHUP) && system_error == ECONNREFUSED) {
    co_return connect_error(system_error);
  }
  Connection& connection = connection_.emplace();
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  connection.fd = Fd(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!connection.fd) co_return errno_error("watching the connection to", address.str(), errno);
  connection.watch = env_.loop.watch(connection.fd.get());
  connection.timer = env_.loop.after(kConnectTimeoutMs, [this] {
    end(Error(Code::kTimeout, "no answer from the broker " + broker_name() + " within 30 s"));
  });
  await_readable();
  await_writable();
  co_return co_await ended;
}

std::string MosquittoClient::broker_name() const {
  return options_.host + ":" + std::to_string(options_.port);
}

Error MosquittoClient::connect_error(int system_error) const {
  return Error(Code::kUnavailable,
               errno_error("connecting to", broker_name(), system_error).message());
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
    if (error != 0) return end(connect_error(error));
    ++unanswered_;
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
  } else {
    unsent_bytes_ = 0;
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
    unexplained_ = connected_;
    return Error(Code::kUnavailable,
                 connected_
                     ? "the broker closed the connection and did not say why; if it goes on, "
                       "look for another client with the name '" +
                           options_.client_id + "'"
                     : broker_name() + " closed the connection before it accepted us");
  }
  if (status == MOSQ_ERR_KEEPALIVE)
    return Error(Code::kTimeout, "the broker does not answer pings");
  if (status == MOSQ_ERR_ERRNO) {
    return connect_error(system_error);
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

void MosquittoClient::answer(Done done, std::optional<Error> error) {
  if (!done) return;
  later([done = std::move(done), error = std::move(error)] { done(error ? &*error : nullptr); });
}

void MosquittoClient::on_connack(mosquitto*, void* pointer, int code, int flags,
                                 const mosquitto_property* properties) {
  MosquittoClient& client = self(pointer);
  if (code != MQTT_RC_SUCCESS) {
    client.refusal_ = mqtt_error("the broker refuses the connection", code);
    return;
  }
  client.broker_ = read_capabilities(properties);
  // A session may have begun with a connection whose answer was lost: the broker then has it, and
  // nothing of ours in it.
  const bool is_ours = std::exchange(client.unanswered_, 0) <= 1;
  client.callbacks_.push_back([&client, session_present = is_ours && (flags & 1) != 0] {
    client.connected_ = true;
    client.was_connected_ = true;
    client.tick();
    client.renew_subscriptions(session_present);
    client.send_queued();
    auto events = client.events_;
    if (events->on_connected) events->on_connected(session_present);
  });
}

void MosquittoClient::on_disconnect(mosquitto*, void* pointer, int code,
                                    const mosquitto_property*) {
  // Codes of the protocol begin at 128; smaller ones are the library's and come back as its status
  // too.
  if (code < 128) return;
  MosquittoClient& client = self(pointer);
  client.refusal_code_ = code;
  if (code == MQTT_RC_SESSION_TAKEN_OVER) {
    client.refusal_ =
        Error(Code::kUnavailable, "the session was taken over: another client has connected as '" +
                                      client.options_.client_id +
                                      "'. Does a second one run with this name?");
  } else {
    client.refusal_ = mqtt_error("the broker ended the connection", code);
  }
}

void MosquittoClient::on_message(mosquitto*, void* pointer, const mosquitto_message* message,
                                 const mosquitto_property* properties) {
  MosquittoClient& client = self(pointer);
  MqttMessage received{.topic = message->topic,
                       .payload = std::string(static_cast<const char*>(message->payload),
                                              static_cast<size_t>(message->payloadlen)),
                       .qos = static_cast<uint8_t>(message->qos),
                       .retain = message->retain};
  read_properties(properties, received);
  client.callbacks_.push_back([events = client.events_, received = std::move(received)] {
    if (events->on_message) events->on_message(received);
  });
}

void MosquittoClient::on_puback(mosquitto*, void* pointer, int id, int code,
                                const mosquitto_property*) {
  MosquittoClient& client = self(pointer);
  auto answered = client.outbox_.answered(id);
  if (!answered) return;
  std::optional<Error> error;
  if (code >= 128) error = mqtt_error("the broker refuses the message", code);
  if (code == MQTT_RC_NO_MATCHING_SUBSCRIBERS && answered->must_be_heard) error = nobody_heard();
  client.answer(std::move(answered->done), std::move(error));
  client.callbacks_.push_back([&client] { client.send_queued(); });
}

void MosquittoClient::on_unsuback(mosquitto*, void* pointer, int id, const mosquitto_property*) {
  MosquittoClient& client = self(pointer);
  auto request = client.unsubscribe_requests_.extract(id);
  if (request) std::erase(client.unsubscribing_, request.mapped());
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
  std::vector<Done> waiting = std::exchange(entry->second.waiting, {});
  const int code = codes[0];
  std::optional<Error> error;
  if (code < 128) {
    entry->second.acknowledged = true;
  } else {
    client.subscriptions_.erase(entry);
    error = mqtt_error("the broker refuses the subscription to " + filter, code);
    if (waiting.empty()) log::warn("mqtt", error->message());
  }
  for (Done& done : waiting) client.answer(std::move(done), error);
}

// --- What our user asks -------------------------------------------------------------------------

Result<void> MosquittoClient::publish(MqttMessage message, Done done) {
  SKERRY_TRY(
      check_mqtt_message(message, std::min(options_.max_packet_bytes, broker_.max_packet_bytes)));
  if (message.qos == 1) {
    SKERRY_TRY(outbox_.add(std::move(message), std::move(done)));
    if (connected_) send_queued();
    return {};
  }
  if (!connected_) return fail(Code::kUnavailable, "not connected to the broker");
  if (unsent_bytes_ + message.payload.size() > options_.max_queued_bytes) {
    return fail(Code::kResourceExhausted, "the connection to the broker does not keep up");
  }
  int id = 0;
  const int status = send(message, &id);
  if (status != MOSQ_ERR_SUCCESS) return fail(mqtt_error("not sent", status));
  unsent_bytes_ += message.payload.size() + message.topic.size();
  answer(std::move(done), std::nullopt);
  if (wants_write()) await_writable();
  return {};
}

int MosquittoClient::send(const MqttMessage& message, int* packet_id) {
  MqttPropertyList properties;
  const int status = append_properties(properties, message.properties);
  if (status != MOSQ_ERR_SUCCESS) return status;
  return mosquitto_publish_v5(handle_.get(), packet_id, message.topic.c_str(),
                              static_cast<int>(message.payload.size()), message.payload.data(),
                              message.qos, message.retain, properties.get());
}

void MosquittoClient::send_queued() {
  while (const MqttMessage* message = connected_ ? outbox_.next() : nullptr) {
    int id = 0;
    const int status = send(*message, &id);
    if (status == MOSQ_ERR_INVAL || status == MOSQ_ERR_MALFORMED_UTF8 ||
        status == MOSQ_ERR_PAYLOAD_SIZE || status == MOSQ_ERR_OVERSIZE_PACKET ||
        status == MOSQ_ERR_QOS_NOT_SUPPORTED || status == MOSQ_ERR_RETAIN_NOT_SUPPORTED) {
      answer(outbox_.drop_next(),
             Error(Code::kInvalidArgument, std::string("the broker does not take this message: ") +
                                               mosquitto_strerror(status)));
    } else if (status == MOSQ_ERR_SUCCESS) {
      outbox_.sent(id);
    } else {
      break;  // the connection is broken, which ends by itself; the message is kept for the next
    }
  }
  if (connected_ && wants_write()) await_writable();
}

Result<void> MosquittoClient::subscribe(MqttSubscription wanted, Done done) {
  SKERRY_TRY(check_mqtt_filter(wanted.filter));
  std::erase(unsubscribing_, wanted.filter);
  Subscription& subscription = subscriptions_[wanted.filter];
  subscription.wanted = std::move(wanted);
  subscription.acknowledged = false;
  if (done) subscription.waiting.push_back(std::move(done));
  if (connected_) send_subscribe(subscription);
  return {};
}

void MosquittoClient::send_subscribe(const Subscription& subscription) {
  const MqttSubscription& wanted = subscription.wanted;
  mosquitto_property* list = nullptr;
  if (wanted.id != 0 && broker_.subscription_ids) {
    mosquitto_property_add_varint(&list, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, wanted.id);
  }
  const MqttPropertyList properties(list);
  const int options =
      wanted.retained ? MQTT_SUB_OPT_SEND_RETAIN_ALWAYS : MQTT_SUB_OPT_SEND_RETAIN_NEVER;
  int id = 0;
  int status = mosquitto_subscribe_v5(handle_.get(), &id, wanted.filter.c_str(), wanted.qos,
                                      options, properties.get());
  // Otherwise the connection is broken, and the next one asks again.
  if (status == MOSQ_ERR_SUCCESS) subscribing_[id] = wanted.filter;
}

void MosquittoClient::unsubscribe(const std::string& filter) {
  if (subscriptions_.erase(filter) == 0) return;
  unsubscribing_.push_back(filter);
  if (connected_) send_unsubscribe(filter);
}

void MosquittoClient::send_unsubscribe(const std::string& filter) {
  int id = 0;
  const int status = mosquitto_unsubscribe_v5(handle_.get(), &id, filter.c_str(), nullptr);
  if (status == MOSQ_ERR_SUCCESS) unsubscribe_requests_[id] = filter;
}

void MosquittoClient::renew_subscriptions(bool session_present) {
  for (auto& [filter, subscription] : subscriptions_) {
    if (!session_present) subscription.acknowledged = false;
    if (!subscription.acknowledged) send_subscribe(subscription);
  }
  if (!session_present) unsubscribing_.clear();
  for (const std::string& filter : unsubscribing_) send_unsubscribe(filter);
}

Result<void> MosquittoClient::make_handle() {
  const bool clean_start = options_.clean_start && !was_connected_;
  Handle handle(mosquitto_new(options_.client_id.c_str(), clean_start, this));
  if (!handle) {
    return fail(Code::kInvalidArgument, "MQTT: not a client id: '" + options_.client_id + "'");
  }
  SKERRY_TRY(configure_mqtt(handle.get(), options_, tls_.get()));
  mosquitto_connect_v5_callback_set(handle.get(), on_connack);
  mosquitto_disconnect_v5_callback_set(handle.get(), on_disconnect);
  mosquitto_message_v5_callback_set(handle.get(), on_message);
  mosquitto_publish_v5_callback_set(handle.get(), on_puback);
  mosquitto_subscribe_v5_callback_set(handle.get(), on_suback);
  mosquitto_unsubscribe_v5_callback_set(handle.get(), on_unsuback);
  handle_ = std::move(handle);
  unsent_bytes_ = 0;
  return {};
}

}  // namespace

Result<std::unique_ptr<MqttClient>> make_mqtt_client(io::Env& env, MqttOptions options) {
  static const int library = mosquitto_lib_init();
  if (library != MOSQ_ERR_SUCCESS) {
    return fail(Code::kInternal, std::string("libmosquitto: ") + mosquitto_strerror(library));
  }
  if (options.keep_alive_s < 5) {
    return fail(Code::kInvalidArgument, "MQTT: the keep-alive time must be 5 s or more");
  }
  std::unique_ptr<MqttTls> tls;
  if (!options.tls.ca_file.empty() || !options.tls.certificate_file.empty()) {
    SKERRY_ASSIGN(tls, MqttTls::make(options.tls, options.host, options.certificate_times));
  }
  auto client = std::make_unique<MosquittoClient>(env, std::move(options), std::move(tls));
  SKERRY_TRY(client->make_handle());
  return client;
}

}  // namespace skerry::net
