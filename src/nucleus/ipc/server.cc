// The IPC socket: accepts connections, moves bytes between each and its protocol state machine, and
// drops those that do not speak in time or do not read.
#include "nucleus/ipc/server.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "base/log_limit.h"
#include "io/task.h"
#include "net/stream.h"
#include "nucleus/ipc/operations.h"
#include "nucleus/shadow_sync.h"

namespace skerry::nucleus {
namespace {

constexpr size_t kReadBytes = 16 << 10;

}  // namespace

// One client. Bytes are read by one task; they are written by another that lives while there is
// something to write, so that what piles up meanwhile leaves in one piece.
class IpcConnection {
 public:
  using Done = std::function<void()>;  // the connection may be destroyed; not called from its tasks

  IpcConnection(io::Loop& loop, std::unique_ptr<net::Stream> stream, const rpc::Service& service,
                const IpcLimits& limits, log::Limit& log, Done done)
      : loop_(loop),
        stream_(std::move(stream)),
        log_(log),
        done_(std::move(done)),
        linger_ms_(limits.linger_ms),
        rpc_(service, limits.connection, [this] { post_flush(); }) {
    handshake_ = loop_.after(limits.handshake_timeout_ms, [this] {
      if (!rpc_.connected()) close("no CONNECT within the handshake timeout");
    });
    tasks_.spawn(read());
  }
  ~IpcConnection() { *alive_ = false; }

  int64_t uid() const { return stream_->peer().uid; }
  const std::string& component() const { return rpc_.principal(); }  // "" until it is known

 private:
  io::Task<void> read() {
    while (!rpc_.ended()) {
      const Result<size_t> got = co_await stream_->read_some(buffer_.data(), buffer_.size());
      if (!got) co_return close(got.error().message());
      if (*got == 0) co_return close("the client closed the connection");
      rpc_.receive(std::string_view(buffer_.data(), *got));
      flush();
    }
  }

  // Called by the state machine while others run: written on the loop's next turn, in one piece.
  void post_flush() {
    if (std::exchange(flush_posted_, true)) return;
    post([this] {
      flush_posted_ = false;
      flush();
    });
  }

  void flush() {
    if (!writing_ && rpc_.has_output()) {
      writing_ = true;
      tasks_.spawn(write());
    }
    if (rpc_.ended()) {
      if (!writing_) return close(rpc_.end_reason());
      linger_ = loop_.after(linger_ms_, [this] { close(rpc_.end_reason()); });
    }
  }

  io::Task<void> write() {
    while (rpc_.has_output()) {
      const std::string bytes = rpc_.take_output();
      const Result<void> written = co_await stream_->write_all(bytes);
      if (!written) co_return close(written.error().message());
    }
    writing_ = false;
    if (rpc_.ended()) close(rpc_.end_reason());
  }

  void close(const std::string& reason) {
    if (std::exchange(closed_, true)) return;
    if (rpc_.ended()) {
      log_.write(log::Level::kWarn, "ipc", "connection closed: " + reason,
                 {{"component", component()}, {"uid", std::to_string(uid())}});
    } else {
      log::debug("ipc", "connection closed: " + reason, {{"component", component()}});
    }
    // Not from inside the task that is running: it would destroy itself.
    post([this] { std::exchange(done_, nullptr)(); });
  }

  void post(io::Callback callback) {
    loop_.post([alive = alive_, callback = std::move(callback)]() mutable {
      if (*alive) callback();
    });
  }

  io::Loop& loop_;
  std::unique_ptr<net::Stream> stream_;
  log::Limit& log_;
  Done done_;
  const int64_t linger_ms_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // shared with what is posted
  bool flush_posted_ = false;
  bool writing_ = false;
  bool closed_ = false;
  std::array<char, kReadBytes> buffer_;
  rpc::ServerConnection rpc_;
  io::Timer handshake_, linger_;
  io::TaskScope tasks_;  // last: its tasks use all of the above
};

struct IpcServer::Impl {
  Impl(io::Loop& l, IpcHost& host, ConfigStore& config, IpcLimits limit)
      : loop(l), limits(limit), context{host, config}, service(greengrass_service(context)) {
    if (MqttRouter* mqtt = host.mqtt()) {
      sync.emplace(host.env(), *mqtt, config, context.shadows, host.thing());
    }
    service.authenticate = [this, token_holder = std::move(service.authenticate)](
                               const rpc::Frame& connect) -> Result<std::string> {
      SKERRY_ASSIGN(std::string component, token_holder(connect));
      SKERRY_TRY(check_place_for(component));
      return component;
    };
  }

  Result<void> check_place_for(const std::string& component) const {
    size_t known = 0, of_component = 0;
    for (const auto& [id, connection] : connections) {
      known += !connection->component().empty();
      of_component += connection->component() == component;
    }
    const auto full = [](size_t limit, const std::string& whose) {
      return fail(Code::kResourceExhausted, "refused: " + std::to_string(limit) +
                                                " connections of " + whose +
                                                " are open, which is the limit");
    };
    if (known >= limits.connections) return full(limits.connections, "components");
    if (of_component < limits.connections_per_component) return {};
    return full(limits.connections_per_component, "component " + component);
  }

  // Closes the oldest connection whose client is not known yet: of `uid`, or where there are too
  // many in all, of the user who has most of them.
  void make_place_for(int64_t uid) {
    std::map<int64_t, std::vector<uint64_t>> unknown;  // by user, oldest first
    size_t count = 0;
    for (const auto& [id, connection] : connections) {
      if (!connection->component().empty()) continue;
      unknown[connection->uid()].push_back(id);
      ++count;
    }
    auto most = unknown.find(uid);
    if (most == unknown.end() || most->second.size() < limits.unknown_per_user) {
      if (count < limits.unknown) return;
      most = std::ranges::max_element(unknown, {}, [](auto& user) { return user.second.size(); });
    }
    connections.erase(most->second.front());
    refusals.write(log::Level::kWarn, "ipc",
                   "too many connections without CONNECT; closed the oldest",
                   {{"uid", std::to_string(most->first)}});
  }

  void accept(std::unique_ptr<net::Stream> stream) {
    make_place_for(stream->peer().uid);
    const uint64_t id = next_id++;
    connections.emplace(
        id, std::make_unique<IpcConnection>(loop, std::move(stream), service, limits, refusals,
                                            [this, id] { connections.erase(id); }));
  }

  io::Loop& loop;
  const IpcLimits limits;
  IpcContext context;
  std::optional<ShadowSync> sync;  // where there is a broker
  rpc::Service service;
  uint64_t next_id = 1;
  log::Limit refusals;
  std::map<uint64_t, std::unique_ptr<IpcConnection>> connections;  // end before what they use
  std::unique_ptr<net::Listener> listener;
};

IpcServer::IpcServer(io::Loop& loop, IpcHost& host, ConfigStore& config, IpcLimits limits)
    : impl_(std::make_unique<Impl>(loop, host, config, limits)) {}

IpcServer::~IpcServer() = default;

Result<void> IpcServer::listen(const std::string& socket_path, uint32_t mode) {
  SKERRY_ASSIGN(impl_->listener,
                net::listen_unix(impl_->loop, socket_path, mode,
                                 [impl = impl_.get()](std::unique_ptr<net::Stream> stream) {
                                   impl->accept(std::move(stream));
                                 }));
  return {};
}

size_t IpcServer::connections() const {
  return impl_->connections.size();
}

const rpc::Service& IpcServer::service() const {
  return impl_->service;
}

}  // namespace skerry::nucleus
