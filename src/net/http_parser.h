// Inside of net: HTTP/1.1 messages from bytes, piece by piece. Boost.Beast's parser stands behind
// it; its headers stop in http_parser.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "net/http.h"

namespace skerry::net {

// What a program adds to the reading of requests; each may be empty.
struct RequestHooks {
  BodyRouter router;
  ErrorFormat error_format;
};

class RequestParser {
 public:
  // `hooks` have to live as long as the parser.
  RequestParser(const HttpLimits& limits, const RequestHooks& hooks);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Takes what it can from the front of `bytes` and returns how much; the rest is to be given again
  // with more behind it, or belongs to the next request once done(). Empty lines before a request
  // are skipped, an absolute target is split into target and Host. Refuses what proxies could read
  // differently: two lengths, a transfer coding other than "chunked", no Host or two.
  Result<size_t> feed(std::string_view bytes);
  // What to answer when feed() has failed: 400, 413, 417, 431 or 501, what a failed sink asks for,
  // or what the router says.
  HttpResponse refusal() const;
  // Makes refusal() the answer to an error from elsewhere.
  void refuse(int status, std::string_view message);
  void refuse_sink(const Error& error);

  bool started() const;  // more than empty lines has come
  bool head_done() const;
  bool done() const;
  bool keep_alive() const;          // only once head_done()
  uint64_t buffered_bytes() const;  // of the body, in memory
  bool expects_continue() const;    // the client waits for "100 Continue" before it sends the body
  HttpRequest& request();           // to be moved from once done()
  void reset();                     // ready for the next request

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class ResponseParser {
 public:
  // `to_head`: the answer to a HEAD request, which has no body.
  ResponseParser(const HttpLimits& limits, bool to_head);
  ~ResponseParser();
  ResponseParser(const ResponseParser&) = delete;
  ResponseParser& operator=(const ResponseParser&) = delete;

  Result<size_t> feed(std::string_view bytes);
  // The connection has ended: the end of a body without length, or an error.
  Result<void> finish();
  bool head_done() const;
  bool done() const;
  bool keep_alive() const;
  // The body grows at its end; it may be taken away between calls of feed().
  HttpResponse& response();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry::net
