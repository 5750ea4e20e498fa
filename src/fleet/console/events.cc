// Each stream looks once a second; nothing is queued for a slow browser.
#include "fleet/console/events.h"

namespace skerry::fleet {
namespace {
constexpr int64_t kEventsLookMs = 1000;
constexpr int kQuietLooks = 15;
}  // namespace

class ConsoleEvents::Stream : public net::BodySource {
 public:
  Stream(io::Loop& loop, std::shared_ptr<const Counts> counts, Permission may_hear)
      : loop_(loop), counts_(std::move(counts)), may_hear_(std::move(may_hear)), seen_(*counts_) {}

  io::Task<Result<std::string>> next() override {
    if (!std::exchange(greeted_, true)) co_return std::string("retry: 2000\n\n");
    for (int look = 0; look < kQuietLooks && seen_ == *counts_; ++look) {
      co_await io::sleep(loop_, kEventsLookMs);
    }
    if (!co_await may_hear_()) co_return std::string();
    if (seen_ == *counts_) co_return std::string(": still here\n\n");
    const bool devices = seen_.devices != counts_->devices;
    const bool deployments = seen_.deployments != counts_->deployments;
    seen_ = *counts_;
    co_return std::string("data: {\"changed\":[") + (devices ? "\"devices\"" : "") +
        (devices && deployments ? "," : "") + (deployments ? "\"deployments\"" : "") + "]}\n\n";
  }

 private:
  io::Loop& loop_;
  std::shared_ptr<const Counts> counts_;
  Permission may_hear_;
  Counts seen_;
  bool greeted_ = false;
};

ConsoleEvents::ConsoleEvents(io::Env& env, StorePool& stores) : env_(env), stores_(stores) {
  stores_.add_listener(*this);
}

ConsoleEvents::~ConsoleEvents() {
  stores_.remove_listener(*this);
}

std::shared_ptr<net::BodySource> ConsoleEvents::open(Permission may_hear) {
  return std::make_shared<Stream>(env_.loop, counts_, std::move(may_hear));
}

void ConsoleEvents::committed(const Effects& effects) {
  if (!effects.devices.empty() || !effects.certificates.empty()) ++counts_->devices;
  if (!effects.jobs.empty()) ++counts_->deployments;
}

}  // namespace skerry::fleet
