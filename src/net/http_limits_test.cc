// The HTTP server against clients that want its memory, its connections or its time.
#include <unistd.h>
#include <zlib.h>

#include <fstream>

#include "base/sanitizers.h"
#include "net/test_http_server.h"

namespace skerry::net {
namespace {

using HttpLimitsTest = HttpServerTest;

constexpr const char* kChunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string gzip_of(std::string text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(text.data());
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

uint64_t resident_bytes() {
  uint64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Writes `piece` until the server has had enough or `most_bytes` are out; how many were taken.
io::Task<uint64_t> flood(Stream& stream, std::string piece, uint64_t most_bytes) {
  uint64_t written = 0;
  while (written < most_bytes) {
    auto result = co_await stream.write_all(piece);
    if (!result) break;
    written += piece.size();
  }
  co_return written;
}

constexpr uint64_t kFloodBytes = 64 << 20;
constexpr bool kMemoryIsReturned = !kIsSanitized;

TEST_F(HttpLimitsTest, ChunkExtensionsAndTrailersWithoutEndAreRefused) {
  serve(echo);
  const std::string big(64 << 10, 'x');
  std::string small_chunks, small_trailers;
  for (int i = 0; i < 1000; ++i) small_chunks += "1;" + std::string(50, 'e') + "\r\nx\r\n";
  for (int i = 0; i < 1000; ++i) small_trailers += "T: " + std::string(50, 't') + "\r\n";
  const struct {
    const char* name;
    std::string start;
    std::string piece;
  } cases[] = {
      {"one endless extension", "1;", big},
      {"one endless chunk size", "", std::string(64 << 10, '0')},
      {"one endless trailer", "0\r\nT: ", big},
      {"many extensions", "", small_chunks},
      {"many trailers", "0\r\n", small_trailers},
      {"an endless head", "0\r\n\r\nGET / HTTP/1.1\r\nX: ", big},
      {"empty lines for ever", "0\r\n\r\n", "\r\n\r\n\r\n\r\n"},
  };
  for (const auto& c : cases) {
    auto stream = connect();
    write(*stream, kChunked + c.start);
    const uint64_t before = resident_bytes();
    const uint64_t taken = run_task(loop_, flood(*stream, c.piece, kFloodBytes));
    if (kMemoryIsReturned) EXPECT_LT(resident_bytes(), before + (8 << 20)) << c.name;
    // Of what is refused 16 MiB are read on, so that the client sees the answer, and dropped; the
    // kernel's buffers take up to 36 MiB more.
    EXPECT_LT(taken, kFloodBytes) << c.name;
    EXPECT_TRUE(run_until(loop_, [&] { return server_->connections() == 0; })) << c.name;
  }
}

TEST_F(HttpLimitsTest, BodiesInMemoryShareABudget) {
  HttpLimits limits;
  limits.body_bytes = 1 << 20;
  limits.buffered_bytes = 3 << 20;
  limits.buffered_bytes_per_source = 3 << 20;
  serve(echo, limits);
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
  std::vector<std::unique_ptr<Stream>> streams;
  int refused = 0;
  for (int i = 0; i < 12; ++i) {
    streams.push_back(connect());
    write(*streams.back(), head + std::string(900'000, 'x'));
  }
  for (auto& stream : streams) {
    // Those that are refused hear of it; the others wait for the rest of their body.
    io::TaskScope scope;
    std::optional<Result<std::string>> answer;
    scope.spawn(store_result(read_until(*stream, "\r\n"), &answer));
    for (int turn = 0; turn < 20 && !answer; ++turn) loop_.run_for(10);
    if (answer && *answer) {
      EXPECT_EQ(status_of(**answer), 503);
      ++refused;
    }
  }
  EXPECT_GE(refused, 9);
  EXPECT_LT(refused, 12);
  streams.clear();
  EXPECT_TRUE(run_until(loop_, [&] { return server_->connections() == 0; }));
  EXPECT_EQ(status_of(answer("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
                             "900000\r\n\r\n" +
                             std::string(900'000, 'x'))),
            200)
      << "what the others held is free again";
}

TEST_F(HttpLimitsTest, ANewClientDisplacesTheOneThatIsIdleLongest) {
  HttpLimits limits;
  limits.max_connections = 20;
  limits.max_connections_per_source = 20;
  serve(echo, limits);
  std::vector<std::unique_ptr<Stream>> idle;
  for (int i = 0; i < 50; ++i) idle.push_back(connect());
  const std::string request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(status_of(answer(request)), 200);
  EXPECT_LE(server_->connections(), 20u);
  EXPECT_EQ(read_rest(*idle.front()), "") << "displaced";
}

TEST_F(HttpLimitsTest, ASourceCannotTakeMoreThanItsShare) {
  HttpLimits limits;
  limits.max_connections = 20;
  limits.max_connections_per_source = 5;
  serve(echo, limits);
  std::vector<std::unique_ptr<Stream>> idle;
  for (int i = 0; i < 10; ++i) {
    idle.push_back(connect());
    // Half a head: as good as idle.
    write(*idle.back(), "GET / HT");
  }
  EXPECT_EQ(status_of(answer("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")), 200);
  EXPECT_LE(server_->connections(), 6u);
}

io::Task<HttpResponse> never(io::Loop& loop) {
  co_await io::sleep(loop, 1'000'000);
  co_return text_response(200, "");
}

TEST_F(HttpLimitsTest, WorkUnderWayIsNotDisplaced) {
  HttpLimits limits;
  limits.max_connections_per_source = 2;
  int begun = 0;
  serve(
      [&](HttpRequest) {
        ++begun;
        return never(loop_);
      },
      limits);
  auto first = connect(), second = connect();
  for (auto* stream : {&first, &second}) write(**stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(run_until(loop_, [&] { return begun == 2; }));
  auto third = connect();
  EXPECT_EQ(run_task(loop_, read_to_end(*third)).value_or(""), "") << "refused";
  EXPECT_EQ(server_->connections(), 2u);
}

io::Task<void> drip(io::Loop& loop, Stream& stream) {
  for (;;) {
    auto written = co_await stream.write_all("x");
    if (!written) co_return;
    co_await io::sleep(loop, 5);
  }
}

TEST_F(HttpLimitsTest, ABodyThatDripsIsGivenUp) {
  HttpLimits limits;
  limits.idle_timeout_ms = 100;
  limits.min_body_bytes_per_s = 10'000;
  serve(echo, limits);
  auto stream = connect();
  write(*stream, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  io::TaskScope scope;
  scope.spawn(drip(loop_, *stream));
  EXPECT_TRUE(run_until(loop_, [&] { return scope.size() == 0; })) << "still connected";
}

TEST_F(HttpLimitsTest, HeadersAreCounted) {
  serve(echo);
  std::string request = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 2000; ++i) request += "a:\r\n";
  EXPECT_EQ(status_of(answer(request + "\r\n")), 431);
}

TEST_F(HttpLimitsTest, CompressedBodiesHaveTheLimitOfWhatTheyStandFor) {
  HttpLimits limits;
  limits.body_bytes = 100'000;
  limits.decode_bodies = true;
  serve(
      [](HttpRequest request) -> io::Task<HttpResponse> {
        co_return text_response(200, std::string(request.headers.get("Content-Encoding")) + "|" +
                                         std::to_string(request.body.size()));
      },
      limits);
  const std::string gzip = gzip_of("hello hello hello");
  const auto post = [&](const std::string& coding, const std::string& body) {
    return answer("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: " + coding +
                  "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  EXPECT_TRUE(post("gzip", gzip).ends_with("\r\n\r\n|17")) << post("gzip", gzip);
  EXPECT_TRUE(post("gzip", gzip + gzip).ends_with("\r\n\r\n|34")) << "two members";
  EXPECT_TRUE(post("identity", "abc").ends_with("\r\n\r\n|3"));
  EXPECT_TRUE(post("br", "abc").ends_with("\r\n\r\nbr|3")) << "the handler's business";
  EXPECT_EQ(status_of(post("gzip", "not gzip")), 400);
  EXPECT_EQ(status_of(post("gzip", gzip.substr(0, 25))), 400) << "cut short";
  EXPECT_EQ(status_of(post("gzip", gzip_of(std::string(100'000, '\0')))), 200);
  EXPECT_EQ(status_of(post("gzip", gzip_of(std::string(100'001, '\0')))), 413) << "a bomb";
}

}  // namespace
}  // namespace skerry::net
