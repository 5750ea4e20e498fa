// Messages that wait, and the timer that looks after them.
#include "fleet/thing_inbox.h"

#include "base/log_limit.h"

namespace skerry::fleet {
namespace {

constexpr int64_t kHeldCheckMs = 500, kStalledCheckMs = 1'000;

}  // namespace

ThingInbox::ThingInbox(io::Env& env, StorePool& stores, Kind kind)
    : env_(env),
      stores_(stores),
      kind_(std::make_shared<const Kind>(std::move(kind))),
      budget_(env.clock, kind_->burst, kind_->per_second) {}

void ThingInbox::receive(const ThingName& sender, std::string payload) {
  Heard heard{sender, std::move(payload), env_.clock.wall_ms()};
  if (is_stalled_ || held_.contains(sender) || !budget_.spend(sender)) {
    return hold(std::move(heard));
  }
  tasks_.spawn(store(std::move(heard)));
}

void ThingInbox::hold(Heard heard, bool is_first) {
  const ThingName thing = heard.sender;
  const size_t size = heard.payload.size();
  if (held_bytes_ + size > kHeldBytes) {
    static log::Limit limit;
    return limit.write(log::Level::kWarn, kind_->module, "too many messages wait; ignoring one",
                       {{"thing", thing.str()}});
  }
  if (held_.empty()) timer_ = env_.loop.after(kHeldCheckMs, [this] { store_held(); });
  auto& messages = held_[thing];
  held_bytes_ += size;
  messages.insert(is_first ? messages.begin() : messages.end(), std::move(heard));
  if (messages.size() <= kind_->held) return;
  take_held(messages);
  if (budget_.first_refusal(thing)) {
    log::warn(kind_->module, "too many messages; ignoring some", {{"thing", thing.str()}});
  }
}

ThingInbox::Heard ThingInbox::take_held(std::deque<Heard>& of_thing) {
  Heard first = std::move(of_thing.front());
  of_thing.pop_front();
  held_bytes_ -= first.payload.size();
  return first;
}

void ThingInbox::store_held() {
  if (is_stalled_) return probe();
  for (auto each = held_.begin(); each != held_.end();) {
    auto& [thing, messages] = *each;
    while (!messages.empty() && budget_.spend(thing)) tasks_.spawn(store(take_held(messages)));
    each = messages.empty() ? held_.erase(each) : std::next(each);
  }
  if (!held_.empty()) timer_ = env_.loop.after(kHeldCheckMs, [this] { store_held(); });
}

void ThingInbox::probe() {
  timer_ = env_.loop.after(kStalledCheckMs, [this] { store_held(); });
  if (held_.empty()) return;
  const auto first = held_.begin();
  Heard heard = take_held(first->second);
  if (first->second.empty()) held_.erase(first);
  tasks_.spawn(store(std::move(heard)));
}

io::Task<void> ThingInbox::store(Heard heard) {
  // Only the store's own errors may be waited for: what a thing sends must not hold up the others.
  const auto is_readable = std::make_shared<bool>(true);
  auto stored =
      co_await stores_.write([kind = kind_, is_readable, heard](Store& session) -> Result<void> {
        auto put = kind->read(heard.sender, heard.payload, heard.at_ms);
        *is_readable = put.has_value();
        if (!put) return fail(put.error());
        return (*put)(session);
      });
  const bool waits = !stored && *is_readable && stored.error().retryable();
  is_stalled_ = waits;
  if (stored) co_return;
  static log::Limit limit;
  limit.write(log::Level::kWarn, kind_->module, waits ? "message waits" : "message ignored",
              {{"thing", heard.sender.str()}, {"error", stored.error().message()}});
  if (waits) hold(std::move(heard), true);
}

}  // namespace skerry::fleet
