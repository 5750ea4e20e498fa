// Topics through the nucleus, files, HTTP.
#include "flow/sink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "io/fd.h"

namespace skerry::flow {
namespace {

// A connection of its own, made again after an error.
class NucleusSink : public Sink {
 public:
  NucleusSink(io::Loop& loop, rpc::NucleusAddress nucleus, const SinkConfig& config)
      : loop_(loop), nucleus_(std::move(nucleus)), config_(config) {}

  io::Task<Result<void>> send(const std::string& line) override {
    if (nucleus_.empty()) {
      co_return fail(Code::kFailedPrecondition,
                     "sinks: topics need a nucleus; run this as a component");
    }
    if (!client_) {
      SKERRY_CO_ASSIGN(client_, co_await rpc::NucleusClient::connect(loop_, nucleus_));
    }
    auto sent = config_.kind == SinkConfig::Kind::kTopic
                    ? co_await client_->publish_to_topic(config_.target, line)
                    : co_await client_->publish_to_iot_core(config_.target, line);
    if (!sent && sent.error().retryable()) client_.reset();
    co_return sent;
  }

 private:
  io::Loop& loop_;
  const rpc::NucleusAddress nucleus_;
  const SinkConfig config_;
  std::unique_ptr<rpc::NucleusClient> client_;
};

// Whole lines, appended.
class FileSink : public Sink {
 public:
  FileSink(io::Loop& loop, io::Pool& pool, std::string path)
      : loop_(loop), pool_(pool), path_(std::move(path)) {}

  io::Task<Result<void>> send(const std::string& line) override {
    return io::run_on(pool_, loop_, [path = path_, text = line + "\n"]() -> Result<void> {
      constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
      const io::Fd fd(::open(path.c_str(), kFlags, 0640));
      const auto failed = [&] {
        return fail(Code::kUnavailable,
                    fmt::format("{}: {}", path, std::generic_category().message(errno)));
      };
      if (fd.get() < 0) return failed();
      const ssize_t written = ::write(fd.get(), text.data(), text.size());
      if (written == static_cast<ssize_t>(text.size())) return {};
      // Nobody shall read half a line.
      if (written > 0) {
        const off_t end = ::lseek(fd.get(), 0, SEEK_END);
        if (::ftruncate(fd.get(), end - written) != 0) return failed();
        errno = ENOSPC;
      }
      return failed();
    });
  }

 private:
  io::Loop& loop_;
  io::Pool& pool_;
  const std::string path_;
};

class HttpSink : public Sink {
 public:
  HttpSink(net::HttpClient& http, std::string url) : http_(http), url_(std::move(url)) {}

  io::Task<Result<void>> send(const std::string& line) override {
    const size_t host = url_.find("://");
    const size_t path = host == std::string::npos ? host : url_.find('/', host + 3);
    net::HttpRequest request{.method = "POST",
                             .target = path == std::string::npos ? "/" : url_.substr(path),
                             .body = line};
    request.headers.add("Content-Type", "application/json");
    SKERRY_CO_ASSIGN(const auto response, co_await http_.fetch(url_, std::move(request)));
    if (response.status / 100 == 2) co_return Result<void>();
    const bool may_pass = response.status >= 500 || response.status == 429;
    co_return fail(may_pass ? Code::kUnavailable : Code::kInvalidArgument,
                   fmt::format("{} answers with status {}", url_, response.status));
  }

 private:
  net::HttpClient& http_;
  const std::string url_;
};

}  // namespace

std::unique_ptr<Sink> make_sink(io::Loop& loop, io::Pool& pool, net::HttpClient& http,
                                rpc::NucleusAddress nucleus, const SinkConfig& config) {
  switch (config.kind) {
    case SinkConfig::Kind::kFile:
      return std::make_unique<FileSink>(loop, pool, config.target);
    case SinkConfig::Kind::kHttp:
      return std::make_unique<HttpSink>(http, config.target);
    default:
      return std::make_unique<NucleusSink>(loop, std::move(nucleus), config);
  }
}

}  // namespace skerry::flow
