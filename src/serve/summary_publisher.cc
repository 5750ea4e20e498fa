// One connection to the nucleus for each batch of summaries.
#include "serve/summary_publisher.h"

#include <fmt/format.h>

#include <array>
#include <optional>

#include "base/encoding.h"
#include "base/log.h"
#include "rpc/client_connection.h"

namespace skerry::serve {
namespace {

constexpr std::string_view kModule = "summaries";
// The nucleus waits 5 s for the broker's answer before it takes a message over.
constexpr int64_t kSilenceMs = 8'000;
constexpr const char* kPublish = "aws.greengrass#PublishToIoTCore";

// A call at a time; ends with an error where the nucleus says nothing for kSilenceMs.
class NucleusConnection {
 public:
  NucleusConnection(io::Loop& loop, std::unique_ptr<net::Stream> stream)
      : stream_(std::move(stream)), guard_(loop, *stream_, kSilenceMs) {}

  io::Task<Result<void>> connect(std::string token) {
    rpc_.connect(token);
    while (!rpc_.connected()) SKERRY_CO_TRY(co_await exchange());
    co_return Result<void>();
  }

  io::Task<Result<void>> publish(std::string topic, std::string payload) {
    struct Answer {
      bool is_error = false;
      std::string text;
    };
    std::optional<Answer> answer;
    const std::string request = fmt::format(R"({{"topicName":"{}","qos":"1","payload":"{}"}})",
                                            topic, base64_encode(payload));
    SKERRY_CO_TRY(rpc_.call(kPublish, request, [&answer](const rpc::Reply& reply) {
      if (!answer) answer = Answer{reply.is_error, std::string(reply.payload)};
    }));
    while (!answer) SKERRY_CO_TRY(co_await exchange());
    if (!answer->is_error) co_return Result<void>();
    co_return fail(Code::kUnavailable, fmt::format("the nucleus did not take a message to {}: {}",
                                                   topic, answer->text));
  }

 private:
  // Writes what is to be written, then reads once.
  io::Task<Result<void>> exchange() {
    output_ = rpc_.take_output();
    if (!output_.empty()) SKERRY_CO_TRY(co_await stream_->write_all(output_));
    SKERRY_CO_ASSIGN(const size_t size,
                     co_await stream_->read_some(buffer_.data(), buffer_.size()));
    if (size == 0) co_return fail(Code::kUnavailable, "the nucleus closed the connection");
    co_return rpc_.receive(std::string_view(buffer_.data(), size));
  }

  std::unique_ptr<net::Stream> stream_;
  net::IdleGuard guard_;
  rpc::ClientConnection rpc_;
  std::string output_;
  std::array<char, 4096> buffer_{};
};

}  // namespace

io::Task<void> SummaryPublisher::run(int64_t first_ms) {
  co_await io::sleep(loop_, first_ms);
  for (;;) {
    co_await flush();
    co_await io::sleep(loop_, interval_ms_);
  }
}

io::Task<void> SummaryPublisher::flush() {
  summaries_.close_period(clock_.wall_ms());
  if (flushing_ || summaries_.waiting() == 0) co_return;
  flushing_ = true;
  auto sent = co_await send_waiting();
  flushing_ = false;
  // Once, not every minute.
  if (!sent && !failing_) {
    log::warn(kModule, "summaries wait for the nucleus", {{"error", sent.error().message()}});
  }
  failing_ = !sent;
}

io::Task<Result<void>> SummaryPublisher::send_waiting() {
  SKERRY_CO_ASSIGN(auto stream, co_await net::connect_unix(loop_, nucleus_.socket_path));
  NucleusConnection connection(loop_, std::move(stream));
  SKERRY_CO_TRY(co_await connection.connect(nucleus_.token));
  const std::string topic = formats::inference_summary_topic(ThingName(nucleus_.thing));
  while (const formats::InferenceSummary* summary = summaries_.next()) {
    SKERRY_CO_TRY(co_await connection.publish(topic, to_text(*summary)));
    summaries_.sent();
  }
  co_return Result<void>();
}

}  // namespace skerry::serve
