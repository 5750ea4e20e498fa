// HTTP/1.1 client of the device: one connection per host kept for reuse, bodies in memory or
// streamed to a sink. An interface, so that the simulator can stand in for the network.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/task.h"
#include "net/http.h"
#include "net/tls.h"

namespace skerry::net {

struct FetchOptions {
  int64_t timeout_ms = 30'000;  // to the response's head, and between body reads
  // Of a 2xx answer: kResourceExhausted above. Of another with a `sink`: cut off there.
  uint64_t max_body_bytes = 64 << 20;
  // Where set, a 2xx body goes here piece by piece instead of into HttpResponse::body. The next
  // piece is read when it is done with one; an error ends the fetch.
  std::function<io::Task<Result<void>>(std::string)> sink;
  // Where set, the request's body, `body_bytes` of it: asked for piece by piece from an offset, and
  // again from 0 where a kept connection had gone stale. HttpRequest::body is unused then. The
  // timeout does not count while the piece is awaited: the sender may take its time.
  std::function<io::Task<Result<std::string>>(uint64_t offset)> body;
  uint64_t body_bytes = 0;
  // Called with the head of a 2xx answer (status, headers, empty body) before a byte reaches
  // `sink`.
  std::function<Result<void>(const HttpResponse&)> on_head;
};

class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // `url`: http://, https:// (host[:port]/target), or unix:/path/of/socket:/target.
  // Any HTTP status is a success here; kUnavailable or kTimeout when there was no answer; a
  // connection reset after the head is kUnavailable.
  virtual io::Task<Result<HttpResponse>> fetch(std::string url, HttpRequest request,
                                               FetchOptions options = {}) = 0;
};

// `tls` is used for https URLs; null refuses them.
std::unique_ptr<HttpClient> make_http_client(io::Loop& loop, std::shared_ptr<TlsContext> tls);

}  // namespace skerry::net
