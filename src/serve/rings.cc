// Connections that have become rings, and the way of a request through one.
#include "serve/rings.h"

#include <fmt/format.h>
#include <skerry/ring_layout.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "net/socket.h"
#include "serve/memory_guard.h"

namespace skerry::serve {
namespace {

constexpr uint32_t kUsualSlots = 4;
constexpr uint64_t kUsualSlotBytes = 256 << 10;
constexpr size_t kMaxRings = 64;
constexpr size_t kMaxRingsOfSource = 16;
constexpr size_t kMaxCopiedOnLoop = 256 << 10;  // takes some 100 µs at most

// A number among the query's members; `usual` where it is absent.
Result<uint64_t> number_in(const std::vector<std::pair<std::string, std::string>>& query,
                           std::string_view name, uint64_t usual) {
  const auto found = std::ranges::find(query, name, &std::pair<std::string, std::string>::first);
  if (found == query.end()) return usual;
  const std::string& text = found->second;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(Code::kInvalidArgument, fmt::format("'{}' must be a number, not '{}'", name, text));
  }
  return value;
}

// Of the machine: a thread that is bound to one core may have its client on another.
bool has_more_than_one_core() {
  return ::sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

// The memory's descriptor, with a byte to carry it.
bool send_descriptor(int socket, int descriptor) {
  char byte = 1;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

// What woke this side says no more than that. False where the client is gone.
bool drain_wakes(int socket) {
  std::array<char, 256> bytes{};
  for (;;) {
    const ssize_t count = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count == 0) return false;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    if (static_cast<size_t>(count) < bytes.size()) return true;
  }
}

std::unexpected<RingRefusal> refuse(const Error& error) {
  return std::unexpected(RingRefusal{ring_status(error.code()), 0, error.message()});
}

uint64_t total_of(std::span<const uint64_t> sizes) {
  uint64_t total = 0;
  for (const uint64_t size : sizes) total += std::min(size, UINT64_MAX - total);  // unchecked yet
  return total;
}

uint64_t bytes_of_tensors(std::span<const tensor::Tensor> tensors) {
  uint64_t total = 0;
  for (const tensor::Tensor& each : tensors) total += each.bytes.size();
  return total;
}

// Resumes whoever awaits it after the loop has looked at everything else.
class NextTurn {
 public:
  explicit NextTurn(io::Loop& loop) : loop_(loop) {}
  NextTurn(const NextTurn&) = delete;
  NextTurn& operator=(const NextTurn&) = delete;
  ~NextTurn() { *waiter_ = {}; }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    *waiter_ = handle;
    loop_.post([waiter = waiter_] {
      if (auto resumed = std::exchange(*waiter, {})) resumed.resume();
    });
  }
  void await_resume() const noexcept {}

 private:
  io::Loop& loop_;
  std::shared_ptr<std::coroutine_handle<>> waiter_ = std::make_shared<std::coroutine_handle<>>();
};

// In the words of HTTP, as access rules have them.
RingRefusal refusal_of(const net::HttpResponse& response) {
  RingRefusal refusal;
  refusal.status = response.status == 401   ? SKERRY_STATUS_UNAUTHENTICATED
                   : response.status == 429 ? SKERRY_STATUS_RESOURCE_EXHAUSTED
                                            : SKERRY_STATUS_PERMISSION_DENIED;
  const std::string_view wait = response.headers.get("Retry-After");
  std::from_chars(wait.data(), wait.data() + wait.size(), refusal.retry_after_s);
  refusal.message = nlohmann::json::parse(response.body, nullptr, false).value("error", "");
  return refusal;
}

}  // namespace

void SpinRule::answered(int64_t now_ns, bool can_pay) {
  until_ns_ = 0;
  if (!can_pay) return;
  if (skip_ > 0) {
    --skip_;
    return;
  }
  until_ns_ = now_ns + kSpinNs;
}

void SpinRule::found() {
  if (until_ns_ != 0) penalty_ = 0;
}

bool SpinRule::goes_on(int64_t now_ns) {
  if (until_ns_ == 0) return false;
  if (now_ns < until_ns_) return true;
  until_ns_ = 0;
  penalty_ = std::min(2 * penalty_ + 1, kMaxPenalty);
  skip_ = penalty_;
  return false;
}

struct Rings::Session {
  std::list<Session*>& all;
  std::list<Session*>::iterator position;
  std::unique_ptr<net::Socket> socket;
  std::shared_ptr<RingMemory> memory;  // shared with copies on the pool
  net::HttpRequest who;                // its peer and its token
  size_t first_slot = 0;               // is looked at first, so that each has its turn
  size_t running = 0;
  bool can_spin = has_more_than_one_core();
  SpinRule spin;
  io::TaskScope requests;  // last: what they use stands above

  Session(std::list<Session*>& sessions, std::unique_ptr<net::Socket> connection,
          std::shared_ptr<RingMemory> shared, net::HttpRequest client)
      : all(sessions),
        position(sessions.insert(sessions.end(), this)),
        socket(std::move(connection)),
        memory(std::move(shared)),
        who(std::move(client)) {}
  ~Session() { all.erase(position); }
};

Rings::~Rings() {
  tasks_.cancel_all();
}

Result<void> Rings::check_room(const std::string& source, uint64_t bytes) const {
  uint64_t all_bytes = bytes;
  uint64_t own_bytes = bytes;
  size_t own = 1;
  for (const Session* each : sessions_) {
    all_bytes += each->memory->size_bytes();
    if (each->who.peer.source != source) continue;
    own_bytes += each->memory->size_bytes();
    ++own;
  }
  if (sessions_.size() < kMaxRings && own <= kMaxRingsOfSource && all_bytes <= max_bytes_ &&
      own_bytes <= max_bytes_ / 2) {
    return {};
  }
  return fail(Code::kResourceExhausted,
              fmt::format("there are {} rings, {} of this user's, and a further one of {} bytes is "
                          "too much: close one, or ask by HTTP",
                          sessions_.size(), own - 1, bytes));
}

Result<net::HttpResponse> Rings::open(const net::HttpRequest& request) {
  if (request.peer.address != "unix") {
    return fail(Code::kPermissionDenied, "rings are for clients on the Unix socket");
  }
  if (request.headers.get("Upgrade") != SKERRY_RING_PROTOCOL) {
    return fail(Code::kInvalidArgument,
                "a ring is opened with the header Upgrade: " SKERRY_RING_PROTOCOL);
  }
  if (stopping_) return fail(Code::kUnavailable, "the service is stopping");
  SKERRY_ASSIGN(const auto query, net::parse_query(net::split_target(request.target).second));
  SKERRY_ASSIGN(const uint64_t slots, number_in(query, "slots", kUsualSlots));
  SKERRY_ASSIGN(const uint64_t slot_bytes, number_in(query, "slot_bytes", kUsualSlotBytes));
  const auto count = static_cast<uint32_t>(std::min<uint64_t>(slots, UINT32_MAX));
  SKERRY_TRY(check_room(request.peer.source, RingMemory::size_of(count, slot_bytes)));
  SKERRY_ASSIGN(auto memory, RingMemory::make(count, slot_bytes));

  net::HttpRequest who;
  who.peer = request.peer;
  if (const auto token = request.headers.get("Authorization"); !token.empty()) {
    who.headers.add("Authorization", std::string(token));
  }
  net::HttpResponse response;
  response.status = 101;
  response.headers.add("Upgrade", SKERRY_RING_PROTOCOL);
  response.take_over = [this, memory, who](std::unique_ptr<net::Socket> socket) {
    // Others may have come in between.
    if (stopping_ || !check_room(who.peer.source, memory->size_bytes())) return;
    if (!send_descriptor(socket->fd(), memory->descriptor())) return;
    tasks_.spawn(serve(std::make_unique<Session>(sessions_, std::move(socket), memory, who)));
  };
  return response;
}

void Rings::stop() {
  stopping_ = true;
  for (const Session* each : sessions_) {
    if (each->running == 0) each->socket->abort();
  }
}

// Until the client is gone. Its requests end with it: those that wait are dropped.
io::Task<void> Rings::serve(SessionPtr session) {
  for (;;) {
    session->memory->set_sleeping(false);
    look(*session);
    if (!session->spin.goes_on(now_ns())) {
      session->memory->set_sleeping(true);
      // What has come before the client could know.
      if (!look(*session)) {
        co_await session->socket->readable();
        if (!drain_wakes(session->socket->fd())) co_return;
        continue;
      }
    }
    co_await NextTurn(parts_.loop);
  }
}

// Begins what has been asked; what is short has ended then.
bool Rings::look(Session& session) {
  bool found = false;
  const size_t slots = session.memory->slots();
  for (size_t i = 0; i < slots; ++i) {
    const size_t slot = (session.first_slot + i) % slots;
    auto head = session.memory->take(slot);
    if (!head) continue;
    found = true;
    ++session.running;
    session.requests.spawn(answer(session, slot, std::move(*head)));
  }
  if (!found) return false;
  session.first_slot = (session.first_slot + 1) % slots;
  session.spin.found();
  if (session.running == 0) session.spin.answered(now_ns(), session.can_spin);
  return true;
}

io::Task<void> Rings::answer(Session& session, size_t slot, Result<std::string> head) {
  Answered answered = head ? co_await ask(session, slot, std::move(*head)) : refuse(head.error());
  if (!answered) {
    const auto written =
        session.memory->write_answer(slot, encode_ring_refusal(answered.error()), {});
    SKERRY_CHECK(written, "every slot holds a refusal");
  }
  session.memory->publish(slot);
  const char wake = 1;
  // A client that does not read what wakes it has more of it than it needs.
  if (session.memory->client_sleeps()) {
    (void)!::send(session.socket->fd(), &wake, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  --session.running;
  if (stopping_ && session.running == 0) session.socket->abort();
}

// What copies many bytes, not on the loop.
template <class Work>
auto Rings::where_it_fits(uint64_t bytes, Work work) -> io::Task<decltype(work())> {
  if (bytes > kMaxCopiedOnLoop) {
    co_return co_await io::run_on(parts_.codec, parts_.loop, std::move(work));
  }
  co_return work();
}

io::Task<Rings::Answered> Rings::ask(Session& session, size_t slot, std::string head) {
  auto request = decode_ring_request(head);
  if (!request) co_return refuse(request.error());
  const auto grant = parts_.access.admit(session.who, Right::kInfer, request->model);
  if (!grant) co_return std::unexpected(refusal_of(grant.error()));
  if (parts_.repository.is_away(request->model)) {
    auto back = co_await parts_.repository.bring_back(request->model);
    if (!back) co_return refuse(back.error());
  }
  ServedModelPtr model =
      request->version.empty() ? parts_.repository.next(request->model) : nullptr;
  if (!model) {
    auto found = parts_.repository.get(request->model, request->version);
    if (!found) co_return refuse(found.error());
    model = std::move(*found);
  }
  parts_.repository.used(*model);
  RequestRecord record(parts_.ledger, *model);
  const auto failed = [&](const Error& error) {
    record.failed(error);
    return refuse(error);
  };
  const uint64_t asked_bytes = total_of(request->input_bytes);
  auto read =
      co_await where_it_fits(asked_bytes, [memory = session.memory, slot, head_bytes = head.size(),
                                           taken = std::move(*request)]() mutable {
        return within_memory("the request", [&]() -> Result<RingRequest> {
          SKERRY_TRY(memory->read_inputs(slot, head_bytes, taken));
          return std::move(taken);
        });
      });
  if (!read) co_return failed(read.error());
  record.decoded(read->inference.inputs);
  auto outcome = co_await parts_.scheduler.infer(model, std::move(read->inference));
  record.ran(outcome);
  if (!outcome.outputs) co_return failed(outcome.outputs.error());
  const uint64_t answer_bytes = bytes_of_tensors(*outcome.outputs);
  auto written = co_await where_it_fits(
      answer_bytes, [memory = session.memory, slot, model, outputs = std::move(*outcome.outputs)] {
        return memory->write_answer(slot, encode_ring_answer(model->version, outputs), outputs);
      });
  if (!written) co_return failed(written.error());
  record.answered("");
  co_return Answered();
}

}  // namespace skerry::serve
