// A loop for each thread, which runs while that thread waits.
#include "gateway/backend.h"

#include <optional>

#include "io/loop.h"
#include "net/http_client.h"

namespace skerry::gateway {
namespace {

constexpr int64_t kPauseMs = 20;  // between two looks at whether the caller is still there

struct Connection {
  io::RealLoop loop;
  std::unique_ptr<net::HttpClient> http = net::make_http_client(loop, nullptr);
};

io::Task<void> fetch(Connection* connection, std::string url, net::HttpRequest request,
                     int64_t timeout_ms, std::optional<Result<net::HttpResponse>>* answer) {
  constexpr uint64_t kMaxAnswerBytes = uint64_t{1} << 30;
  answer->emplace(co_await connection->http->fetch(
      std::move(url), std::move(request),
      {.timeout_ms = timeout_ms, .max_body_bytes = kMaxAnswerBytes}));
}

}  // namespace

Result<net::HttpResponse> Backend::ask(net::HttpRequest request, int64_t timeout_ms,
                                       const std::function<bool()>& is_cancelled) const {
  thread_local Connection connection;
  std::optional<Result<net::HttpResponse>> answer;
  io::TaskScope scope;
  std::string url = base_ + request.target;
  scope.spawn(fetch(&connection, std::move(url), std::move(request), timeout_ms, &answer));
  while (!answer) {
    if (is_cancelled()) return fail(Code::kCancelled, "the caller is gone");
    connection.loop.run_for(kPauseMs);
  }
  return std::move(*answer);
}

}  // namespace skerry::gateway
