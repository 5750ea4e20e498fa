// HTTP/1.1 requests and responses as plain values, shared by client and server.
// Limits are enforced while reading; a violation is an Error, never a crash.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/task.h"

namespace skerry::net {

class Socket;

// In order of arrival; names compare case-insensitively.
class Headers {
 public:
  void add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  void set(std::string_view name, std::string value);  // replaces every field of that name
  void remove(std::string_view name);
  // The first field of that name, or "" where there is none.
  std::string_view get(std::string_view name) const;
  void reserve(size_t count) { fields_.reserve(count); }
  bool has(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// Who is on the other side of a connection.
struct Peer {
  std::string address;             // "127.0.0.1:40112" or "unix"
  int64_t uid = -1;                // of the process that connected to a Unix socket, else -1
  std::string source;              // whom limits count it to: "127.0.0.1", a /64 of IPv6, "uid 0"
  std::string certificate_cn;      // common name of the verified client certificate, or ""
  std::string certificate_sha256;  // its SHA-256 fingerprint in lower-case hex, or ""
};

// Where a request's body goes piece by piece instead of into HttpRequest::body. An error of either
// ends the request: kInvalidArgument as 400, kPermissionDenied 403, kResourceExhausted 507, others
// 500.
class BodySink {
 public:
  virtual ~BodySink() = default;
  // On the loop: keeps the bytes, and does nothing that may block.
  virtual Result<void> write(std::string_view bytes) = 0;
  // Awaited after writes, before more is read from the client: the place to pass on what was kept.
  virtual io::Task<Result<void>> drain() { co_return Result<void>(); }
};

struct HttpRequest {
  std::string method = "GET";
  std::string target = "/";  // raw: path and query as on the wire, still percent-encoded
  Headers headers;
  std::string body;
  Peer peer;  // server side only
  // Server side: what took the body, where a BodyRouter chose it. Shared, as requests are copied.
  std::shared_ptr<BodySink> sink;
  // Server side: whether the client has closed since, so that nobody waits for the answer. Valid
  // while the handler runs; for those whose answer takes long to ask now and then.
  std::function<bool()> client_is_gone;
};

// A body that comes piece by piece and whose length nobody knows, such as server-sent events. It
// ends with the connection.
class BodySource {
 public:
  virtual ~BodySource() = default;
  // The next piece; "" at the end, an error to break the connection. Awaited on the loop, destroyed
  // where the client has gone. A piece is due before the idle timeout.
  virtual io::Task<Result<std::string>> next() = 0;
};

struct HttpResponse {
  int status = 200;
  Headers headers;
  std::string body;
  std::shared_ptr<BodySource> stream;  // instead of `body`; shared, as responses are copied
  // Where not empty, the body is this file's bytes [file_offset, file_offset + file_size); `body`
  // is unused.
  std::string file_path;
  uint64_t file_offset = 0;
  uint64_t file_size = 0;
  bool closes = false;  // server side: the connection ends with it
  // Server side, with status 101: called with the connection once the head is out, to go on with
  // another protocol. Not for TLS.
  std::function<void(std::unique_ptr<Socket> socket)> take_over;
};

// The standard phrase of a status, "Not Found" of 404; "" of one that has none.
std::string_view reason_phrase(int status);

HttpResponse text_response(int status, std::string body, std::string content_type = "text/plain");
HttpResponse json_response(int status, std::string json_body);

// Path and query of a target: "/a%2Fb?x=1" → "/a%2Fb", "x=1".
std::pair<std::string_view, std::string_view> split_target(std::string_view target);
// kInvalidArgument on a bad escape. '+' is left alone.
Result<std::string> percent_decode(std::string_view text);
// Everything but A–Z a–z 0–9 - . _ ~ and the characters of `keep`.
std::string percent_encode(std::string_view text, std::string_view keep = "");
// Decoded query parameters in order.
Result<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view query);

// A client that passes one of them gets an error and loses its connection. The last five are the
// server's alone.
struct HttpLimits {
  uint32_t header_bytes = 32 << 10;  // of the head; chunk extensions and trailers have as much
  uint32_t header_fields = 128;
  uint64_t body_bytes = 64 << 20;  // decoded, where a coding is undone
  // Between requests, between reads, and for a request's whole head.
  int64_t idle_timeout_ms = 60'000;
  uint32_t min_body_bytes_per_s = 512;  // slower bodies are given up after the idle timeout
  // Of each listener, together and of one Peer::source. Where it is reached, a new connection
  // displaces the one that has been idle longest (of that source), or waits where all are at work.
  uint32_t max_connections = 10'000;
  uint32_t max_connections_per_source = 2'500;
  // Of requests in memory, of all connections together and of one Peer::source, from the first byte
  // to the end of the answer. 0: four times body_bytes (at least 64 MiB), half of
  // it for a source.
  uint64_t buffered_bytes = 0;
  uint64_t buffered_bytes_per_source = 0;
  // Undo the Content-Encoding gzip or deflate of bodies without a sink; handlers never see it.
  bool decode_bodies = false;
};

// Decides from a request's head (no body yet, no peer) where the body goes and how long it may be;
// without a sink it goes into memory under HttpLimits, or under `max_bytes` where that is less and
// not 0. A response refuses the request at once.
struct BodyRoute {
  std::shared_ptr<BodySink> sink;
  uint64_t max_bytes = 0;
};
using BodyRouter = std::function<std::expected<BodyRoute, HttpResponse>(const HttpRequest& head)>;

// The answer to a request that the server itself refuses, in the words of the program's protocol.
// `head`: what is known of the request, which may be nothing. text/plain where there is none.
using ErrorFormat =
    std::function<HttpResponse(const HttpRequest& head, int status, std::string_view message)>;

// "GET" for HEAD, whose answer is that of GET without the body, which the server leaves out.
inline std::string_view routed_method(const HttpRequest& request) {
  return request.method == "HEAD" ? std::string_view("GET") : request.method;
}

// One request in, one response out. May suspend. Destroyed with its connection.
using HttpHandler = std::function<io::Task<HttpResponse>(HttpRequest)>;

}  // namespace skerry::net
