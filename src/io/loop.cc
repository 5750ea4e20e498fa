// RealLoop: epoll, a queue, an ordered map of timers.
#include "io/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "io/fd.h"

namespace skerry::io {
namespace {

constexpr int kEventsAtOnce = 64;
constexpr int kCallbacksAtOnce = 256;  // between two looks at the descriptors
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

int64_t after_ms(int64_t delay_ms) {
  const int64_t now = now_ns();
  return delay_ms >= (kNever - now) / 1'000'000 ? kNever : now + delay_ms * 1'000'000;
}

// Of the process, as signal handlers are: which signals came, and whom to wake.
constexpr int kSignals = NSIG;
std::array<std::atomic<bool>, kSignals> came;
std::atomic<int> wakes_on_signal = -1;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void wake(int fd) {
  const uint64_t one = 1;
  (void)!::write(fd, &one, sizeof one);
}

void on_signal(int number) {
  const int before = errno;
  came[static_cast<size_t>(number)] = true;
  wake(wakes_on_signal);
  errno = before;
}

// A descriptor stays registered between waits, for what was waited for last: a connection that is
// served and waits again costs no system call. What is ready without anyone waiting is taken out.
struct Watched {
  int fd;
  uint32_t registered = 0;  // EPOLLIN, EPOLLOUT
  Callback readable, writable;
};

// What one look at the descriptors found. A loop that is run inside of a callback has one more.
struct Batch {
  std::array<epoll_event, kEventsAtOnce> events;  // null once the watch is gone
  int count = 0;
  Batch* outer = nullptr;
};

}  // namespace

struct RealLoop::Impl {
  Impl();
  ~Impl();

  void check_thread() const;
  bool turn(int64_t until_ns);
  bool may_sleep();
  void set_timer();
  void collect(int64_t until_ns, Batch& batch);
  bool run_events(Batch& batch);
  bool run_ready(const epoll_event& event);
  bool run_timers();
  bool run_posted();
  bool run_signals();
  bool next_posted(Callback& callback);
  void add(int fd);
  void set_registered(Watched& watched, uint32_t events);
  void wait_for(Watched& watched, uint32_t event, Callback ready);
  void forget(std::list<Watched>::iterator watched);

  template <class Run>
  auto as_runner(Run run) {
    struct Restore {
      std::atomic<std::thread::id>& runner;
      std::thread::id before;
      ~Restore() { runner.store(before, std::memory_order_relaxed); }
    };
    check_thread();
    const Restore restore{runner,
                          runner.exchange(std::this_thread::get_id(), std::memory_order_relaxed)};
    return run();
  }

  Fd epoll, woken, timer;
  std::atomic<std::thread::id> runner;  // the thread inside run(); none between
  bool stopped = false;

  std::mutex mutex;  // of the next two
  std::vector<Callback> posted;
  bool sleeping = false;
  std::deque<Callback> running;  // what was posted and is next

  uint64_t next_timer = 1;
  std::map<std::pair<int64_t, uint64_t>, Callback> timers;  // by deadline, id
  std::map<uint64_t, int64_t> deadlines;
  int64_t timer_set_to = kNever;

  std::list<Watched> watched;
  Batch* batch = nullptr;

  std::map<int, std::function<void(int)>> handlers;
};

RealLoop::Impl::Impl()
    : epoll(::epoll_create1(EPOLL_CLOEXEC)),
      woken(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  SKERRY_CHECK(epoll && woken && timer, "an event loop needs three descriptors");
  add(woken.get());
  add(timer.get());
}

// Told of every change and never read.
void RealLoop::Impl::add(int fd) {
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
  SKERRY_CHECK(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0, "epoll takes descriptors");
}

// Callbacks may hold timers and watches, which come back here while they are destroyed.
RealLoop::Impl::~Impl() {
  if (!handlers.empty()) {
    for (const auto& [number, handler] : handlers) std::signal(number, SIG_DFL);
    wakes_on_signal = -1;
  }
  std::vector<Callback> dropped;
  do {
    dropped.clear();
    auto drop = [&](Callback& callback) {
      if (callback) dropped.push_back(std::exchange(callback, nullptr));
    };
    for (Callback& callback : std::exchange(running, {})) drop(callback);
    {
      std::lock_guard lock(mutex);
      for (Callback& callback : std::exchange(posted, {})) drop(callback);
    }
    for (auto& [at, callback] : timers) drop(callback);
    for (Watched& each : watched) {
      drop(each.readable);
      drop(each.writable);
    }
  } while (!dropped.empty());
}

// Before the loop runs and after it, its owner may do anything.
void RealLoop::Impl::check_thread() const {
  const std::thread::id id = runner.load(std::memory_order_relaxed);
  SKERRY_CHECK(id == std::thread::id() || id == std::this_thread::get_id(),
               "from another thread than the loop's only post() may be called");
}

// Runs what is ready, or waits for something at most until then. True when something ran.
bool RealLoop::Impl::turn(int64_t until_ns) {
  Batch found;
  collect(until_ns, found);
  bool ran = run_events(found);
  ran |= run_signals();
  ran |= run_timers();
  ran |= run_posted();
  return ran;
}

void RealLoop::Impl::collect(int64_t until_ns, Batch& found) {
  int timeout_ms = 0;
  if (may_sleep()) {
    set_timer();
    const int64_t left_ms = (until_ns - now_ns() + 999'999) / 1'000'000;
    timeout_ms =
        until_ns == kNever ? -1 : static_cast<int>(std::clamp<int64_t>(left_ms, 0, INT_MAX));
  }
  const int count = ::epoll_wait(epoll.get(), found.events.data(), kEventsAtOnce, timeout_ms);
  SKERRY_CHECK(count >= 0 || errno == EINTR, "epoll waits");
  found.count = std::max(count, 0);
  std::lock_guard lock(mutex);
  sleeping = false;
}

// From here on a post() from elsewhere wakes the loop.
bool RealLoop::Impl::may_sleep() {
  if (!running.empty()) return false;
  std::lock_guard lock(mutex);
  sleeping = posted.empty();
  return sleeping;
}

// A later time than necessary is left: when it comes, it is set again.
void RealLoop::Impl::set_timer() {
  const int64_t next = timers.empty() ? kNever : timers.begin()->first.first;
  if (timer_set_to <= now_ns()) timer_set_to = kNever;
  if (next >= timer_set_to) return;
  timer_set_to = next;
  const itimerspec at{{}, {next / 1'000'000'000, next % 1'000'000'000}};
  SKERRY_CHECK(::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &at, nullptr) == 0,
               "a timer can be set");
}

bool RealLoop::Impl::run_events(Batch& found) {
  bool ran = false;
  found.outer = std::exchange(batch, &found);
  for (int i = 0; i < found.count && !stopped; ++i)
    ran |= run_ready(found.events[static_cast<size_t>(i)]);
  batch = found.outer;
  return ran;
}

bool RealLoop::Impl::run_ready(const epoll_event& event) {
  auto* ready = static_cast<Watched*>(event.data.ptr);
  if (!ready) return false;
  const bool broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
  Callback first, second;
  uint32_t unwanted = 0;
  if (broken || (event.events & EPOLLIN)) {
    first = std::exchange(ready->readable, nullptr);
    if (!first) unwanted |= EPOLLIN;
  }
  if (broken || (event.events & EPOLLOUT)) {
    second = std::exchange(ready->writable, nullptr);
    if (!second) unwanted |= EPOLLOUT;
  }
  set_registered(*ready, ready->registered & ~unwanted);
  if (first) first();
  // Unless the first has destroyed the watch.
  if (second && event.data.ptr) second();
  return first || second;
}

bool RealLoop::Impl::run_signals() {
  bool ran = false;
  for (const auto& [number, handler] : handlers) {
    if (stopped || !came[static_cast<size_t>(number)].exchange(false)) continue;
    handler(number);
    ran = true;
  }
  return ran;
}

bool RealLoop::Impl::run_timers() {
  if (timers.empty()) return false;
  const int64_t now = now_ns();
  bool ran = false;
  while (!stopped && !timers.empty() && timers.begin()->first.first <= now) {
    auto due = timers.extract(timers.begin());
    deadlines.erase(due.key().second);
    due.mapped()();
    ran = true;
  }
  return ran;
}

bool RealLoop::Impl::run_posted() {
  int count = 0;
  for (Callback next; count < kCallbacksAtOnce && !stopped && next_posted(next); ++count) {
    std::exchange(next, nullptr)();
  }
  return count > 0;
}

bool RealLoop::Impl::next_posted(Callback& callback) {
  if (running.empty()) {
    std::lock_guard lock(mutex);
    for (Callback& each : posted) running.push_back(std::move(each));
    posted.clear();
  }
  if (running.empty()) return false;
  callback = std::move(running.front());
  running.pop_front();
  return true;
}

void RealLoop::Impl::set_registered(Watched& each, uint32_t wanted) {
  if (wanted == each.registered) return;
  // One that is registered for nothing would still be told of a hang-up, again and again.
  const int operation = each.registered == 0 ? EPOLL_CTL_ADD
                        : wanted == 0        ? EPOLL_CTL_DEL
                                             : EPOLL_CTL_MOD;
  epoll_event event{.events = wanted, .data = {.ptr = &each}};
  SKERRY_CHECK(::epoll_ctl(epoll.get(), operation, each.fd, &event) == 0,
               "what is watched is open, watched by one, and no file");
  each.registered = wanted;
}

void RealLoop::Impl::wait_for(Watched& each, uint32_t event, Callback ready) {
  check_thread();
  Callback& slot = event == EPOLLIN ? each.readable : each.writable;
  SKERRY_CHECK(!slot, "at most one waits for each direction");
  slot = std::move(ready);
  set_registered(each, each.registered | event);
}

void RealLoop::Impl::forget(std::list<Watched>::iterator each) {
  for (Batch* found = batch; found; found = found->outer) {
    for (epoll_event& event : found->events) {
      if (event.data.ptr == &*each) event.data.ptr = nullptr;
    }
  }
  set_registered(*each, 0);
  // Its callbacks may hold other watches.
  std::list<Watched> gone;
  gone.splice(gone.begin(), watched, each);
}

class RealLoop::Watch : public FdWatch {
 public:
  Watch(Impl& impl, int fd) : impl_(impl) {
    impl.watched.push_front({fd, 0, nullptr, nullptr});
    watched_ = impl.watched.begin();
  }
  ~Watch() override { impl_.forget(watched_); }
  void when_readable(Callback ready) override {
    impl_.wait_for(*watched_, EPOLLIN, std::move(ready));
  }
  void when_writable(Callback ready) override {
    impl_.wait_for(*watched_, EPOLLOUT, std::move(ready));
  }

 private:
  Impl& impl_;
  std::list<Watched>::iterator watched_;
};

RealLoop::RealLoop() : impl_(std::make_unique<Impl>()) {}
RealLoop::~RealLoop() = default;

void RealLoop::post(Callback callback) {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->posted.push_back(std::move(callback));
    if (!std::exchange(impl_->sleeping, false)) return;
  }
  wake(impl_->woken.get());
}

Timer RealLoop::after(int64_t delay_ms, Callback callback) {
  impl_->check_thread();
  const uint64_t id = impl_->next_timer++;
  const int64_t deadline = after_ms(delay_ms);
  impl_->timers.emplace(std::pair(deadline, id), std::move(callback));
  impl_->deadlines.emplace(id, deadline);
  return Timer(this, id);
}

void RealLoop::cancel_timer(uint64_t id) {
  impl_->check_thread();
  const auto found = impl_->deadlines.find(id);
  if (found == impl_->deadlines.end()) return;
  const auto timer = impl_->timers.extract({found->second, id});  // its callback may hold others
  impl_->deadlines.erase(found);
}

std::unique_ptr<FdWatch> RealLoop::watch(int fd) {
  impl_->check_thread();
  return std::make_unique<Watch>(*impl_, fd);
}

void RealLoop::on_signals(const std::vector<int>& signals, std::function<void(int)> handler) {
  impl_->check_thread();
  const int other = wakes_on_signal.exchange(impl_->woken.get());
  SKERRY_CHECK(other == -1 || other == impl_->woken.get(), "one loop of a program takes signals");
  for (const int number : signals) {
    impl_->handlers[number] = handler;
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    SKERRY_CHECK(::sigaction(number, &action, nullptr) == 0, "a signal can be handled");
  }
}

void RealLoop::run() {
  impl_->as_runner([this] {
    while (!impl_->stopped) impl_->turn(kNever);
  });
}

bool RealLoop::run_for(int64_t limit_ms) {
  return impl_->as_runner([&] {
    const int64_t until_ns = after_ms(limit_ms);
    do {
      if (impl_->stopped) return false;
      if (impl_->turn(until_ns)) return true;
    } while (now_ns() < until_ns);
    return false;
  });
}

void RealLoop::stop() {
  impl_->check_thread();
  impl_->stopped = true;
}

}  // namespace skerry::io
