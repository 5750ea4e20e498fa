// HTTP client and server with each other: over TCP, TLS and Unix sockets, bodies of every kind.
#include <gtest/gtest.h>

#include <fstream>

#include "net/content_coding.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/test_support.h"

namespace skerry::net {
namespace {

// Answers with what it was asked, so that tests see what arrived.
io::Task<HttpResponse> echo(HttpRequest request) {
  HttpResponse response = text_response(200, request.body);
  response.headers.add("X-Method", request.method);
  response.headers.add("X-Target", request.target);
  response.headers.add("X-Peer", request.peer.certificate_cn);
  co_return response;
}

class Http : public testing::Test {
 protected:
  HttpResponse fetch(const std::string& url, HttpRequest request = {}, FetchOptions options = {}) {
    auto response = run_task(loop_, client_->fetch(url, std::move(request), std::move(options)));
    if (!response) ADD_FAILURE() << response.error().message();
    return response ? *response : HttpResponse{};
  }
  Error fetch_error(const std::string& url, HttpRequest request = {}, FetchOptions options = {}) {
    auto response = run_task(loop_, client_->fetch(url, std::move(request), std::move(options)));
    if (response) ADD_FAILURE() << "an answer where none was expected: " << response->status;
    return response ? Error(Code::kInternal, "") : response.error();
  }
  std::string serve(HttpHandler handler, HttpLimits limits = {}) {
    server_ = std::make_unique<HttpServer>(loop_, std::move(handler), limits);
    auto port = server_->listen_tcp("127.0.0.1", 0, nullptr);
    EXPECT_TRUE(port) << port.error().message();
    return "http://127.0.0.1:" + std::to_string(*port);
  }

  io::RealLoop loop_;
  ScratchDirectory scratch_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<HttpClient> client_ = make_http_client(loop_, nullptr);
};

TEST(ContentCoding, TheOneTheClientLikesBest) {
  for (const auto& [accept, chosen] :
       std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                        {"identity", ""},
                                                        {"br", ""},
                                                        {"gzip", "gzip"},
                                                        {"X-GZIP", "gzip"},
                                                        {"deflate, gzip;q=0.5", "deflate"},
                                                        {" deflate ; q=0.8 , gzip ;q=0.80", "gzip"},
                                                        {"gzip;q=0, *", "deflate"},
                                                        {"*;q=0", ""},
                                                        {"gzip;q=0.2, identity;q=0.3", ""},
                                                        {"gzip;q=0.0001", ""},
                                                        {"gzip;;=;q=,deflate;q", "gzip"},
                                                        {",;,=", ""}}) {
    EXPECT_EQ(choose_coding(accept), chosen) << accept;
  }
}

TEST(ContentCoding, WhatIsEncodedIsUndone) {
  for (const char* coding : {"gzip", "deflate"}) {
    for (const std::string& text : {std::string(), std::string(100'000, 'x')}) {
      std::string out;
      Inflater inflater;
      ASSERT_TRUE(inflater.write(encode_content(coding, text), out, 1 << 20));
      EXPECT_TRUE(inflater.complete());
      EXPECT_EQ(out, text);
    }
  }
}

TEST_F(Http, CarriesMethodTargetHeadersAndBody) {
  std::string url = serve(echo);
  HttpRequest request;
  request.method = "POST";
  request.body = std::string(3'000'000, 'x');
  HttpResponse response = fetch(url + "/a%2Fb?q=1", request);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.get("x-method"), "POST");
  EXPECT_EQ(response.headers.get("X-Target"), "/a%2Fb?q=1");
  EXPECT_EQ(response.body, request.body);
}

TEST_F(Http, KeepsOneConnectionForSequentialRequests) {
  std::string url = serve(echo);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(fetch(url + "/").status, 200);
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(Http, ServesUnixSocketsWithLongPaths) {
  std::string directory = scratch_.path(std::string(120, 'd'));
  ASSERT_EQ(::mkdir(directory.c_str(), 0700), 0);
  std::string path = directory + "/api.socket";
  serve(echo);
  auto listening = server_->listen_unix(path, 0600);
  ASSERT_TRUE(listening) << listening.error().message();
  HttpResponse response = fetch("unix:" + path + ":/v2/health");
  EXPECT_EQ(response.headers.get("X-Target"), "/v2/health");
}

TEST_F(Http, MutualTlsTellsTheServerWhoTheClientIs) {
  TestCa ca(scratch_, "ca");
  server_ = std::make_unique<HttpServer>(loop_, echo);
  auto server_tls = TlsContext::server(ca.issue({"server", "DNS:localhost,IP:127.0.0.1"}), true);
  ASSERT_TRUE(server_tls) << server_tls.error().message();
  auto port = server_->listen_tcp("127.0.0.1", 0, *server_tls);
  ASSERT_TRUE(port) << port.error().message();
  auto client_tls = TlsContext::client(ca.issue({"pump-7", ""}));
  ASSERT_TRUE(client_tls) << client_tls.error().message();
  client_ = make_http_client(loop_, *client_tls);
  for (std::string host : {"localhost", "127.0.0.1"}) {
    HttpRequest request;
    request.method = "PUT";
    request.body = std::string(1'000'000, 'b');
    HttpResponse response = fetch("https://" + host + ":" + std::to_string(*port) + "/", request);
    EXPECT_EQ(response.headers.get("X-Peer"), "pump-7");
    EXPECT_EQ(response.body, request.body);
  }
}

// Remembers what arrives, and can be told to have no room.
class CollectingSink : public BodySink {
 public:
  explicit CollectingSink(bool full) : full_(full) {}
  Result<void> write(std::string_view bytes) override {
    if (full_) return fail(Code::kResourceExhausted, "no room");
    received.append(bytes);
    return {};
  }
  std::string received;

 private:
  bool full_;
};

io::Task<HttpResponse> answer_from_sink(HttpRequest request) {
  auto sink = std::static_pointer_cast<CollectingSink>(request.sink);
  co_return text_response(200, std::to_string(sink ? sink->received.size() : 0) + " streamed, " +
                                   std::to_string(request.body.size()) + " in memory");
}

std::expected<BodyRoute, HttpResponse> route_by_target(const HttpRequest& head) {
  if (head.target == "/memory") return BodyRoute{};
  if (head.target == "/refused") return std::unexpected(text_response(403, "not for you"));
  return BodyRoute{std::make_shared<CollectingSink>(head.target == "/full"), 2'000'000};
}

TEST_F(Http, ABodyRouterDecidesFromTheHeadWhereTheBodyGoes) {
  server_ = std::make_unique<HttpServer>(loop_, answer_from_sink, HttpLimits{.body_bytes = 1000});
  server_->set_body_router(route_by_target);
  auto port = server_->listen_tcp("127.0.0.1", 0, nullptr);
  ASSERT_TRUE(port) << port.error().message();
  const std::string url = "http://127.0.0.1:" + std::to_string(*port);
  HttpRequest request;
  request.method = "PUT";
  request.body = std::string(1'500'000, 'x');
  EXPECT_EQ(fetch(url + "/sink", request).body, "1500000 streamed, 0 in memory");
  EXPECT_EQ(fetch(url + "/memory", request).status, 413);
  EXPECT_EQ(fetch(url + "/full", request).status, 507);
  HttpResponse refused = fetch(url + "/refused", request);
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.body, "not for you");
  request.body = std::string(2'000'001, 'x');
  EXPECT_EQ(fetch(url + "/sink", request).status, 413);
  request.body = std::string(1000, 'x');
  EXPECT_EQ(fetch(url + "/memory", request).body, "0 streamed, 1000 in memory");
}

}  // namespace
}  // namespace skerry::net
