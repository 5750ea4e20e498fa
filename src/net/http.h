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

// In order of arrival; names compare case-insensitively.
class Headers {
 public:
  void add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  void set(std::string_view name, std::string value);  // replaces every field of that name
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
  std::string certificate_cn;      // common name of the verified client certificate, or ""
  std::string certificate_sha256;  // its SHA-256 fingerprint in lower-case hex, or ""
};

// Where a request's body goes piece by piece instead of into HttpRequest::body.
class BodySink {
 public:
  virtual ~BodySink() = default;
  virtual Result<void> write(std::string_view bytes) = 0;  // an error ends the request
};

struct HttpRequest {
  std::string method = "GET";
  std::string target = "/";  // raw: path and query as on the wire, still percent-encoded
  Headers headers;
  std::string body;
  Peer peer;  // server side only
  // Server side: what took the body, where a BodyRouter chose it. Shared, as requests are copied.
  std::shared_ptr<BodySink> sink;
};

struct HttpResponse {
  int status = 200;
  Headers headers;
  std::string body;
  // Where not empty, the body is this file's bytes [file_offset, file_offset + file_size); `body`
  // is unused.
  std::string file_path;
  uint64_t file_offset = 0;
  uint64_t file_size = 0;
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

struct HttpLimits {
  uint32_t header_bytes = 32 << 10;
  uint64_t body_bytes = 64 << 20;
  int64_t idle_timeout_ms =
      60'000;  // between requests, between reads, and for a request's whole head
  uint32_t max_connections = 10'000;  // of each listener
};

// Decides from a request's head (no body yet, no peer) where the body goes and how long it may be;
// without a sink it goes into memory under HttpLimits. A response refuses the request at once.
struct BodyRoute {
  std::shared_ptr<BodySink> sink;
  uint64_t max_bytes = 0;
};
using BodyRouter = std::function<std::expected<BodyRoute, HttpResponse>(const HttpRequest& head)>;

// One request in, one response out. May suspend. Destroyed with its connection.
using HttpHandler = std::function<io::Task<HttpResponse>(HttpRequest)>;

}  // namespace skerry::net
