// A minute is closed, kept, and sent; each step waits for the one before.
#include "nucleus/metrics.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/log.h"

namespace skerry::nucleus {
namespace {

constexpr std::string_view kModule = "metrics";
// Between two summaries: slower than the fleet's limit for one device (DeviceMetricsService), which
// drops what is above, however many minutes have waited for the network.
constexpr int64_t kPaceMs = 60;
constexpr int64_t kBusyMs = 5;

std::string lower_case(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

}  // namespace

Result<void> Metrics::put(const std::string& component, const std::vector<Value>& values) {
  const int64_t now_ms = env_.clock.wall_ms();
  formats::SeriesMap series;
  for (const Value& value : values) {
    series[{component, value.name, value.unit}].add(value.value, now_ms);
  }
  return merge(series);
}

Result<void> Metrics::merge(const formats::SeriesMap& series) {
  std::map<std::string, size_t> names;  // of each component that brings something new
  size_t all = current_.size();
  for (const auto& [id, values] : series) {
    if (current_.contains(id)) continue;
    ++names[id.component];
    ++all;
  }
  for (const auto& [id, values] : current_) {
    if (const auto found = names.find(id.component); found != names.end()) ++found->second;
  }
  const bool too_many = std::ranges::any_of(
      names, [&](const auto& each) { return each.second > limits_.series_of_component; });
  if (too_many || (!names.empty() && all > limits_.series)) {
    return fail(Code::kResourceExhausted,
                "Too many metrics: a component has " + std::to_string(limits_.series_of_component) +
                    " names, a device " + std::to_string(limits_.series) +
                    ", in a minute. Put what varies into values, not into names");
  }
  for (const auto& [id, values] : series) take(id, values);
  return {};
}

void Metrics::take(const formats::SeriesId& id, const formats::Distribution& values) {
  current_[id].merge(values);
  if (keeps_totals_ && (totals_.size() < formats::kMaxSeries || totals_.contains(id))) {
    totals_[id].merge(values);
  }
}

void Metrics::put_own(const char* space, std::string name, const char* unit, double value) {
  const formats::SeriesId id{space, std::move(name), unit};
  if (std::isnan(value)) return;
  if (current_.size() >= formats::kMaxSeries && !current_.contains(id)) return;
  formats::Distribution one;
  one.add(value, env_.clock.wall_ms());
  take(id, one);
}

void Metrics::start(Sampler sampler) {
  sampler_ = std::move(sampler);
  since_ms_ = env_.clock.wall_ms();
  tasks_.spawn(run());
}

// One at a time: `busy_` is held from before to after.
template <class Work>
auto Metrics::on_disk(Work work) {
  return io::run_on(env_.records, env_.loop,
                    [store = store_, work = std::move(work)]() mutable { return work(*store); });
}

io::Task<void> Metrics::run() {
  for (;;) {
    co_await io::sleep(env_.loop, limits_.interval_ms);
    co_await close_period();
    co_await send();
  }
}

io::Task<Result<void>> Metrics::open() {
  if (store_) co_return Result<void>();
  auto opened = co_await io::run_on(
      env_.records, env_.loop,
      [files = &env_.files, directory = directory_, run = lower_case(env_.random.token(16))] {
        return MetricStore::open(*files, directory, run);
      });
  if (!opened) co_return fail(opened.error());
  store_ = std::move(*opened);
  if (!store_->damaged().empty()) {
    log::warn(kModule, "the ring of metrics was damaged", {{"what", store_->damaged()}});
  }
  co_return Result<void>();
}

// Once, not every minute.
void Metrics::complain(const Error& error) {
  if (!std::exchange(failing_, true)) {
    log::warn(kModule, "metrics are kept in memory: the disk does not take them",
              {{"error", error.message()}});
  }
}

io::Task<void> Metrics::close_period() {
  if (std::exchange(busy_, true)) co_return;
  if (sampler_) sampler_(*this);
  auto opened = co_await open();
  if (!opened) {
    busy_ = false;
    complain(opened.error());
    co_return;
  }
  // The current minute goes on for as long as the one before has not arrived on the disk.
  if (!unwritten_ && !current_.empty()) {
    const int64_t now_ms = env_.clock.wall_ms();
    unwritten_ = to_text(formats::MetricSummary{store_->run(), store_->next_sequence(),
                                                std::exchange(since_ms_, now_ms), now_ms,
                                                std::exchange(current_, {})});
  }
  if (unwritten_) {
    const auto kept =
        co_await on_disk([text = *unwritten_](MetricStore& store) { return store.append(text); });
    if (kept) {
      unwritten_.reset();
      failing_ = false;
    } else {
      complain(kept.error());
    }
  }
  busy_ = false;
}

io::Task<void> Metrics::flush() {
  while (busy_) co_await io::sleep(env_.loop, kBusyMs);
  co_await close_period();
}

void Metrics::on_connected() {
  if (store_ && !sending_) tasks_.spawn(send());
}

// Only what is durable is sent: a sequence number never means two things. The broker has each
// before the next goes.
io::Task<void> Metrics::send() {
  if (!store_ || std::exchange(sending_, true)) co_return;
  while (mqtt_.connected() && !std::exchange(busy_, true)) {
    auto line = co_await on_disk([](MetricStore& store) { return store.next(store.sent()); });
    busy_ = false;
    if (!line || !*line) break;
    io::Completion<bool> answered(env_.loop);
    net::MqttMessage message{
        .topic = formats::metric_summary_topic(thing_), .payload = (*line)->text, .qos = 1};
    const auto accepted = mqtt_.deliver(std::move(message), [answered](const Error* error) mutable {
      answered.complete(error == nullptr);
    });
    if (!accepted || !co_await answered || std::exchange(busy_, true)) break;
    const uint64_t sequence = (*line)->sequence;
    const auto noted =
        co_await on_disk([sequence](MetricStore& store) { return store.set_sent(sequence); });
    busy_ = false;
    if (!noted) break;
    co_await io::sleep(env_.loop, kPaceMs);
  }
  sending_ = false;
}

}  // namespace skerry::nucleus
