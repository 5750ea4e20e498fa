// Requests that travel, are lost or come back damaged.
#include "sim/sim_network.h"

#include <charconv>

namespace skerry::sim {
namespace {

constexpr size_t kPieceBytes = 256;

// Of "bytes=FIRST-".
uint64_t first_byte(std::string_view range) {
  uint64_t first = 0;
  constexpr std::string_view kBytes = "bytes=";
  if (range.starts_with(kBytes)) {
    std::from_chars(range.data() + kBytes.size(), range.data() + range.size(), first);
  }
  return first;
}

}  // namespace

io::Task<Result<void>> SimHttp::travel() {
  co_await io::sleep(fleet_.loop(), fleet_.draw_delay_ms());
  if (!fleet_.reaches_us(thing_) || fleet_.chance(fleet_.faults().lose_call))
    co_return fail(Code::kUnavailable, "the network lost the call");
  co_return Result<void>();
}

io::Task<Result<net::HttpResponse>> SimHttp::fetch(std::string url, net::HttpRequest request,
                                                   net::FetchOptions options) {
  SKERRY_CO_TRY(co_await travel());
  constexpr std::string_view kDataPlane = SimFleet::kDataPlaneUrl;
  constexpr std::string_view kArtifacts = SimFleet::kArtifactUrl;
  if (url.starts_with(kArtifacts)) {
    co_return co_await download(url.substr(kArtifacts.size()), std::move(request),
                                std::move(options));
  }
  request.target = url.substr(kDataPlane.size());
  request.peer.certificate_cn = thing_.str();
  request.peer.certificate_sha256 = SimFleet::certificate_of(thing_);
  net::HttpResponse response = co_await fleet_.answer(std::move(request));
  SKERRY_CO_TRY(co_await travel());
  co_return response;
}

io::Task<Result<net::HttpResponse>> SimHttp::download(std::string sha256, net::HttpRequest request,
                                                      net::FetchOptions options) {
  const std::string* found = fleet_.content(sha256);
  if (!found) co_return net::text_response(404, "no such artifact");
  std::string bytes = *found;
  uint64_t at = first_byte(request.headers.get("Range"));
  if (at > 0 && at >= bytes.size()) co_return net::text_response(416, "no such bytes");
  if (fleet_.chance(fleet_.faults().corrupt_download)) bytes.back() ^= 1;
  if (fleet_.chance(0.1)) at = 0;  // a server without ranges
  net::HttpResponse response;
  response.status = at > 0 ? 206 : 200;
  response.headers.set("Content-Length", std::to_string(bytes.size() - at));
  SKERRY_CO_TRY(options.on_head(response));
  for (; at < bytes.size(); at += kPieceBytes) {
    co_await io::sleep(fleet_.loop(), 1);
    if (!fleet_.reaches_us(thing_) || fleet_.chance(fleet_.faults().cut_download))
      co_return fail(Code::kUnavailable, "the connection broke");
    SKERRY_CO_TRY(co_await options.sink(bytes.substr(at, kPieceBytes)));
  }
  co_return response;
}

}  // namespace skerry::sim
