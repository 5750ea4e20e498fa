// One coroutine a connection: read a request, run the handler, write the answer, again.
#include "net/http_server.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <list>

#include "base/log.h"
#include "net/http_parser.h"
#include "net/memory_budget.h"
#include "net/socket.h"

namespace skerry::net {
namespace {

constexpr size_t kFirstBufferBytes = 4 << 10;
constexpr size_t kLargeBufferBytes = 64 << 10;
constexpr uint64_t kLeastBudgetBytes = 64 << 20;
constexpr size_t kFilePieceBytes = 256 << 10;
// A refused request is read on to this extent, so that the client sees the answer and not a reset.
constexpr uint64_t kLingerBytes = 16 << 20;

void append_number(std::string& out, uint64_t number) {
  char digits[20];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

// The file of `response`, which must hold the announced range.
Result<Fd> open_body(const HttpResponse& response) {
  Fd file(::open(response.file_path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info{};
  if (!file || ::fstat(file.get(), &info) != 0) {
    return fail(errno_error("open", response.file_path, errno));
  }
  if (static_cast<uint64_t>(info.st_size) < response.file_offset + response.file_size) {
    return fail(Code::kCorrupt, response.file_path + " is shorter than announced");
  }
  return file;
}

uint64_t all_requests_bytes(const HttpLimits& limits) {
  if (limits.buffered_bytes > 0) return limits.buffered_bytes;
  return std::max(4 * limits.body_bytes, kLeastBudgetBytes);
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

}  // namespace

struct HttpServer::Impl {
  // What the server must reach of a connection that its coroutine serves.
  struct Connection {
    enum class Phase { kIdle, kHead, kBody, kBusy };
    std::unique_ptr<Stream> stream;
    IdleGuard guard;
    MemoryBudget::Share memory;
    std::string buffer;  // bytes read and not yet parsed are [begin, end)
    size_t begin = 0;
    size_t end = 0;
    std::string head;  // of the answer; kept for its capacity
    Phase phase = Phase::kIdle;
    bool displaced = false;
    std::list<Connection*>::iterator position;
    Connection(io::Loop& loop, std::unique_ptr<Stream> s, const HttpLimits& limits,
               MemoryBudget& budget)
        : stream(std::move(s)),
          guard(loop, *stream, limits.idle_timeout_ms),
          memory(budget, stream->peer().source) {}
  };
  using Phase = Connection::Phase;

  Impl(io::Loop& l, HttpHandler h, HttpLimits li)
      : loop(l),
        handler(std::move(h)),
        limits(li),
        budget(all_requests_bytes(li), li.buffered_bytes_per_source > 0
                                           ? li.buffered_bytes_per_source
                                           : all_requests_bytes(li) / 2) {}

  io::Task<void> serve(std::unique_ptr<Connection> connection);
  io::Task<Result<bool>> read_more(Connection& connection, bool large);
  io::Task<Result<bool>> read_request(Connection& connection, RequestParser& parser);
  Result<void> take(Connection& connection, RequestParser& parser);
  void enter(Connection& connection, Phase phase);
  io::Task<void> refuse(Connection& connection, HttpResponse response);
  io::Task<Result<void>> write_response(Connection& connection, HttpResponse response, bool is_head,
                                        bool keep_alive);
  io::Task<Result<void>> write_file(Connection& connection, Fd file, uint64_t offset, uint64_t end);
  io::Task<Result<void>> write_stream(Connection& connection, BodySource& source);
  void write_head(std::string& out, const HttpResponse& response, uint64_t body_bytes,
                  bool keep_alive);
  std::string_view date();
  bool make_room(const std::string& source);

  Listener::OnStream on_stream() {
    return [this](std::unique_ptr<Stream> stream) {
      scope.spawn(serve(std::make_unique<Connection>(loop, std::move(stream), limits, budget)));
    };
  }
  ListenLimits listen_limits() {
    return {limits.max_connections, limits.max_connections_per_source,
            [this](const std::string& source) { return make_room(source); }};
  }

  io::Loop& loop;
  HttpHandler handler;
  HttpLimits limits;
  RequestHooks hooks;
  io::InlinePool on_the_loop;
  io::Pool* file_pool = &on_the_loop;
  bool stopping = false;
  std::time_t date_second = 0;
  std::string date_text;
  std::vector<std::unique_ptr<Listener>> listeners;
  MemoryBudget budget;
  std::list<Connection*> open;  // whoever has finished a request longest ago is first
  io::TaskScope scope;
};

void HttpServer::Impl::enter(Connection& connection, Phase phase) {
  if (connection.phase == phase) return;
  connection.phase = phase;
  switch (phase) {
    case Phase::kIdle:
      open.splice(open.end(), open, connection.position);
      connection.guard.set_min_bytes(1);
      return;
    case Phase::kHead:
      // One byte now and then must not hold a connection: the head as a whole has a limit.
      return connection.guard.set_mode(IdleGuard::Mode::kDeadline);
    case Phase::kBody:
      connection.guard.set_mode(IdleGuard::Mode::kProgress);
      return connection.guard.set_min_bytes(static_cast<uint64_t>(limits.idle_timeout_ms) *
                                            limits.min_body_bytes_per_s / 1000);
    case Phase::kBusy:
      connection.guard.set_min_bytes(1);
      return connection.guard.set_mode(IdleGuard::Mode::kPaused);
  }
}

// Displaces whoever does nothing for the longest time, and rather than nobody a body under way.
bool HttpServer::Impl::make_room(const std::string& source) {
  for (const bool bodies : {false, true}) {
    for (Connection* connection : open) {
      const bool waits = connection->phase == Phase::kIdle || connection->phase == Phase::kHead ||
                         (bodies && connection->phase == Phase::kBody);
      if (!waits || connection->displaced) continue;
      if (!source.empty() && connection->stream->peer().source != source) continue;
      connection->displaced = true;
      connection->stream->abort();
      return true;
    }
  }
  return false;
}

// At least one more byte into the buffer; false at the end of the stream.
io::Task<Result<bool>> HttpServer::Impl::read_more(Connection& connection, bool large) {
  std::string& buffer = connection.buffer;
  if (connection.begin == connection.end) {
    connection.begin = connection.end = 0;
  } else if (connection.begin > 0 && connection.end == buffer.size()) {
    buffer.erase(0, connection.begin);
    connection.end -= connection.begin;
    connection.begin = 0;
  }
  size_t wanted = large ? kLargeBufferBytes : kFirstBufferBytes;
  // A head that does not fit; its limit ends this growth.
  if (connection.end == buffer.size()) wanted = std::max(wanted, buffer.size() * 2);
  if (buffer.size() < wanted) buffer.resize(wanted);
  SKERRY_CO_ASSIGN(size_t count,
                   co_await connection.stream->read_some(buffer.data() + connection.end,
                                                         buffer.size() - connection.end));
  connection.end += count;
  co_return count > 0;
}

// What is in the buffer into `parser`, within the limits of memory.
Result<void> HttpServer::Impl::take(Connection& connection, RequestParser& parser) {
  std::string_view bytes(connection.buffer.data() + connection.begin,
                         connection.end - connection.begin);
  SKERRY_ASSIGN(size_t used, parser.feed(bytes));
  connection.begin += used;
  const uint64_t spare = std::max(connection.buffer.capacity(), kFirstBufferBytes);
  if (connection.memory.hold(spare - kFirstBufferBytes + parser.buffered_bytes())) return {};
  parser.refuse(503, "too many requests are under way: try again");
  return fail(Code::kResourceExhausted, "requests in memory");
}

// A whole request into `parser`; false where the client has closed between two.
io::Task<Result<bool>> HttpServer::Impl::read_request(Connection& connection,
                                                      RequestParser& parser) {
  bool told_to_continue = false;
  for (;;) {
    if (connection.begin != connection.end) {
      SKERRY_CO_TRY(take(connection, parser));
      if (parser.head_done()) {
        if (BodySink* sink = parser.request().sink.get()) {
          auto drained = co_await sink->drain();
          if (!drained) {
            parser.refuse_sink(drained.error());
            co_return fail(Code::kInvalidArgument, drained.error().message());
          }
        }
        if (parser.done()) co_return true;
        enter(connection, Phase::kBody);
        if (parser.expects_continue() && !std::exchange(told_to_continue, true)) {
          SKERRY_CO_TRY(co_await connection.stream->write_all("HTTP/1.1 100 Continue\r\n\r\n"));
        }
      } else {
        enter(connection, Phase::kHead);
      }
    }
    SKERRY_CO_ASSIGN(bool more, co_await read_more(connection, parser.head_done()));
    if (!more) {
      if (!parser.started()) co_return false;
      co_return fail(Code::kUnavailable, "the client closed in the middle of a request");
    }
  }
}

io::Task<void> HttpServer::Impl::serve(std::unique_ptr<Connection> owned) {
  Connection& connection = *owned;
  struct Registered {
    std::list<Connection*>& list;
    Connection& connection;
    Registered(std::list<Connection*>& all, Connection& one) : list(all), connection(one) {
      one.position = all.insert(all.end(), &one);
    }
    ~Registered() { list.erase(connection.position); }
  } registered(open, connection);
  RequestParser parser(limits, hooks);
  while (!stopping || connection.begin != connection.end) {
    auto read = co_await read_request(connection, parser);
    if (!read && (read.error().code() == Code::kInvalidArgument ||
                  read.error().code() == Code::kResourceExhausted)) {
      co_return co_await refuse(connection, parser.refusal());
    }
    if (!read || !*read) co_return;
    bool keep_alive = parser.keep_alive();
    HttpRequest request = std::move(parser.request());
    parser.reset();
    bool is_head = request.method == "HEAD";
    request.peer = connection.stream->peer();
    request.client_is_gone = [stream = connection.stream.get()] {
      return stream->is_closed_by_peer();
    };
    enter(connection, Phase::kBusy);
    HttpResponse response = co_await handler(std::move(request));
    connection.guard.set_mode(IdleGuard::Mode::kProgress);
    keep_alive = keep_alive && !stopping && !response.stream && !response.closes;
    const auto take_over = response.take_over;
    auto written = co_await write_response(connection, std::move(response), is_head, keep_alive);
    if (!written) {
      log::debug("net", "answer not delivered", {{"error", written.error().message()}});
      co_return;
    }
    if (take_over) {
      if (auto socket = connection.stream->release()) take_over(std::move(socket));
      co_return;
    }
    if (!keep_alive) co_return;
    enter(connection, Phase::kIdle);
    // Idle connections are many: what one large request needed is given back.
    if (connection.begin == connection.end && connection.buffer.size() > kFirstBufferBytes) {
      connection.buffer = {};
      connection.begin = connection.end = 0;
    }
    connection.memory.hold(0);
  }
}

// Answers what cannot be parsed, then reads on for a while: closing with bytes unread resets the
// connection, and the client would lose the answer.
io::Task<void> HttpServer::Impl::refuse(Connection& connection, HttpResponse response) {
  enter(connection, Phase::kHead);
  connection.guard.set_mode(IdleGuard::Mode::kDeadline);
  auto written = co_await write_response(connection, std::move(response), false, false);
  if (!written) co_return;
  connection.stream->shutdown_write();
  for (uint64_t drained = 0; drained < kLingerBytes;) {
    connection.begin = connection.end = 0;
    auto more = co_await read_more(connection, true);
    if (!more || !*more) co_return;
    drained += connection.end;
  }
}

std::string_view HttpServer::Impl::date() {
  std::time_t now = std::time(nullptr);
  if (now != date_second) {
    date_second = now;
    char text[40];
    std::tm parts;
    date_text.assign(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT",
                                         gmtime_r(&now, &parts)));
  }
  return date_text;
}

void HttpServer::Impl::write_head(std::string& out, const HttpResponse& response,
                                  uint64_t body_bytes, bool keep_alive) {
  out.assign("HTTP/1.1 ");
  append_number(out, static_cast<uint64_t>(response.status));
  out.append(" ").append(reason_phrase(response.status)).append("\r\nDate: ").append(date());
  out.append("\r\n");
  for (const auto& [name, value] : response.headers.fields()) {
    // A line break in a value would let it write headers of its own.
    if (value.find_first_of("\r\n") != std::string::npos) continue;
    out.append(name).append(": ").append(value).append("\r\n");
  }
  if (!has_no_body(response.status) && !response.headers.has("Content-Length") &&
      !response.stream) {
    out.append("Content-Length: ");
    append_number(out, body_bytes);
    out.append("\r\n");
  }
  std::string_view fate = keep_alive ? "keep-alive" : "close";
  if (response.take_over) fate = "Upgrade";
  out.append("Connection: ").append(fate).append("\r\n\r\n");
}

io::Task<Result<void>> HttpServer::Impl::write_response(Connection& connection,
                                                        HttpResponse response, bool is_head,
                                                        bool keep_alive) {
  Fd file;
  if (!response.file_path.empty()) {
    auto opened = open_body(response);
    if (opened) {
      file = std::move(*opened);
    } else {
      log::error("net", "cannot send a file", {{"error", opened.error().message()}});
      response = text_response(500, "the file cannot be read\n");
    }
  }
  write_head(connection.head, response, file ? response.file_size : response.body.size(),
             keep_alive);
  if (is_head || has_no_body(response.status)) {
    co_return co_await connection.stream->write_all(connection.head);
  }
  if (response.stream) {
    SKERRY_CO_TRY(co_await connection.stream->write_all(connection.head));
    co_return co_await write_stream(connection, *response.stream);
  }
  if (!file) co_return co_await connection.stream->write_both(connection.head, response.body);
  SKERRY_CO_TRY(co_await connection.stream->write_all(connection.head));
  co_return co_await write_file(connection, std::move(file), response.file_offset,
                                response.file_offset + response.file_size);
}

io::Task<Result<void>> HttpServer::Impl::write_file(Connection& connection, Fd file,
                                                    uint64_t offset, uint64_t end) {
  // Shared with a read that is under way when the client goes.
  auto shared = std::make_shared<Fd>(std::move(file));
  while (offset < end) {
    const size_t wanted = std::min<uint64_t>(kFilePieceBytes, end - offset);
    auto piece =
        co_await io::run_on(*file_pool, loop, [fd = shared->get(), shared, offset, wanted] {
          std::string bytes(wanted, '\0');
          ssize_t count = ::pread(fd, bytes.data(), wanted, static_cast<off_t>(offset));
          bytes.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
          return bytes;
        });
    // The head is out: only breaking the connection tells the client that the body is not whole.
    if (piece.empty()) co_return fail(errno_error("read", "the body's file", EIO));
    SKERRY_CO_TRY(co_await connection.stream->write_all(piece));
    offset += piece.size();
  }
  co_return {};
}

io::Task<Result<void>> HttpServer::Impl::write_stream(Connection& connection, BodySource& source) {
  while (!stopping) {
    SKERRY_CO_ASSIGN(const std::string piece, co_await source.next());
    if (piece.empty() || connection.stream->is_closed_by_peer()) break;
    SKERRY_CO_TRY(co_await connection.stream->write_all(piece));
  }
  co_return Result<void>();
}

HttpServer::HttpServer(io::Loop& loop, HttpHandler handler, HttpLimits limits)
    : impl_(std::make_unique<Impl>(loop, std::move(handler), limits)) {}
HttpServer::~HttpServer() = default;

void HttpServer::set_body_router(BodyRouter router) {
  impl_->hooks.router = std::move(router);
}
void HttpServer::set_error_format(ErrorFormat format) {
  impl_->hooks.error_format = std::move(format);
}
void HttpServer::set_file_pool(io::Pool& pool) {
  impl_->file_pool = &pool;
}

Result<uint16_t> HttpServer::listen_tcp(const std::string& address, uint16_t port,
                                        std::shared_ptr<TlsContext> tls) {
  SKERRY_ASSIGN(auto listener, net::listen_tcp(impl_->loop, address, port, std::move(tls),
                                               impl_->on_stream(), impl_->listen_limits()));
  impl_->listeners.push_back(std::move(listener));
  return impl_->listeners.back()->port();
}

Result<void> HttpServer::listen_unix(const std::string& path, uint32_t mode) {
  SKERRY_ASSIGN(auto listener, net::listen_unix(impl_->loop, path, mode, impl_->on_stream(),
                                                impl_->listen_limits()));
  impl_->listeners.push_back(std::move(listener));
  return {};
}

void HttpServer::stop_accepting() {
  impl_->stopping = true;
  impl_->listeners.clear();
  for (Impl::Connection* connection : impl_->open) {
    if (connection->phase == Impl::Phase::kIdle) connection->stream->abort();
  }
}

size_t HttpServer::connections() const {
  return impl_->open.size();
}

}  // namespace skerry::net
