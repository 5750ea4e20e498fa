// Frames of the Stream Manager protocol: length and operation in big-endian, then a CBOR map.
#include "cli/stream_client.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "io/loop.h"
#include "io/task.h"
#include "net/stream.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr char kConnectVersion = 1;
constexpr int64_t kSilenceMs = 30'000;
constexpr uint32_t kMaxAnswerBytes = 1U << 30;

Code code_of(int64_t status) {
  switch (status) {
    case 5:
      return Code::kNotFound;
    case 13:
      return Code::kUnavailable;
    case 14:
      return Code::kCorrupt;
    default:
      return Code::kFailedPrecondition;
  }
}

std::string frame(StreamCall operation, const json& request) {
  std::string bytes(5, static_cast<char>(operation));
  json::to_cbor(request, bytes);
  const auto length = static_cast<uint32_t>(bytes.size() - 4);
  for (size_t i = 0; i < 4; ++i) bytes[i] = static_cast<char>(length >> (8 * (3 - i)) & 0xff);
  return bytes;
}

}  // namespace

struct StreamClient::Impl {
  io::Task<Result<void>> connect(std::string path) {
    SKERRY_CO_ASSIGN(stream, co_await net::connect_unix(loop, path));
    co_return co_await stream->write_all(std::string(1, kConnectVersion));
  }
  io::Task<Result<void>> read(char* data, size_t size) {
    while (size > 0) {
      SKERRY_CO_ASSIGN(const size_t got, co_await stream->read_some(data, size));
      if (got == 0) co_return fail(Code::kUnavailable, "the stream manager closed the connection");
      data += got;
      size -= got;
    }
    co_return Result<void>();
  }
  io::Task<Result<json>> exchange(StreamCall operation, json request) {
    const net::IdleGuard guard(loop, *stream, kSilenceMs);
    request["requestId"] = "skerry";
    SKERRY_CO_TRY(co_await stream->write_all(frame(operation, request)));
    std::array<char, 5> head{};
    if (operation == StreamCall::kConnect) SKERRY_CO_TRY(co_await read(head.data(), 1));
    SKERRY_CO_TRY(co_await read(head.data(), head.size()));
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(head[i]);
    if (length < 1 || length > kMaxAnswerBytes) {
      co_return fail(Code::kCorrupt, "the stream manager's answer is no frame");
    }
    std::string bytes(length - 1, '\0');
    SKERRY_CO_TRY(co_await read(bytes.data(), bytes.size()));
    json answer = json::from_cbor(bytes, true, false);
    if (!answer.is_object()) co_return fail(Code::kCorrupt, "the answer is no CBOR map");
    const auto status = answer.find("status"), message = answer.find("errorMessage");
    if (status == answer.end() || !status->is_number_integer()) {
      co_return fail(Code::kCorrupt, "the answer has no status");
    }
    if (*status == 0) co_return answer;
    const bool is_said = message != answer.end() && message->is_string();
    co_return fail(code_of(status->get<int64_t>()),
                   is_said ? message->get<std::string>() : "status " + status->dump());
  }
  static io::Task<void> keep(io::Task<Result<json>> task, std::optional<Result<json>>* out) {
    out->emplace(co_await std::move(task));
  }
  Result<json> run(io::Task<Result<json>> task) {
    std::optional<Result<json>> result;
    io::TaskScope scope;
    scope.spawn(keep(std::move(task), &result));
    while (!result) loop.run_for(1'000);
    return *std::move(result);
  }
  io::Task<Result<json>> greet(std::string path) {
    SKERRY_CO_TRY(co_await connect(std::move(path)));
    co_return co_await exchange(StreamCall::kConnect, json{{"protocolVersion", "1.1.0"}});
  }

  io::RealLoop loop;
  std::unique_ptr<net::Stream> stream;
};

StreamClient::StreamClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StreamClient::StreamClient(StreamClient&&) noexcept = default;
StreamClient& StreamClient::operator=(StreamClient&&) noexcept = default;
StreamClient::~StreamClient() = default;

Result<StreamClient> StreamClient::open(const std::string& directory) {
  auto impl = std::make_unique<Impl>();
  const auto greeted = impl->run(impl->greet(directory + "/streams.sock"));
  if (!greeted) {
    return fail(greeted.error().code(), "no stream manager answers in " + directory + " (" +
                                            greeted.error().message() +
                                            "): name its folder with --streams, and be its user");
  }
  return StreamClient(std::move(impl));
}

Result<json> StreamClient::call(StreamCall operation, json request) {
  return impl_->run(impl_->exchange(operation, std::move(request)));
}

}  // namespace skerry::cli
