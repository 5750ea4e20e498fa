// Plain blocking reads and writes around ClientConnection.
#include "rpc/ipc_client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>

#include "io/fd.h"
#include "rpc/client_connection.h"

namespace skerry::rpc {

struct IpcClient::Impl {
  // Writes what is waiting, then reads once.
  Result<void> exchange() {
    SKERRY_TRY(flush());
    const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) return {};
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return fail(Code::kTimeout, "the nucleus did not answer in time on its IPC socket");
    }
    if (got < 0) return fail(errno_error("read from the IPC socket", "", errno));
    if (got == 0) return fail(Code::kUnavailable, "the nucleus closed the IPC connection");
    return rpc.receive(std::string_view(buffer.data(), static_cast<size_t>(got)));
  }

  Result<void> flush() {
    const std::string bytes = rpc.take_output();
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t now =
          ::send(socket.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (now < 0 && errno == EINTR) continue;
      if (now < 0) return fail(errno_error("write to the IPC socket", "", errno));
      sent += static_cast<size_t>(now);
    }
    return {};
  }

  Result<int32_t> send(std::string_view operation, std::string_view json) {
    // The callback needs the id, which is known after the call: nothing is received in between.
    const auto id = std::make_shared<int32_t>(0);
    SKERRY_ASSIGN(*id, rpc.call(operation, json, [this, id](const Reply& reply) {
      inbox[*id].push_back(
          {std::string(reply.shape), std::string(reply.payload), reply.is_error, reply.last});
    }));
    return *id;
  }

  io::Fd socket;
  ClientConnection rpc;
  std::map<int32_t, std::deque<Message>> inbox;
  std::array<char, 64 << 10> buffer;
};

IpcClient::IpcClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
IpcClient::IpcClient(IpcClient&&) noexcept = default;
IpcClient& IpcClient::operator=(IpcClient&&) noexcept = default;
IpcClient::~IpcClient() = default;

Result<IpcClient> IpcClient::connect(const std::string& socket_path, std::string_view token,
                                     int64_t timeout_ms) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Where the path is too long for an address, the folder is opened and named by its descriptor.
  io::Fd folder;
  std::string path = socket_path;
  if (path.size() >= sizeof address.sun_path) {
    const size_t slash = path.rfind('/');
    folder = io::Fd(::open(path.substr(0, slash).c_str(), O_PATH | O_CLOEXEC));
    if (!folder) return fail(errno_error("open the folder of the IPC socket", path, errno));
    path = "/proc/self/fd/" + std::to_string(folder.get()) + path.substr(slash);
  }
  if (path.size() >= sizeof address.sun_path) {
    return fail(Code::kInvalidArgument, "the IPC socket's name is too long: " + socket_path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  auto impl = std::make_unique<Impl>();
  impl->socket = io::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!impl->socket) return fail(errno_error("socket", "", errno));
  const timeval timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000};
  ::setsockopt(impl->socket.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(impl->socket.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  // The kernel's interface to addresses is a cast.
  if (::connect(impl->socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
      0) {
    return fail(errno_error("connect to the IPC socket", socket_path, errno));
  }
  impl->rpc.connect(token);
  while (!impl->rpc.connected()) SKERRY_TRY(impl->exchange());
  return IpcClient(std::move(impl));
}

Result<IpcClient::Message> IpcClient::call(std::string_view operation, std::string_view json) {
  SKERRY_ASSIGN(const int32_t stream, impl_->send(operation, json));
  SKERRY_ASSIGN(Message message, next(stream));
  impl_->inbox.erase(stream);
  return message;
}

Result<int32_t> IpcClient::open(std::string_view operation, std::string_view json) {
  SKERRY_ASSIGN(const int32_t stream, impl_->send(operation, json));
  SKERRY_TRY(impl_->flush());
  return stream;
}

Result<IpcClient::Message> IpcClient::next(int32_t stream) {
  std::deque<Message>& waiting = impl_->inbox[stream];
  while (waiting.empty()) SKERRY_TRY(impl_->exchange());
  Message message = std::move(waiting.front());
  waiting.pop_front();
  return message;
}

}  // namespace skerry::rpc
