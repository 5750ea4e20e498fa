// The HTTP client against servers that misbehave: truncated, endless, stale and silent ones.
#include "net/http_client.h"

#include <gtest/gtest.h>

#include "net/stream.h"
#include "net/test_support.h"

namespace skerry::net {
namespace {

// What a scripted server does with its connections: to the n-th it sends the n-th answer, once a
// whole request head has arrived, and closes where the answer says so.
struct Script {
  struct Answer {
    std::string bytes;
    bool close = true;
  };
  std::vector<Answer> answers;
  std::vector<std::string> requests;  // heads, in order of arrival
  size_t next = 0;
};

io::Task<void> follow(Script& script, std::unique_ptr<Stream> stream, io::Completion<bool> stop) {
  std::string received;
  char piece[4096];
  for (;;) {
    auto count = co_await stream->read_some(piece, sizeof piece);
    if (!count || *count == 0) co_return;
    received.append(piece, *count);
    if (received.find("\r\n\r\n") == std::string::npos) continue;
    script.requests.push_back(std::exchange(received, {}));
    if (script.next >= script.answers.size()) break;
    Script::Answer answer = script.answers[script.next++];
    if (!co_await stream->write_all(answer.bytes)) co_return;
    if (answer.close) co_return;
  }
  co_await stop;  // says nothing more, and keeps the connection
}

class HttpClientTest : public testing::Test {
 protected:
  std::string serve(std::vector<Script::Answer> answers) {
    script_.answers = std::move(answers);
    auto listener =
        listen_tcp(loop_, "127.0.0.1", 0, nullptr, [this](std::unique_ptr<Stream> stream) {
          ++connections_;
          scope_.spawn(follow(script_, std::move(stream), stop_));
        });
    EXPECT_TRUE(listener);
    listener_ = std::move(*listener);
    return "http://127.0.0.1:" + std::to_string(listener_->port());
  }
  Result<HttpResponse> fetch(const std::string& url, HttpRequest request = {},
                             FetchOptions options = {}) {
    return run_task(loop_, client_->fetch(url, std::move(request), std::move(options)));
  }
  static std::string ok(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  io::RealLoop loop_;
  Script script_;
  int connections_ = 0;
  io::Completion<bool> stop_{loop_};
  std::unique_ptr<Listener> listener_;
  io::TaskScope scope_;
  std::unique_ptr<HttpClient> client_ = make_http_client(loop_, nullptr);
};

TEST_F(HttpClientTest, ReadsEveryKindOfBody) {
  std::string url = serve({
      {ok("counted")},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
       "chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"},
      {"HTTP/1.1 200 OK\r\n\r\nuntil the end"},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n"},
      {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: "
       "4\r\n\r\nnone"},
  });
  EXPECT_EQ(fetch(url)->body, "counted");
  EXPECT_EQ(fetch(url)->body, "abcdefg");
  EXPECT_EQ(fetch(url)->body, "until the end");
  EXPECT_EQ(fetch(url)->status, 204);
  auto last = fetch(url);
  EXPECT_EQ(last->status, 404);
  EXPECT_EQ(last->body, "none");
}

TEST_F(HttpClientTest, SendsHostLengthAndTarget) {
  std::string url = serve({{ok("")}, {ok("")}});
  HttpRequest request;
  request.method = "POST";
  ASSERT_TRUE(fetch(url + "/a?b=c#fragment", request));
  std::string host = url.substr(7);
  EXPECT_EQ(script_.requests[0],
            "POST /a?b=c HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(fetch(url + "?x=1"));
  EXPECT_EQ(script_.requests[1], "GET /?x=1 HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
}

TEST_F(HttpClientTest, TellsATruncatedBodyFromAWholeOne) {
  std::string url = serve({
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"},
      {"HTTP/1.1 200 OK\r\nContent-Le"},
      {""},
  });
  for (int i = 0; i < 4; ++i) {
    auto response = fetch(url);
    ASSERT_FALSE(response) << i;
    EXPECT_EQ(response.error().code(), Code::kUnavailable) << response.error().message();
  }
}

TEST_F(HttpClientTest, RefusesGarbage) {
  std::string url = serve({{"SSH-2.0-OpenSSH_9.2\r\n\r\n"},
                           {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"},
                           {"HTTP/1.1 200 OK\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n"}});
  EXPECT_EQ(fetch(url).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(fetch(url).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(fetch(url).error().code(), Code::kResourceExhausted);
}

io::Task<Result<void>> append_to(std::string* sunk, std::string piece) {
  *sunk += piece;
  co_return Result<void>();
}

// Fails at the third call.
io::Task<Result<void>> note_or_fail(std::vector<std::string>* calls, std::string piece) {
  calls->push_back(std::move(piece));
  if (calls->size() > 2) co_return fail(Code::kResourceExhausted, "disk full");
  co_return Result<void>();
}

TEST_F(HttpClientTest, LimitsBodiesInMemoryButNotThroughASink) {
  std::string large(100'000, 'x');
  std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + large + "\r\n0\r\n\r\n";
  std::string url = serve({{ok(large)},
                           {chunked},
                           {chunked},
                           {"HTTP/1.1 404 Not Found\r\nContent-Length: 100000\r\n\r\n" + large}});
  FetchOptions options;
  options.max_body_bytes = 1000;
  EXPECT_EQ(fetch(url, {}, options).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(fetch(url, {}, options).error().code(), Code::kResourceExhausted);
  std::string sunk;
  options.sink = [&sunk](std::string piece) { return append_to(&sunk, std::move(piece)); };
  auto response = fetch(url, {}, options);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(sunk, large);
  EXPECT_EQ(response->body, "");
  // What a server says of an error is read in part: the status is what matters.
  auto refused = fetch(url, {}, options);
  ASSERT_TRUE(refused) << refused.error().message();
  EXPECT_EQ(refused->status, 404);
  EXPECT_LE(refused->body.size(), 1000U);
}

TEST_F(HttpClientTest, TellsTheHeadBeforeTheBodyAndStopsWhereTheSinkFails) {
  std::string url =
      serve({{ok("body")}, {ok("body")}, {"HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\nno"}});
  std::vector<std::string> calls;
  FetchOptions options;
  options.on_head = [&](const HttpResponse& head) -> Result<void> {
    calls.push_back("head " + std::to_string(head.status));
    return {};
  };
  options.sink = [&calls](std::string piece) { return note_or_fail(&calls, std::move(piece)); };
  ASSERT_TRUE(fetch(url, {}, options));
  EXPECT_EQ(calls, (std::vector<std::string>{"head 200", "body"}));
  auto failed = fetch(url, {}, options);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message().find("disk full"), std::string::npos);
  calls.clear();
  EXPECT_EQ(fetch(url, {}, options)->body, "no");
  EXPECT_TRUE(calls.empty()) << "an error's body is not the file";
}

TEST_F(HttpClientTest, ReusesAConnectionAndReplacesOneThatTheServerClosed) {
  std::string url = serve({{ok("1"), false}, {ok("2"), true}, {ok("3"), false}});
  EXPECT_EQ(fetch(url)->body, "1");
  EXPECT_EQ(fetch(url)->body, "2");
  EXPECT_EQ(connections_, 1);
  HttpRequest post;
  post.method = "POST";
  EXPECT_EQ(fetch(url, post)->body, "3");
  EXPECT_EQ(connections_, 2);
}

TEST_F(HttpClientTest, RepeatsAnIdempotentRequestOnceWhereAReusedConnectionBreaks) {
  std::string url = serve({{ok("1"), false}, {"", true}, {ok("2"), false}, {"", true}});
  EXPECT_EQ(fetch(url)->body, "1");
  EXPECT_EQ(fetch(url)->body, "2") << "the connection broke without an answer";
  EXPECT_EQ(script_.requests.size(), 3u);
  HttpRequest post;
  post.method = "POST";
  EXPECT_EQ(fetch(url, post).error().code(), Code::kUnavailable) << "may have had an effect";
  EXPECT_EQ(script_.requests.size(), 4u);
}

TEST_F(HttpClientTest, GivesUpOnSilentServers) {
  std::string url = serve({});
  FetchOptions options;
  options.timeout_ms = 40;
  auto response = fetch(url, {}, options);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), Code::kTimeout);
  EXPECT_NE(response.error().message().find(url), std::string::npos) << "names what it asked";
}

TEST_F(HttpClientTest, SaysWhyThereIsNoConnection) {
  std::string url = serve({});
  listener_.reset();
  EXPECT_EQ(fetch(url).error().code(), Code::kUnavailable);
  EXPECT_EQ(fetch("unix:/nonexistent/socket:/x").error().code(), Code::kUnavailable);
  EXPECT_EQ(fetch("https://127.0.0.1:1/").error().code(), Code::kFailedPrecondition);
}

TEST_F(HttpClientTest, RefusesBadUrlsAndHeaders) {
  for (const char* url :
       {"", "ftp://x/", "http://", "http://:80/", "http://x:0/", "http://x:99999/", "http://x:8x/",
        "http://user@x/", "unix:/path", "http://x/a b", "http://x/\r\nEvil: 1"}) {
    auto response = fetch(url);
    ASSERT_FALSE(response) << url;
    EXPECT_EQ(response.error().code(), Code::kInvalidArgument) << url;
  }
  HttpRequest request;
  request.headers.add("X", "a\r\nEvil: 1");
  EXPECT_EQ(fetch("http://127.0.0.1:1/", request).error().code(), Code::kInvalidArgument);
}

TEST_F(HttpClientTest, MayBeCancelled) {
  std::string url = serve({});
  {
    std::optional<Result<HttpResponse>> result;
    io::TaskScope scope;
    scope.spawn(store_result(client_->fetch(url, {}), &result));
    ASSERT_TRUE(run_until(loop_, [&] { return script_.requests.size() == 1; }));
  }
  script_.answers = {{ok("after")}};
  EXPECT_EQ(fetch(url)->body, "after");
}

TEST(HttpText, EncodesAndDecodes) {
  EXPECT_EQ(percent_encode("a b/ü~", "/"), "a%20b/%C3%BC~");
  EXPECT_EQ(*percent_decode("a%20b%2fc+"), "a b/c+");
  for (const char* bad : {"%", "%2", "%zz", "a%"}) EXPECT_FALSE(percent_decode(bad)) << bad;
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(*parse_query("b=2&a=%31&flag&&empty="),
            (Pairs{{"b", "2"}, {"a", "1"}, {"flag", ""}, {"empty", ""}}));
  EXPECT_EQ(split_target("/p?a?b"), (std::pair<std::string_view, std::string_view>("/p", "a?b")));
}

TEST(HttpText, HeadersCompareWithoutCase) {
  Headers headers;
  headers.add("X-Name", "1");
  headers.add("x-name", "2");
  EXPECT_EQ(headers.get("X-NAME"), "1");
  headers.set("X-name", "3");
  EXPECT_EQ(headers.fields().size(), 1u);
  EXPECT_FALSE(headers.has("other"));
}

}  // namespace
}  // namespace skerry::net
