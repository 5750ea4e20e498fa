// The HTTP server against clients that write the bytes themselves: pipelines, limits, smuggling,
// slow and vanishing clients, files.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "net/http_client.h"
#include "net/test_http_server.h"

namespace skerry::net {
namespace {

TEST_F(HttpServerTest, AnswersAPipelineInOrder) {
  serve(echo);
  std::string text = answer(
      "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
      "GET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
      "GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
      "GET /4 HTTP/1.1\r\nHost: x\r\n\r\n");
  size_t first = text.find("POST /1 abc"), second = text.find("GET /2 "),
         third = text.find("GET /3 ");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_NE(third, std::string::npos);
  EXPECT_EQ(text.find("GET /4"), std::string::npos) << "answered after Connection: close";
}

TEST_F(HttpServerTest, TakesRequestsByteByByte) {
  serve(echo);
  auto stream = connect();
  for (char c :
       std::string("POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                   "Connection: close\r\n\r\n3\r\nabc\r\n2;note=1\r\nde\r\n0\r\nT: x\r\n\r\n")) {
    write(*stream, std::string(1, c));
  }
  std::string text = read_rest(*stream);
  EXPECT_TRUE(text.ends_with("POST /slow abcde")) << text;
}

TEST_F(HttpServerTest, SaysContinueBeforeTheBody) {
  serve(echo);
  auto stream = connect();
  write(*stream,
        "PUT /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
        "Connection: close\r\n\r\n");
  EXPECT_EQ(read_through(*stream, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  write(*stream, "ok");
  EXPECT_TRUE(read_rest(*stream).ends_with("PUT /x ok"));
}

TEST_F(HttpServerTest, AnswersHeadWithoutABody) {
  serve(echo);
  std::string text = answer("HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_NE(text.find("Content-Length: 8\r\n"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\r\n\r\n")) << text;
}

class Countdown : public BodySource {
 public:
  Countdown(io::Loop& loop, int from) : loop_(loop), left_(from) {}
  io::Task<Result<std::string>> next() override {
    co_await io::sleep(loop_, 1);
    if (left_ < 0) co_return fail(Code::kUnavailable, "broken");
    co_return left_ == 0 ? std::string() : std::to_string(left_--) + " ";
  }

 private:
  io::Loop& loop_;
  int left_;
};

io::Task<HttpResponse> count_down(io::Loop& loop) {
  HttpResponse response;
  response.stream = std::make_shared<Countdown>(loop, 3);
  co_return response;
}

TEST_F(HttpServerTest, ABodyOfUnknownLengthEndsWithTheConnection) {
  serve([this](const HttpRequest&) { return count_down(loop_); });
  std::string text = answer("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(text.find("Content-Length"), std::string::npos) << text;
  EXPECT_NE(text.find("Connection: close\r\n"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\r\n\r\n3 2 1 ")) << text;
  EXPECT_TRUE(answer("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("\r\n\r\n"));
}

TEST_F(HttpServerTest, KnowsHttp10) {
  serve(echo);
  std::string text = answer("GET /old HTTP/1.0\r\n\r\n");
  EXPECT_EQ(status_of(text), 200);
  EXPECT_TRUE(text.ends_with("GET /old "));
}

TEST_F(HttpServerTest, RefusesWhatIsMalformedOrAmbiguous) {
  serve(echo);
  struct Case {
    std::string request;
    int status;
  };
  const std::string chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const Case& c : std::initializer_list<Case>{
           {"not http at all\r\n\r\n", 400},
           {"GET /x HTTP/2.0\r\nHost: x\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\n\r\n", 400},                        // no Host
           {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},  // two
           {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},            // a blank before the colon
           {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
           {"GET http://a\"b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 501},
           {"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
            "chunked\r\n\r\n",
            400},
           {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2 0\r\n\r\n", 400},
           {chunked + "2;a\nxx\r\n0\r\n\r\n", 400},
           {chunked + "2\nxx\n0\n\n\r\n\r\n", 400},
           {chunked + "0x2\r\nxx\r\n0\r\n\r\n", 400},
           {chunked + "2 \r\nxx\r\n0\r\n\r\n", 400},
           {chunked + "10000000000000002\r\nxx\r\n", 400},
           {chunked + "2\r\nxx\r\n0\r\nContent-Length: 5\r\n\r\n", 400},
           {"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n", 400},  // bare line feeds
           {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400},
           {"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            400},
           {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3x\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
           {"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
           {"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 501},
           {"GET / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
           {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
           {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
            "chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            400},
       }) {
    std::string text = answer(c.request);
    EXPECT_EQ(status_of(text), c.status) << c.request << text;
    EXPECT_NE(text.find("Connection: close\r\n"), std::string::npos) << text;
  }
}

TEST_F(HttpServerTest, DoesNotTakeTrailersForHeaders) {
  serve([](HttpRequest request) -> io::Task<HttpResponse> {
    co_return text_response(200, std::string(request.headers.get("Authorization")));
  });
  std::string text = answer(
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
      "Connection: close\r\n\r\n0\r\nAuthorization: stolen\r\n\r\n");
  EXPECT_EQ(status_of(text), 200);
  EXPECT_EQ(text.find("stolen"), std::string::npos);
}

TEST_F(HttpServerTest, HoldsItsLimits) {
  HttpLimits limits;
  limits.header_bytes = 1024;
  limits.body_bytes = 1000;
  serve(echo, limits);
  std::string start = "POST / HTTP/1.1\r\nHost: x\r\n";
  EXPECT_EQ(status_of(answer(start + "X: " + std::string(2000, 'x') + "\r\n\r\n")), 431);
  EXPECT_EQ(status_of(answer("GET /" + std::string(2000, 'x') + " HTTP/1.1\r\n\r\n")), 431);
  EXPECT_EQ(status_of(answer(start + "Content-Length: 1001\r\n\r\n")), 413);
  EXPECT_EQ(status_of(answer(start + "Content-Length: 99999999999999999999\r\n\r\n")), 400);
  // The client is still sending when it is refused, and sees the answer all the same.
  EXPECT_EQ(
      status_of(answer(start + "Content-Length: 3000000\r\n\r\n" + std::string(3'000'000, 'x'))),
      413);
  EXPECT_EQ(status_of(answer(start + "Transfer-Encoding: chunked\r\n\r\n258\r\n" +
                             std::string(600, 'x') + "\r\n258\r\n")),
            413);
  EXPECT_EQ(status_of(answer(start + "Connection: close\r\nContent-Length: 1000\r\n\r\n" +
                             std::string(1000, 'x'))),
            200);
}

TEST_F(HttpServerTest, DropsSlowAndSilentClients) {
  HttpLimits limits;
  limits.idle_timeout_ms = 40;
  serve(echo, limits);
  auto silent = connect();
  auto in_head = connect();
  write(*in_head, "GET / HT");
  auto in_body = connect();
  write(*in_body, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  for (auto* stream : {&silent, &in_head, &in_body}) EXPECT_EQ(read_rest(**stream), "");
  EXPECT_TRUE(run_until(loop_, [&] { return server_->connections() == 0; }));
}

io::Task<void> trickle(io::Loop& loop, Stream& stream) {
  for (;;) {
    auto written = co_await stream.write_all("x");  // in a condition GCC 12 loses the coroutine
    if (!written) co_return;
    co_await io::sleep(loop, 5);
  }
}

TEST_F(HttpServerTest, LimitsTheTimeOfAHeadThatTrickles) {
  HttpLimits limits;
  limits.idle_timeout_ms = 60;
  serve(echo, limits);
  auto stream = connect();
  io::TaskScope scope;
  scope.spawn(trickle(loop_, *stream));
  EXPECT_TRUE(run_until(loop_, [&] { return scope.size() == 0; })) << "still connected";
}

io::Task<HttpResponse> answer_after(io::Loop& loop, int64_t delay_ms) {
  co_await io::sleep(loop, delay_ms);
  co_return text_response(200, "");
}

TEST_F(HttpServerTest, LetsAHandlerTakeItsTime) {
  HttpLimits limits;
  limits.idle_timeout_ms = 20;
  serve([this](HttpRequest) { return answer_after(loop_, 100); }, limits);
  EXPECT_EQ(status_of(answer("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")), 200);
}

io::Task<HttpResponse> answer_when(io::Completion<bool> release) {
  co_await release;
  co_return text_response(200, "released");
}

TEST_F(HttpServerTest, StopsAcceptingAndFinishesWhatItHasBegun) {
  io::Completion<bool> release(loop_);
  bool begun = false;
  serve([&](HttpRequest) {
    begun = true;
    return answer_when(release);
  });
  auto idle = connect();
  auto busy = connect();
  write(*busy, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(run_until(loop_, [&] { return begun && server_->connections() == 2; }));
  server_->stop_accepting();
  EXPECT_EQ(read_rest(*idle), "");
  EXPECT_FALSE(run_task(loop_, connect_tcp(loop_, "127.0.0.1", port_, nullptr)));
  release.complete(true);
  std::string text = read_rest(*busy);
  EXPECT_TRUE(text.ends_with("released"));
  EXPECT_NE(text.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(run_until(loop_, [&] { return server_->connections() == 0; }));
}

TEST_F(HttpServerTest, DiesWithItsHandlersUnderWay) {
  io::Completion<bool> release(loop_);
  bool begun = false;
  serve([&](HttpRequest) {
    begun = true;
    return answer_when(release);
  });
  auto stream = connect();
  write(*stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(run_until(loop_, [&] { return begun; }));
  server_.reset();
  release.complete(true);
  EXPECT_EQ(read_rest(*stream), "");
}

TEST_F(HttpServerTest, SendsRangesOfFiles) {
  std::string content;
  for (int i = 0; i < 200'000; ++i) content += std::to_string(i) + "\n";
  std::string path = scratch_.path("artifact");
  std::ofstream(path) << content;
  serve([path, size = content.size()](HttpRequest request) {
    return [](std::string file, uint64_t whole, std::string target) -> io::Task<HttpResponse> {
      HttpResponse response;
      response.file_path = std::move(file);
      response.file_offset = target == "/part" ? 1000 : 0;
      response.file_size = target == "/part" ? 500 : whole;
      if (target == "/beyond") response.file_size += 1;
      if (target == "/absent") response.file_path += ".absent";
      co_return response;
    }(path, size, request.target);
  });
  auto client = make_http_client(loop_, nullptr);
  auto fetch = [&](const std::string& target) {
    return *run_task(loop_,
                     client->fetch("http://127.0.0.1:" + std::to_string(port_) + target, {}));
  };
  EXPECT_EQ(fetch("/whole").body, content);
  EXPECT_EQ(fetch("/part").body, content.substr(1000, 500));
  EXPECT_EQ(fetch("/beyond").status, 500);
  EXPECT_EQ(fetch("/absent").status, 500);
  EXPECT_EQ(server_->connections(), 1u) << "an error of a file does not cost the connection";
}

TEST_F(HttpServerTest, TakesWhatOldAndProxiedClientsSend) {
  serve([](HttpRequest request) -> io::Task<HttpResponse> {
    co_return text_response(200, request.target + " " + std::string(request.headers.get("Host")));
  });
  const std::string end = "\r\nConnection: close\r\n\r\n";
  EXPECT_TRUE(answer("\r\n\r\nGET /x HTTP/1.1\r\nHost: h" + end).ends_with("\r\n/x h"));
  EXPECT_TRUE(answer("GET http://a:1/x?y HTTP/1.1\r\nHost: h" + end).ends_with("\r\n/x?y a:1"));
  EXPECT_TRUE(answer("GET HTTPS://a HTTP/1.1\r\nHost: h" + end).ends_with("\r\n/ a"));
  EXPECT_TRUE(answer("GET http://a?q HTTP/1.1\r\nHost: h" + end).ends_with("\r\n/?q a"));
  EXPECT_TRUE(answer("OPTIONS * HTTP/1.1\r\nHost: h" + end).ends_with("\r\n* h"));
  EXPECT_EQ(status_of(answer("GET ftp://a/x HTTP/1.1\r\nHost: h" + end)), 400);
  EXPECT_EQ(status_of(answer("GET http:///x HTTP/1.1\r\nHost: h" + end)), 400);
  EXPECT_EQ(status_of(answer("GET http://u@a/x HTTP/1.1\r\nHost: h" + end)), 400);
  EXPECT_EQ(status_of(answer("GET x HTTP/1.1\r\nHost: h" + end)), 400);
  EXPECT_EQ(status_of(answer("GET /x HTTP/1.1\r\nHost: h\r\nExpect: 200-ok" + end)), 417);
  // Between two requests, and byte by byte.
  auto stream = connect();
  for (char c :
       std::string("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: h")) {
    write(*stream, std::string(1, c));
  }
  write(*stream, end);
  const std::string both = read_rest(*stream);
  EXPECT_NE(both.find("/1 h"), std::string::npos);
  EXPECT_TRUE(both.ends_with("/2 h")) << both;
}

TEST_F(HttpServerTest, SaysItsOwnErrorsInTheWordsOfTheProgram) {
  HttpLimits limits;
  limits.body_bytes = 10;
  server_ = std::make_unique<HttpServer>(loop_, echo, limits);
  server_->set_error_format([](const HttpRequest& head, int status, std::string_view message) {
    return json_response(
        status, R"({"target":")" + head.target + R"(","error":")" + std::string(message) + "\"}");
  });
  port_ = *server_->listen_tcp("127.0.0.1", 0, nullptr);
  const std::string large = answer("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n");
  EXPECT_EQ(status_of(large), 413);
  EXPECT_NE(large.find("application/json"), std::string::npos) << large;
  EXPECT_NE(large.find(R"({"target":"/x","error":"HTTP request: the body)"), std::string::npos);
  EXPECT_NE(answer("nonsense\r\n\r\n").find("{\"target\""), std::string::npos);
}

// Bytes that are passed on while the client waits.
class SlowSink : public BodySink {
 public:
  explicit SlowSink(io::Loop& loop) : loop_(loop) {}
  Result<void> write(std::string_view bytes) override {
    kept_ += bytes.size();
    most_kept_ = std::max(most_kept_, kept_);
    if (bytes.find("bad") != std::string_view::npos) {
      return fail(Code::kPermissionDenied, "not these bytes");
    }
    return {};
  }
  io::Task<Result<void>> drain() override {
    co_await io::sleep(loop_, 1);
    kept_ = 0;
    co_return Result<void>();
  }
  size_t most_kept() const { return most_kept_; }

 private:
  io::Loop& loop_;
  size_t kept_ = 0;
  size_t most_kept_ = 0;
};

TEST_F(HttpServerTest, ReadsNoFasterThanItsSinkDrains) {
  auto sink = std::make_shared<SlowSink>(loop_);
  server_ = std::make_unique<HttpServer>(loop_, echo);
  server_->set_body_router([&](const HttpRequest&) { return BodyRoute{sink, 100 << 20}; });
  port_ = *server_->listen_tcp("127.0.0.1", 0, nullptr);
  const std::string head = "PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ";
  EXPECT_EQ(status_of(answer(head + "5000000\r\n\r\n" + std::string(5'000'000, 'x'))), 200);
  EXPECT_LE(sink->most_kept(), 128u << 10);
  EXPECT_EQ(status_of(answer(head + "3\r\n\r\nbad")), 403);
}

TEST_F(HttpServerTest, DropsHeaderValuesWithLineBreaks) {
  serve([](HttpRequest) -> io::Task<HttpResponse> {
    HttpResponse response = text_response(200, "");
    response.headers.add("X-Name", "a\r\nSet-Cookie: b");
    co_return response;
  });
  std::string text = answer("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(text.find("Set-Cookie"), std::string::npos) << text;
}

TEST_F(HttpServerTest, AcceptsNoMoreThanItsLimitAtOnce) {
  HttpLimits limits;
  limits.max_connections = 2;
  std::vector<io::Completion<bool>> done(3, io::Completion<bool>(loop_));
  for (auto& one : done) one = io::Completion<bool>(loop_);  // copies would share their state
  size_t begun = 0;
  serve([&](HttpRequest) { return answer_when(done[begun++]); }, limits);
  // Each has its request in work before the next comes: an idle one would make room for it.
  auto ask = [&](Stream& stream) {
    write(stream, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  };
  auto first = connect();
  ask(*first);
  ASSERT_TRUE(run_until(loop_, [&] { return begun == 1u; }));
  auto second = connect();
  ask(*second);
  ASSERT_TRUE(run_until(loop_, [&] { return begun == 2u; }));
  auto third = connect();
  ask(*third);
  for (int turn = 0; turn < 5; ++turn) loop_.run_for(5);
  EXPECT_EQ(server_->connections(), 2u) << "the third waits: nobody is idle";
  done[0].complete(true);
  EXPECT_TRUE(run_until(loop_, [&] { return begun == 3u; }));
  for (size_t later : {1, 2}) done[later].complete(true);
  EXPECT_EQ(status_of(read_rest(*third)), 200);
}

}  // namespace
}  // namespace skerry::net
