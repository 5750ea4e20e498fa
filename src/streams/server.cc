// One connection: frames are read one after the other and answered as they end, so that a reader
// who waits for messages holds up nobody.
#include "streams/server.h"

#include <array>
#include <deque>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "base/log_limit.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

constexpr std::string_view kServerModule = "streams";
constexpr int64_t kConnectTimeoutMs = 10'000;
constexpr size_t kMaxConnectBytes = 16 << 10;  // nobody has said yet who they are
constexpr size_t kMaxCallsAtOnce = 64;         // of one connection; then it is read no further
constexpr size_t kReceiveBytes = 64 << 10;
constexpr size_t kPrefixBytes = 512;  // of a frame that is too large: enough for its id

struct Frame {
  Operation operation = Operation::kUnknown;
  std::string payload;
  bool is_too_large = false;  // the payload is its beginning
};

std::vector<std::string> versions_of(const json& request) {
  std::vector<std::string> versions = {text_member(request, "protocolVersion")};
  const auto others = request.find("otherSupportedProtocolVersions");
  if (others == request.end() || !others->is_array()) return versions;
  for (const json& other : *others) {
    if (other.is_string()) versions.push_back(other.get<std::string>());
  }
  return versions;
}

}  // namespace

class Server::Connection {
 public:
  Connection(Server& server, std::unique_ptr<net::Stream> stream, bool is_trusted)
      : server_(server),
        is_trusted_(is_trusted),
        stream_(std::move(stream)),
        guard_(server.loop_, *stream_, kConnectTimeoutMs),
        room_(server.loop_) {
    guard_.set_mode(net::IdleGuard::Mode::kDeadline);
  }

  io::Task<Result<void>> run() {
    std::array<char, 1> version{};
    SKERRY_CO_TRY(co_await read_exactly(version.data(), 1));
    SKERRY_CO_ASSIGN(const Frame hello, co_await read_frame(kMaxConnectBytes));
    SKERRY_CO_TRY(co_await connect(version[0], hello));
    guard_.set_mode(net::IdleGuard::Mode::kPaused);
    for (;;) {
      while (calls_.size() + output_.size() >= kMaxCallsAtOnce) {
        room_ = io::Completion<bool>(server_.loop_);
        co_await room_;
      }
      SKERRY_CO_ASSIGN(Frame frame, co_await read_frame(server_.options_.max_frame_bytes));
      calls_.spawn(call(std::move(frame)));
    }
  }

 private:
  io::Task<Result<void>> read_exactly(char* data, size_t size) {
    while (size > 0) {
      SKERRY_CO_ASSIGN(const size_t read, co_await stream_->read_some(data, size));
      if (read == 0) co_return fail(Code::kCancelled, "the client has closed the connection");
      data += read;
      size -= read;
    }
    co_return Result<void>();
  }

  // Memory grows with what comes in, not with what a length promises.
  io::Task<Result<Frame>> read_frame(size_t max_bytes) {
    std::array<char, kFrameLengthBytes + 1> head{};
    SKERRY_CO_TRY(co_await read_exactly(head.data(), head.size()));
    int64_t left = 0;
    for (size_t i = 0; i < kFrameLengthBytes; ++i) {
      left = left << 8 | static_cast<unsigned char>(head[i]);
    }
    Frame frame{.operation = static_cast<Operation>(head[kFrameLengthBytes])};
    if (left < 1 || left > INT32_MAX) {
      co_return fail(Code::kInvalidArgument, "a frame's length is " + std::to_string(left));
    }
    --left;
    frame.is_too_large = static_cast<size_t>(left) > max_bytes;
    std::string& payload = frame.payload;
    while (left > 0) {
      const size_t begin = payload.size();
      const size_t wanted = static_cast<size_t>(std::min<int64_t>(left, kReceiveBytes));
      payload.resize(begin + wanted);
      SKERRY_CO_TRY(co_await read_exactly(payload.data() + begin, wanted));
      if (frame.is_too_large) payload.resize(std::min(payload.size(), kPrefixBytes));
      left -= static_cast<int64_t>(wanted);
    }
    co_return frame;
  }

  io::Task<Result<void>> connect(char version, const Frame& hello) {
    const std::string id = request_id_of(hello.payload);
    const auto refuse = [&](Status status, const std::string& why) -> io::Task<Result<void>> {
      return refuse_connection(failure(id.empty() ? " " : id, status, why), why);
    };
    if (version != kConnectVersion) {
      co_return co_await refuse(Status::kUnsupportedConnectVersion, "the first byte must be 1");
    }
    if (hello.operation != Operation::kConnect || hello.is_too_large) {
      co_return co_await refuse(Status::kUnexpectedOperation, "the first request must be Connect");
    }
    const auto request = decode(hello.payload);
    if (!request) co_return co_await refuse(Status::kInvalidRequest, request.error().message());
    const auto spoken = common_version(versions_of(*request));
    if (!spoken) {
      co_return co_await refuse(Status::kUnsupportedProtocolVersion,
                                "this server speaks protocol versions 1.0.0 and 1.1.0");
    }
    if (server_.options_.authenticate && !is_trusted_) {
      const auto known = co_await server_.options_.authenticate(text_member(*request, "authToken"));
      if (!known) {
        const bool is_stranger = known.error().code() == Code::kPermissionDenied;
        co_return co_await refuse(is_stranger ? Status::kUnauthorized : Status::kServerTimeout,
                                  known.error().message());
      }
    }
    Answer answer = success(text_member(*request, "requestId"));
    answer["protocolVersion"] = *spoken;
    answer["supportedProtocolVersions"] = kProtocolVersions;
    answer["serverVersion"] = server_.options_.version;
    answer["clientIdentifier"] = stream_->peer().address;
    co_return co_await stream_->write_all(kConnectVersion +
                                          encode(Operation::kConnectResponse, answer));
  }

  io::Task<Result<void>> refuse_connection(Answer answer, std::string why) {
    const std::string bytes = kConnectVersion + encode(Operation::kConnectResponse, answer);
    SKERRY_CO_TRY(co_await stream_->write_all(bytes));
    co_return fail(Code::kPermissionDenied, std::move(why));
  }

  io::Task<void> call(Frame frame) {
    std::string answer = co_await answer_to(frame);
    output_.push_back(std::move(answer));
    if (!std::exchange(writing_, true)) co_await write();
  }

  // One answer after the other; a client that does not read them is read no further.
  io::Task<void> write() {
    while (!output_.empty()) {
      const auto written = co_await stream_->write_all(output_.front());
      if (!written) stream_->abort();
      output_.pop_front();
      room_.complete(true);
    }
    writing_ = false;
  }

  io::Task<std::string> answer_to(const Frame& frame) {
    const auto response = response_of(frame.operation);
    const std::string first_id = request_id_of(frame.payload);
    if (!response) {
      co_return encode(Operation::kUnknownOperationError,
                       failure(first_id, Status::kUnknownOperation,
                               "this server does not know the operation " +
                                   std::to_string(static_cast<int>(frame.operation))));
    }
    if (frame.is_too_large) {
      co_return encode(*response,
                       failure(first_id, Status::kRequestPayloadTooLarge,
                               "a request may have " +
                                   std::to_string(server_.options_.max_frame_bytes) + " bytes"));
    }
    const auto request = decode(frame.payload);
    if (!request) {
      co_return encode(*response,
                       failure(first_id, Status::kInvalidRequest, request.error().message()));
    }
    const std::string id = text_member(*request, "requestId");
    auto body = co_await perform(frame.operation, *request);
    if (!body) {
      co_return encode(*response, failure(id, status_of(body.error()), body.error().message()));
    }
    Answer answer = success(id);
    answer.update(*body);
    co_return encode(*response, answer);
  }

  // What the answer has beside id and status.
  io::Task<Result<Answer>> perform(Operation operation, const json& request) {
    StreamService& service = server_.service_;
    switch (operation) {
      case Operation::kCreateMessageStream:
      case Operation::kUpdateMessageStream: {
        SKERRY_CO_ASSIGN(Definition definition,
                         parse_definition(request.value("definition", json())));
        const bool creates = operation == Operation::kCreateMessageStream;
        SKERRY_CO_TRY(co_await (creates ? service.create(std::move(definition))
                                        : service.update(std::move(definition))));
        co_return Answer::object();
      }
      case Operation::kDeleteMessageStream: {
        SKERRY_CO_TRY(co_await service.remove(text_member(request, "name")));
        co_return Answer::object();
      }
      case Operation::kAppendMessage: {
        const auto payload = request.find("payload");
        if (payload == request.end() || !payload->is_binary() || payload->get_binary().empty()) {
          co_return fail(Code::kInvalidArgument,
                         "payload must be a byte string of at least one byte");
        }
        const auto& bytes = payload->get_binary();
        SKERRY_CO_ASSIGN(const int64_t sequence,
                         co_await service.append(text_member(request, "name"),
                                                 std::string(bytes.begin(), bytes.end())));
        co_return Answer{{"sequenceNumber", sequence}};
      }
      case Operation::kReadMessages: {
        SKERRY_CO_ASSIGN(const ReadOptions options, parse_read_options(request));
        const std::string name = text_member(request, "streamName");
        SKERRY_CO_ASSIGN(auto messages, co_await service.read(name, options));
        co_return Answer{{"messages", to_json(name, std::move(messages))}};
      }
      case Operation::kListStreams: {
        SKERRY_CO_ASSIGN(const auto names, co_await service.list());
        co_return Answer{{"streams", names}};
      }
      case Operation::kDescribeMessageStream: {
        SKERRY_CO_ASSIGN(const StreamInfo info,
                         co_await service.describe(text_member(request, "name")));
        co_return Answer{{"messageStreamInfo", to_json(info)}};
      }
      default:
        co_return fail(Code::kInvalidArgument, "Connect is the first request and no later one");
    }
  }

  Server& server_;
  const bool is_trusted_;
  std::unique_ptr<net::Stream> stream_;
  net::IdleGuard guard_;
  std::deque<std::string> output_;
  bool writing_ = false;
  io::Completion<bool> room_;  // for another call
  io::TaskScope calls_;
};

Server::Server(io::Loop& loop, StreamService& service, ServerOptions options)
    : loop_(loop), service_(service), options_(std::move(options)) {}

Result<void> Server::listen() {
  net::ListenLimits limits;
  limits.max_connections = limits.max_per_source = options_.max_connections;
  SKERRY_ASSIGN(listener_, net::listen_tcp(
                               loop_, options_.address, options_.port, nullptr,
                               [this](std::unique_ptr<net::Stream> stream) {
                                 connections_.spawn(serve(std::move(stream), false));
                               },
                               limits));
  return {};
}

Result<void> Server::listen_unix(const std::string& path) {
  SKERRY_ASSIGN(local_listener_,
                net::listen_unix(loop_, path, 0600, [this](std::unique_ptr<net::Stream> stream) {
                  connections_.spawn(serve(std::move(stream), true));
                }));
  return {};
}

io::Task<void> Server::serve(std::unique_ptr<net::Stream> stream, bool is_trusted) {
  Connection connection(*this, std::move(stream), is_trusted);
  const auto ended = co_await connection.run();
  if (!ended && ended.error().code() != Code::kCancelled) {
    static log::Limit refusals;
    refusals.write(log::Level::kInfo, kServerModule, "connection ended",
                   {{"reason", ended.error().message()}});
  }
}

}  // namespace skerry::streams
