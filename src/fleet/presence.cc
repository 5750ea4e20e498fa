// From the broker's lines (broker/presence.h) to rows of the store.
#include "fleet/presence.h"

#include <algorithm>
#include <utility>

#include "base/log_limit.h"
#include "formats/names.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kPresenceModule = "presence";
constexpr const char* kTopic = "$skerry/presence";
constexpr const char* kAskTopic = "$skerry/presence/get";
constexpr int64_t kGatherMs = 250;  // what changes meanwhile is stored together
constexpr int64_t kRetryMs = 5'000;
constexpr int64_t kAsOfEveryMs = 60'000;
constexpr int64_t kLookMinMs = 50, kLookMaxMs = 5'000;
constexpr size_t kChangesAtOnce = 1'000;  // of one unit of work: others get their turn in between

}  // namespace

PresenceService::PresenceService(io::Env& env, StorePool& stores, DeviceLink& link,
                                 int64_t unreachable_after_ms)
    : env_(env),
      stores_(stores),
      link_(link),
      unreachable_after_ms_(unreachable_after_ms),
      look_ms_(std::clamp(unreachable_after_ms / 10, kLookMinMs, kLookMaxMs)) {
  link_.route(kTopic, [this](const net::MqttMessage& message) { receive(message); });
  link_.on_connected([this] {
    is_current_ = false;
    listed_.reset();
    link_.publish(kAskTopic, "");
  });
  look_timer_ = env_.loop.after(look_ms_, [this] { look(); });
}

io::Task<Result<void>> PresenceService::load() {
  struct Known {
    std::vector<DevicePresence> devices;
    int64_t as_of_ms = 0;
  };
  SKERRY_CO_ASSIGN(auto known, co_await stores_.read([](Store& store) -> Result<Known> {
    Known found;
    SKERRY_ASSIGN(found.devices, all_presence(store));
    SKERRY_ASSIGN(found.as_of_ms, presence_as_of(store));
    return found;
  }));
  for (const DevicePresence& one : known.devices) {
    if (one.connected) {
      there_.insert(one.thing);
    } else if (!one.unreachable) {
      away_.emplace(one.thing, 0);
    }
  }
  as_of_ms_ = stored_as_of_ms_ = known.as_of_ms;
  co_return Result<void>();
}

void PresenceService::receive(const net::MqttMessage& message) {
  for (std::string_view rest = message.payload; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    on_line(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

void PresenceService::on_line(std::string_view line) {
  if (line == "=") {
    listed_.emplace();
  } else if (line == ".") {
    on_list_end();
  } else if (line.starts_with('+') || line.starts_with('-')) {
    auto thing = formats::parse_thing_name(line.substr(1));
    if (!thing) return;
    if (listed_) {
      listed_->insert(*thing);
    } else {
      set_there(*thing, line.front() == '+', env_.clock.wall_ms());
    }
  }
}

void PresenceService::on_list_end() {
  if (!listed_) return;
  const std::set<ThingName> listed = *std::exchange(listed_, std::nullopt);
  std::vector<ThingName> gone;
  std::ranges::set_difference(there_, listed, std::back_inserter(gone));
  for (const ThingName& thing : gone) set_there(thing, false, as_of_ms_);
  const int64_t now_ms = env_.clock.wall_ms();
  for (const ThingName& thing : listed) set_there(thing, true, now_ms);
  is_current_ = true;
  as_of_ms_ = now_ms;
}

void PresenceService::set_there(const ThingName& thing, bool is_there, int64_t seen_ms) {
  const bool is_news = is_there ? there_.insert(thing).second : there_.erase(thing) > 0;
  if (!is_news) return;
  if (is_there) {
    away_.erase(thing);
  } else {
    away_.emplace(thing, 0);
  }
  changes_.insert_or_assign(thing, PresenceChange{thing,
                                                  is_there ? PresenceChange::What::kConnected
                                                           : PresenceChange::What::kDisconnected,
                                                  env_.clock.wall_ms(), seen_ms});
  store_soon();
}

// Looks are counted, not time: where this process stood still, what the broker said meanwhile is
// read before the next look.
void PresenceService::look() {
  look_timer_ = env_.loop.after(look_ms_, [this] { look(); });
  if (!link_.connected() || !is_current_) return;
  as_of_ms_ = env_.clock.wall_ms();
  for (auto each = away_.begin(); each != away_.end();) {
    each->second += look_ms_;
    if (each->second < unreachable_after_ms_) {
      ++each;
      continue;
    }
    // Beside a disconnection that is not stored yet: that one is what it follows from.
    PresenceChange& change =
        changes_.try_emplace(each->first, PresenceChange{each->first}).first->second;
    change.is_unreachable = true;
    each = away_.erase(each);
    store_soon();
  }
  if (as_of_ms_ - stored_as_of_ms_ >= kAsOfEveryMs || as_of_ms_ < stored_as_of_ms_) store_soon();
}

void PresenceService::store_soon() {
  if (!std::exchange(is_storing_, true)) tasks_.spawn(store_changes());
}

io::Task<void> PresenceService::store_changes() {
  co_await io::sleep(env_.loop, kGatherMs);
  do {
    std::vector<PresenceChange> piece;
    while (!changes_.empty() && piece.size() < kChangesAtOnce) {
      piece.push_back(changes_.extract(changes_.begin()).mapped());
    }
    const int64_t as_of_ms = as_of_ms_;
    auto stored = co_await stores_.write([piece, as_of_ms](Store& store) -> Result<void> {
      SKERRY_TRY(record_presence(store, piece));
      return set_presence_as_of(store, as_of_ms);
    });
    if (stored) {
      stored_as_of_ms_ = as_of_ms;
      continue;
    }
    static log::Limit limit;
    limit.write(log::Level::kWarn, kPresenceModule, "cannot be stored; trying again",
                {{"error", stored.error().message()}});
    for (PresenceChange& one : piece) {
      PresenceChange& now = changes_.try_emplace(one.thing, one).first->second;
      if (now.what != PresenceChange::What::kNothing) continue;  // newer
      one.is_unreachable |= now.is_unreachable;
      now = one;
    }
    co_await io::sleep(env_.loop, kRetryMs);
  } while (!changes_.empty());
  is_storing_ = false;
}

}  // namespace skerry::fleet
