// HTTP over streams: a pool of idle connections, one request at a time on each.
#include "net/http_client.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>

#include "net/http_parser.h"
#include "net/stream.h"

namespace skerry::net {
namespace {

constexpr size_t kBufferBytes = 32 << 10;
constexpr size_t kIdlePerHost = 4;
constexpr int64_t kIdleMs = 30'000;

struct Url {
  enum class Scheme { kHttp, kHttps, kUnix };
  Scheme scheme = Scheme::kHttp;
  std::string host;  // for kUnix the path of the socket
  uint16_t port = 80;
  std::string host_header;
  std::string target;

  std::string origin() const {
    return std::to_string(static_cast<int>(scheme)) + host + ":" + std::to_string(port);
  }
};

// A URL as text for people: without its query, which in a pre-signed one is a key to the object,
// and without credentials. Every URL that gets into an error does so through here.
std::string shown(const std::string& url) {
  std::string text = url.substr(0, url.find_first_of("?#"));
  const size_t authority = text.find("://");
  if (authority != std::string::npos) {
    const size_t path = text.find('/', authority + 3);
    const size_t at = text.substr(0, path).rfind('@');
    if (at != std::string::npos) text.replace(authority + 3, at - authority - 3, "...");
  }
  return url.find('?') == std::string::npos ? text : text + "?...";
}

Error bad_url(const std::string& url, const std::string& why) {
  return Error(Code::kInvalidArgument, "URL '" + shown(url) + "': " + why);
}

Result<Url> parse_unix_url(const std::string& url) {
  size_t colon = url.find(":/", 5);
  if (colon == std::string::npos) {
    return fail(bad_url(url, "want unix:/path/of/socket:/target"));
  }
  Url result;
  result.scheme = Url::Scheme::kUnix;
  result.host = url.substr(5, colon - 5);
  result.host_header = "localhost";
  result.target = url.substr(colon + 1);
  return result;
}

Result<Url> parse_url(const std::string& url) {
  if (url.starts_with("unix:")) return parse_unix_url(url);
  Url result;
  bool is_https = url.starts_with("https://");
  if (!is_https && !url.starts_with("http://")) {
    return fail(bad_url(url, "want http://, https:// or unix:"));
  }
  result.scheme = is_https ? Url::Scheme::kHttps : Url::Scheme::kHttp;
  result.port = is_https ? 443 : 80;
  size_t start = is_https ? 8 : 7;
  size_t end = std::min(url.find_first_of("/?#", start), url.size());
  std::string authority = url.substr(start, end - start);
  std::string target = url.substr(end, url.find('#', end) - end);
  result.target = target.starts_with('/') ? target : "/" + target;
  result.host_header = authority;
  if (authority.find('@') != std::string::npos) {
    return fail(bad_url(url, "credentials in a URL are not supported"));
  }
  size_t colon = authority.rfind(':');
  if (colon != std::string::npos && authority.find(']', colon) == std::string::npos) {
    const char* first = authority.data() + colon + 1;
    const char* last = authority.data() + authority.size();
    auto [stop, error] = std::from_chars(first, last, result.port);
    if (error != std::errc() || stop != last || result.port == 0) {
      return fail(bad_url(url, "bad port"));
    }
    authority.resize(colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']')) {
    authority = authority.substr(1, authority.size() - 2);
  }
  if (authority.empty()) return fail(bad_url(url, "no host"));
  result.host = authority;
  return result;
}

// A value that would end the line it stands on, and with it say something else.
bool breaks_lines(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

Result<std::string> request_head(const Url& url, const HttpRequest& request, uint64_t body_bytes) {
  std::string head = request.method + " " + url.target + " HTTP/1.1\r\n";
  if (request.method.find_first_of(" \r\n") != std::string::npos ||
      url.target.find_first_of(" \r\n") != std::string::npos) {
    return fail(Code::kInvalidArgument, "HTTP request: method or target has a space or line break");
  }
  if (!request.headers.has("Host")) head += "Host: " + url.host_header + "\r\n";
  for (const auto& [name, value] : request.headers.fields()) {
    if (breaks_lines(name) || breaks_lines(value)) {
      return fail(Code::kInvalidArgument, "HTTP request: header " + name + " has a line break");
    }
    head.append(name).append(": ").append(value).append("\r\n");
  }
  bool wants_length = body_bytes > 0 || request.method == "POST" || request.method == "PUT" ||
                      request.method == "PATCH";
  if (wants_length && !request.headers.has("Content-Length")) {
    head += "Content-Length: " + std::to_string(body_bytes) + "\r\n";
  }
  return head + "\r\n";
}

bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS";
}

class StreamHttpClient : public HttpClient {
 public:
  StreamHttpClient(io::Loop& loop, std::shared_ptr<TlsContext> tls)
      : loop_(loop), tls_(std::move(tls)) {}

  io::Task<Result<HttpResponse>> fetch(std::string url, HttpRequest request,
                                       FetchOptions options) override {
    SKERRY_CO_ASSIGN(Url target, parse_url(url));
    SKERRY_CO_ASSIGN(
        std::string head,
        request_head(target, request, options.body ? options.body_bytes : request.body.size()));
    bool may_retry = is_idempotent(request.method);
    for (;;) {
      Exchange exchange;
      SKERRY_CO_ASSIGN(exchange.stream,
                       co_await take(target, options.timeout_ms, &exchange.reused));
      auto response = co_await run(exchange, head, request, options);
      // The server had closed the connection before it saw this request.
      bool stale = !response && exchange.reused && !exchange.answered &&
                   response.error().code() == Code::kUnavailable;
      if (stale && std::exchange(may_retry, false)) continue;
      if (!response)
        co_return fail(response.error().with_context(request.method + " " + shown(url)));
      if (exchange.reusable) put_back(target, std::move(exchange.stream));
      co_return response;
    }
  }

 private:
  struct Exchange {
    std::unique_ptr<Stream> stream;
    bool reused = false;
    bool answered = false;  // a byte of the answer has arrived
    bool reusable = false;
  };
  struct Idle {
    std::unique_ptr<Stream> stream;
    io::Timer expiry;
    uint64_t id;
  };

  io::Task<Result<std::unique_ptr<Stream>>> take(Url url, int64_t timeout_ms, bool* reused) {
    auto& idle = idle_[url.origin()];
    while (!idle.empty()) {
      auto stream = std::move(idle.back().stream);
      idle.pop_back();
      if (stream->is_stale()) continue;
      *reused = true;
      co_return stream;
    }
    *reused = false;
    if (url.scheme == Url::Scheme::kUnix) co_return co_await connect_unix(loop_, url.host);
    if (url.scheme == Url::Scheme::kHttp) {
      co_return co_await connect_tcp(loop_, url.host, url.port, nullptr, timeout_ms);
    }
    if (!tls_) {
      co_return fail(Code::kFailedPrecondition,
                     "no CA file is configured, which https:// needs: " + url.host);
    }
    co_return co_await connect_tcp(loop_, url.host, url.port, tls_, timeout_ms);
  }

  void put_back(const Url& url, std::unique_ptr<Stream> stream) {
    std::string origin = url.origin();
    auto& idle = idle_[origin];
    if (idle.size() >= kIdlePerHost) return;
    uint64_t id = next_id_++;
    auto expiry = loop_.after(kIdleMs, [this, origin, id] {
      auto& streams = idle_[origin];
      std::erase_if(streams, [id](const Idle& entry) { return entry.id == id; });
      if (streams.empty()) idle_.erase(origin);
    });
    idle.push_back(Idle{std::move(stream), std::move(expiry), id});
  }

  io::Task<Result<HttpResponse>> run(Exchange& exchange, const std::string& head,
                                     const HttpRequest& request, const FetchOptions& options) {
    IdleGuard guard(loop_, *exchange.stream, options.timeout_ms);
    auto response = co_await converse(exchange, head, request, options, guard);
    if (!response && guard.expired()) {
      co_return fail(Code::kTimeout,
                     "no answer within " + std::to_string(options.timeout_ms) + " ms");
    }
    co_return response;
  }

  io::Task<Result<HttpResponse>> converse(Exchange& exchange, const std::string& head,
                                          const HttpRequest& request, const FetchOptions& options,
                                          IdleGuard& guard) {
    Stream& stream = *exchange.stream;
    // A server that refuses a body early answers and closes: its answer counts more than the
    // failure.
    auto written = options.body ? co_await write_pieces(stream, head, options, guard)
                                : co_await stream.write_both(head, request.body);
    // The sender's own failure: the server would wait for the rest.
    if (!written && written.error().code() != Code::kUnavailable) co_return fail(written.error());
    HttpLimits limits;
    // What goes to a sink is the sink's to limit; deliver() limits what stays here.
    if (options.sink)
      limits.body_bytes = std::numeric_limits<uint64_t>::max();
    else
      limits.body_bytes = options.max_body_bytes;
    std::string buffer(kBufferBytes, '\0');
    size_t end = 0;
    for (;;) {  // until an answer that is not "100 Continue" or the like
      ResponseParser parser(limits, request.method == "HEAD");
      SKERRY_CO_TRY(co_await read_response(exchange, parser, buffer, end, options));
      HttpResponse& response = parser.response();
      if (response.status / 100 == 1) continue;
      exchange.reusable = written && parser.done() && parser.keep_alive() && end == 0;
      co_return std::move(response);
    }
  }

  static io::Task<Result<void>> write_pieces(Stream& stream, const std::string& head,
                                             const FetchOptions& options, IdleGuard& guard) {
    SKERRY_CO_TRY(co_await stream.write_both(head, {}));
    for (uint64_t sent = 0; sent < options.body_bytes;) {
      guard.set_mode(IdleGuard::Mode::kPaused);
      SKERRY_CO_ASSIGN(const std::string piece, co_await options.body(sent));
      guard.set_mode(IdleGuard::Mode::kProgress);
      if (piece.empty() || piece.size() > options.body_bytes - sent) {
        co_return fail(Code::kFailedPrecondition,
                       "what is sent has changed its size meanwhile: try again");
      }
      SKERRY_CO_TRY(co_await stream.write_both(piece, {}));
      sent += piece.size();
    }
    co_return {};
  }

  // Bytes of `buffer` up to `end` are read and not yet parsed.
  static io::Task<Result<void>> read_response(Exchange& exchange, ResponseParser& parser,
                                              std::string& buffer, size_t& end,
                                              const FetchOptions& options) {
    bool head_told = false;
    while (!parser.done()) {
      if (end > 0) {
        SKERRY_CO_ASSIGN(size_t used, parser.feed(std::string_view(buffer.data(), end)));
        std::copy(buffer.begin() + static_cast<ptrdiff_t>(used),
                  buffer.begin() + static_cast<ptrdiff_t>(end), buffer.begin());
        end -= used;
        SKERRY_CO_TRY(co_await deliver(parser, head_told, options));
        if (parser.done() || is_cut(parser.response(), options)) break;
      }
      if (end == buffer.size()) buffer.resize(buffer.size() * 2);  // the header's limit ends this
      auto count = co_await exchange.stream->read_some(buffer.data() + end, buffer.size() - end);
      if (!count) co_return fail(count.error());
      if (*count == 0) {
        SKERRY_CO_TRY(parser.finish());
        break;
      }
      exchange.answered = true;
      end += *count;
    }
    co_return {};
  }

  // An error is told by its beginning; the rest of its body is not read.
  static bool is_cut(const HttpResponse& response, const FetchOptions& options) {
    return response.status / 100 != 2 && response.body.size() >= options.max_body_bytes;
  }

  // Hands what has arrived to the sink.
  static io::Task<Result<void>> deliver(ResponseParser& parser, bool& head_told,
                                        const FetchOptions& options) {
    HttpResponse& response = parser.response();
    if (!parser.head_done()) co_return {};
    if (response.status / 100 != 2) {
      if (is_cut(response, options)) response.body.resize(options.max_body_bytes);
      co_return {};
    }
    if (options.on_head && !std::exchange(head_told, true)) {
      HttpResponse head;
      head.status = response.status;
      head.headers = response.headers;
      SKERRY_CO_TRY(options.on_head(head));
    }
    if (!options.sink || response.body.empty()) co_return {};
    co_return co_await options.sink(std::exchange(response.body, {}));
  }

  io::Loop& loop_;
  std::shared_ptr<TlsContext> tls_;
  std::map<std::string, std::vector<Idle>> idle_;  // by origin
  uint64_t next_id_ = 1;
};

}  // namespace

std::unique_ptr<HttpClient> make_http_client(io::Loop& loop, std::shared_ptr<TlsContext> tls) {
  return std::make_unique<StreamHttpClient>(loop, std::move(tls));
}

}  // namespace skerry::net
