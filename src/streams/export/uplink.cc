// Waiting is a loop around one question each, asked again when somebody comes or goes.
#include "streams/export/uplink.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <utility>

#include "base/log.h"

namespace skerry::streams {
namespace {

constexpr int64_t kDayMs = 86'400'000;
constexpr int64_t kUplinkLookMs = 1'000;
constexpr size_t kLeastPieceBytes = 512, kMostPieceBytes = 64 << 10;
constexpr int kMinutesOfDay = 24 * 60;
// Today's count is written to the disk in steps of that fraction of the day's limit.
constexpr int64_t kSavesADay = 64;

std::optional<int> parse_time(std::string_view text) {
  int hour = 0, minute = 0;
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const char* const begin = text.data();
  const auto hours = std::from_chars(begin, begin + 2, hour);
  const auto minutes = std::from_chars(begin + 3, begin + 5, minute);
  const bool whole = hours.ec == std::errc() && hours.ptr == begin + 2 &&
                     minutes.ec == std::errc() && minutes.ptr == begin + 5;
  if (!whole || hour < 0 || hour > 24 || minute < 0 || minute > 59) return std::nullopt;
  const int time = hour * 60 + minute;
  return time <= kMinutesOfDay ? std::optional(time) : std::nullopt;
}

}  // namespace

Result<TimeWindow> TimeWindow::parse(const std::string& text) {
  const size_t dash = text.find('-');
  const auto begin = parse_time(std::string_view(text).substr(0, dash));
  const auto end = dash == std::string::npos ? std::nullopt
                                             : parse_time(std::string_view(text).substr(dash + 1));
  if (!begin || !end || *begin == *end) {
    return fail(Code::kInvalidArgument, "'" + text + "' is no time window such as 22:00-06:00");
  }
  return TimeWindow{*begin, *end};
}

bool TimeWindow::contains(int minute) const {
  if (begin_min < end_min) return minute >= begin_min && minute < end_min;
  return minute >= begin_min || minute < end_min;
}

Uplink::Uplink(const io::Env& env, UplinkLimits limits, std::string state_path)
    : env_(env), limits_(std::move(limits)), state_path_(std::move(state_path)) {}

Result<void> Uplink::load() {
  if (state_path_.empty() || limits_.bytes_per_day == 0) return {};
  const auto text = io::read_file(env_.files, state_path_, 1'024);
  if (!text && text.error().code() == Code::kNotFound) return {};
  if (!text) return fail(text.error());
  int64_t day = 0, used = 0;
  // What cannot be read counts as a day that is used up: the limit holds whatever happens.
  if (std::sscanf(text->c_str(), "%ld %ld", &day, &used) != 2) {
    day = env_.clock.wall_ms() / kDayMs;
    used = limits_.bytes_per_day;
  }
  day_ = day;
  used_ = saved_ = used;
  return {};
}

int64_t Uplink::bytes_today() {
  const int64_t today = env_.clock.wall_ms() / kDayMs;
  if (std::exchange(day_, today) != today) used_ = saved_ = 0;
  return used_;
}

// --- Turns --------------------------------------------------------------------------------------

io::Task<std::unique_ptr<Uplink::Transfer>> Uplink::begin(int64_t priority) {
  co_await wait_for_place(priority);
  auto transfer = std::unique_ptr<Transfer>(new Transfer(*this, priority));
  enter(*transfer);
  co_return transfer;
}

io::Task<void> Uplink::wait_for_place(int64_t priority) {
  struct Waits {
    Uplink& uplink;
    std::multiset<int64_t>::iterator at;
    ~Waits() {
      uplink.waiting_.erase(at);
      uplink.notify();
    }
  };
  const Waits waits{*this, waiting_.insert(priority)};
  for (;;) {
    const int64_t closed_ms = closed_for_ms();
    const bool is_first = *waiting_.begin() == priority;
    const auto ahead = std::ranges::count_if(
        transfers_, [&](const Transfer* other) { return other->priority_ <= priority; });
    if (closed_ms == 0 && is_first && std::cmp_less(ahead, limits_.transfers)) co_return;
    co_await changed(closed_ms > 0 ? std::min(closed_ms, kUplinkLookMs) : kUplinkLookMs);
  }
}

void Uplink::enter(Transfer& transfer) {
  transfer.moved_ms_ = env_.clock.monotonic_ms();
  transfers_.push_back(&transfer);
}

void Uplink::leave(Transfer& transfer) {
  transfers_.remove(&transfer);
  notify();
}

Uplink::Transfer::~Transfer() {
  uplink_.leave(*this);
}

io::Task<void> Uplink::Transfer::yield() {
  uplink_.leave(*this);
  co_await uplink_.wait_for_place(priority_);
  uplink_.enter(*this);
}

// How long nobody may begin: 0 where it is the time.
int64_t Uplink::closed_for_ms() {
  if (limits_.bytes_per_day > 0 && bytes_today() >= limits_.bytes_per_day) {
    return kDayMs - env_.clock.wall_ms() % kDayMs;
  }
  if (limits_.windows.empty()) return 0;
  const std::time_t now_s = env_.clock.wall_ms() / 1'000;
  std::tm local{};
  localtime_r(&now_s, &local);
  const int minute = local.tm_hour * 60 + local.tm_min;
  const bool is_open = std::ranges::any_of(
      limits_.windows, [&](const TimeWindow& window) { return window.contains(minute); });
  return is_open ? 0 : kUplinkLookMs;
}

// --- Speed --------------------------------------------------------------------------------------

bool Uplink::is_held_up(const Transfer& transfer) const {
  const int64_t since_ms = env_.clock.monotonic_ms() - limits_.patience_ms;
  return std::ranges::any_of(transfers_, [&](const Transfer* other) {
    return other->priority_ < transfer.priority_ && other->moved_ms_ > since_ms;
  });
}

size_t Uplink::Transfer::piece_bytes() const {
  const int64_t rate = uplink_.limits_.bytes_per_s;
  if (rate == 0) return kMostPieceBytes;
  return std::clamp(static_cast<size_t>(rate / 4), kLeastPieceBytes, kMostPieceBytes);
}

io::Task<void> Uplink::Transfer::pace(size_t bytes) {
  while (uplink_.is_held_up(*this)) co_await uplink_.changed(kUplinkLookMs);
  moved_ms_ = uplink_.env_.clock.monotonic_ms();
  if (uplink_.limits_.bytes_per_day > 0) co_await uplink_.count(bytes);
  if (uplink_.limits_.bytes_per_s == 0) co_return;
  const int64_t now_us = uplink_.env_.clock.monotonic_ms() * 1'000;
  const int64_t begin_us = std::max(now_us, uplink_.free_us_);
  uplink_.free_us_ =
      begin_us + static_cast<int64_t>(bytes) * 1'000'000 / uplink_.limits_.bytes_per_s;
  if (begin_us > now_us) co_await io::sleep(uplink_.env_.loop, (begin_us - now_us + 999) / 1'000);
  moved_ms_ = uplink_.env_.clock.monotonic_ms();
}

// The disk is told before the bytes go, in large steps: after a kill too much counts, never too
// little.
io::Task<void> Uplink::count(size_t bytes) {
  used_ = bytes_today() + static_cast<int64_t>(bytes);
  if (used_ <= saved_ || state_path_.empty()) co_return;
  saved_ = used_ + limits_.bytes_per_day / kSavesADay;
  const std::string text = std::to_string(day_) + " " + std::to_string(saved_) + "\n";
  const auto written =
      co_await io::run_on(env_.records, env_.loop, [&files = env_.files, path = state_path_, text] {
        return io::write_file_atomic(files, path, text);
      });
  if (!written) {
    log::warn("export", "what went today is not remembered",
              {{"error", written.error().message()}});
  }
}

// --- News ---------------------------------------------------------------------------------------

io::Task<void> Uplink::changed(int64_t most_ms) {
  const auto done = std::make_shared<io::Completion<bool>>(env_.loop);
  std::erase_if(listeners_, [](const auto& listener) { return listener.expired(); });
  listeners_.push_back(done);
  const io::Timer timer = env_.loop.after(most_ms, [done] { done->complete(false); });
  co_await *done;
}

void Uplink::notify() {
  for (const auto& listener : std::exchange(listeners_, {})) {
    if (const auto done = listener.lock()) done->complete(true);
  }
}

}  // namespace skerry::streams
