// For tests: an HTTP server on a free port, and clients that write the bytes themselves.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "net/http_server.h"
#include "net/stream.h"
#include "net/test_support.h"

namespace skerry::net {

inline io::Task<HttpResponse> echo(HttpRequest request) {
  co_return text_response(200, request.method + " " + request.target + " " + request.body);
}

inline io::Task<Result<std::string>> read_to_end(Stream& stream) {
  std::string all;
  char piece[4096];
  for (;;) {
    SKERRY_CO_ASSIGN(size_t count, co_await stream.read_some(piece, sizeof piece));
    if (count == 0) co_return all;
    all.append(piece, count);
  }
}

inline io::Task<Result<std::string>> read_until(Stream& stream, std::string end) {
  std::string all;
  char byte;
  while (!all.ends_with(end)) {
    SKERRY_CO_ASSIGN(size_t count, co_await stream.read_some(&byte, 1));
    if (count == 0) co_return fail(Code::kUnavailable, "closed after: " + all);
    all += byte;
  }
  co_return all;
}

class HttpServerTest : public testing::Test {
 protected:
  void serve(HttpHandler handler, HttpLimits limits = {}) {
    server_ = std::make_unique<HttpServer>(loop_, std::move(handler), limits);
    auto port = server_->listen_tcp("127.0.0.1", 0, nullptr);
    ASSERT_TRUE(port) << port.error().message();
    port_ = *port;
  }
  std::unique_ptr<Stream> connect() {
    auto stream = run_task(loop_, connect_tcp(loop_, "127.0.0.1", port_, nullptr));
    EXPECT_TRUE(stream);
    return std::move(*stream);
  }
  void write(Stream& stream, const std::string& bytes) {
    EXPECT_TRUE(run_task(loop_, stream.write_all(bytes)));
  }
  std::string read_rest(Stream& stream) {
    auto rest = run_task(loop_, read_to_end(stream));
    EXPECT_TRUE(rest) << rest.error().message();
    return rest.value_or("");
  }
  std::string read_through(Stream& stream, const std::string& end) {
    auto text = run_task(loop_, read_until(stream, end));
    EXPECT_TRUE(text) << text.error().message();
    return text.value_or("");
  }
  // Everything that the server answers to `bytes` until it closes.
  std::string answer(const std::string& bytes) {
    auto stream = connect();
    write(*stream, bytes);
    return read_rest(*stream);
  }
  static int status_of(const std::string& answer) {
    return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9, 3)) : 0;
  }

  io::RealLoop loop_;
  ScratchDirectory scratch_;
  std::unique_ptr<HttpServer> server_;
  uint16_t port_ = 0;
};

}  // namespace skerry::net
