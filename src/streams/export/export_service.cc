// The life of one export: wait for messages, wait for its turn, send, remember.
#include "streams/export/export_service.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/log.h"
#include "base/log_limit.h"

namespace skerry::streams {
namespace {

constexpr std::string_view kModule = "export";
constexpr int64_t kLookAgainMs = 1'000;  // whether a batch is due by now

}  // namespace

class ExportService::Runner {
 public:
  Runner(ExportService& exports, std::string stream, ExportConfig config)
      : exports_(exports),
        stream_(std::move(stream)),
        config_(std::move(config)),
        exporter_(exports.make_(config_)),
        most_(static_cast<size_t>(config_.batch_size)) {
    tasks_.spawn(run());
  }

  const ExportConfig& config() const { return config_; }
  void tell_news() {
    has_news_ = true;
    if (const auto waits = waits_.lock()) waits->complete(true);
  }

 private:
  io::Task<void> run() {
    for (;;) {
      has_news_ = false;
      // One message says whether to go: those who wait for their turn hold no batches.
      auto first = co_await read(1, 1);
      // Where the stream is not found it is being removed, and this task with it.
      const bool is_gone = !first && first.error().code() == Code::kNotFound;
      if (is_gone || (first && first->messages.empty())) {
        co_await news();
      } else if (!first) {
        co_await fail_with(ExportProgress(), first.error());
      } else if (const int64_t wait_ms = due_in_ms(*first); wait_ms > 0) {
        co_await io::sleep(exports_.env_.loop, std::min(wait_ms, kLookAgainMs));
      } else {
        first->messages = {};
        co_await send();
      }
    }
  }

  io::Task<Result<ExportRead>> read(size_t most, size_t bytes) {
    return exports_.service_.read_for_export(stream_, config_.identifier, most, bytes);
  }

  io::Task<void> news() {
    if (has_news_) co_return;
    const auto done = std::make_shared<io::Completion<bool>>(exports_.env_.loop);
    waits_ = done;
    co_await *done;
  }

  // A batch goes when it is full or its first message is old enough; a clock that jumped is no
  // reason to wait.
  int64_t due_in_ms(const ExportRead& first) const {
    if (!config_.batch_interval_ms || std::cmp_greater_equal(first.waiting, most_)) return 0;
    const int64_t age_ms = exports_.env_.clock.wall_ms() - first.messages.front().ingest_ms;
    return age_ms < 0 ? 0 : std::max<int64_t>(0, *config_.batch_interval_ms - age_ms);
  }

  io::Task<void> send() {
    auto line = co_await exports_.uplink_.begin(config_.priority);
    auto next = co_await read(most_, exports_.options_.batch_bytes);
    if (!next) co_return co_await fail_with(ExportProgress(), next.error());
    if (next->messages.empty()) co_return;  // the definition changed meanwhile
    ExportBatch batch{stream_, std::move(next->stream_id), std::move(next->messages)};
    ExportProgress progress = std::move(next->progress);
    const auto sent = co_await exporter_->send(batch, *line);
    line.reset();
    progress.last_ms = exports_.env_.clock.wall_ms();
    if (!sent && sent.error().code() == Code::kInvalidArgument) {
      if (batch.messages.size() > 1) {
        most_ = batch.messages.size() / 2;
        co_return;
      }
      const int64_t sequence = batch.messages.front().sequence;
      refusals_.write(log::Level::kWarn, kModule, "a message is left out, its receiver refuses it",
                      {{"stream", stream_},
                       {"export", config_.identifier},
                       {"sequence", std::to_string(sequence)},
                       {"error", sent.error().message()}});
      progress.next = sequence + 1;
      progress.error =
          "message " + std::to_string(sequence) + " was left out: " + sent.error().message();
    } else if (!sent) {
      co_return co_await fail_with(std::move(progress), sent.error());
    } else {
      for (size_t i = 0; i < *sent; ++i) {
        progress.bytes += static_cast<int64_t>(batch.messages[i].payload.size());
      }
      progress.messages += static_cast<int64_t>(*sent);
      progress.next = batch.messages[*sent - 1].sequence + 1;
      progress.error.clear();
      most_ = std::min(most_ * 2, static_cast<size_t>(config_.batch_size));
    }
    const auto recorded =
        co_await exports_.service_.record_export(stream_, config_.identifier, progress);
    if (!recorded) co_return co_await fail_with(ExportProgress(), recorded.error());
    if (std::exchange(failures_, 0) > 0) {
      log::info(kModule, "an export goes on",
                {{"stream", stream_}, {"export", config_.identifier}});
    }
  }

  // Says so once, and waits. `progress` where it is known.
  io::Task<void> fail_with(ExportProgress progress, Error error) {
    if (failures_++ == 0) {
      log::warn(kModule, "an export fails and is tried again",
                {{"stream", stream_}, {"export", config_.identifier}, {"error", error.message()}});
    }
    if (progress.last_ms > 0) {
      progress.error = error.message();
      (void)co_await exports_.service_.record_export(stream_, config_.identifier, progress);
    }
    const ExportOptions& options = exports_.options_;
    const int64_t longest_ms =
        std::min(options.backoff_max_ms, options.backoff_min_ms << std::min(failures_ - 1, 20));
    // Between half and all of it, so that those that failed together do not come again together.
    const auto half = static_cast<uint64_t>(longest_ms / 2);
    const auto jitter = static_cast<int64_t>(exports_.env_.random.below(half + 1));
    co_await io::sleep(exports_.env_.loop, longest_ms / 2 + jitter);
  }

  ExportService& exports_;
  const std::string stream_;
  const ExportConfig config_;
  const std::unique_ptr<Exporter> exporter_;
  size_t most_;  // of messages in the next batch: fewer after a refusal, to find what was refused
  int failures_ = 0;
  bool has_news_ = false;
  std::weak_ptr<io::Completion<bool>> waits_;
  log::Limit refusals_;
  io::TaskScope tasks_;
};

ExportService::ExportService(const io::Env& env, StreamService& service, Uplink& uplink,
                             MakeExporter make, ExportOptions options)
    : env_(env), service_(service), uplink_(uplink), make_(std::move(make)), options_(options) {
  service_.on_change([this](const std::string& stream, StreamService::Change change) {
    on_change(stream, change);
  });
}

ExportService::~ExportService() {
  service_.on_change(nullptr);
}

io::Task<void> ExportService::start() {
  const auto streams = co_await service_.list();
  if (!streams) co_return;
  for (const std::string& stream : *streams) tasks_.spawn(refresh(stream));
}

void ExportService::on_change(const std::string& stream, StreamService::Change change) {
  if (change == StreamService::Change::kDefinition) tasks_.spawn(refresh(stream));
  const auto found = runners_.find(stream);
  if (found == runners_.end()) return;
  for (auto& [identifier, runner] : found->second) runner->tell_news();
}

// What runs becomes what the definition says. An export that is as it was goes on undisturbed.
io::Task<void> ExportService::refresh(std::string stream) {
  const auto info = co_await service_.describe(stream);
  auto& runners = runners_[stream];
  if (!info) {
    runners_.erase(stream);
    co_return;
  }
  const std::vector<ExportConfig>& wanted = info->definition.exports;
  std::erase_if(runners, [&](const auto& entry) {
    return std::ranges::find(wanted, entry.second->config()) == wanted.end();
  });
  for (const ExportConfig& config : wanted) {
    if (config.disabled || runners.contains(config.identifier)) continue;
    runners.emplace(config.identifier, std::make_unique<Runner>(*this, stream, config));
  }
}

}  // namespace skerry::streams
