// RealLoop: Boost.Asio's io_context behind the Loop interface, so that its headers stop here.
#include "io/loop.h"

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>
#include <unordered_map>

#include "base/check.h"

namespace skerry::io {
namespace asio = boost::asio;

namespace {

class AsioWatch : public FdWatch {
 public:
  AsioWatch(asio::io_context& context, int fd) : descriptor_(context, fd) {}
  ~AsioWatch() override {
    *alive_ = false;
    descriptor_.release();  // cancels the waits; the descriptor stays open for its owner
  }
  void when_readable(Callback ready) override {
    wait(asio::posix::stream_descriptor::wait_read, std::move(ready));
  }
  void when_writable(Callback ready) override {
    wait(asio::posix::stream_descriptor::wait_write, std::move(ready));
  }

 private:
  void wait(asio::posix::stream_descriptor::wait_type type, Callback ready) {
    descriptor_.async_wait(
        type, [alive = alive_, ready = std::move(ready)](boost::system::error_code) mutable {
          if (*alive) ready();
        });
  }
  asio::posix::stream_descriptor descriptor_;
  // Shared with completions that Asio still holds when the watch is destroyed.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

struct RealLoop::Impl {
  // Before the context: callbacks still queued die with the context and may hold Timers, which then
  // look here.
  uint64_t next_timer = 1;
  std::unordered_map<uint64_t, std::unique_ptr<asio::steady_timer>> timers;
  std::vector<std::unique_ptr<asio::signal_set>> signals;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::atomic<std::thread::id> runner;  // the thread inside run(); none between

  // Before the loop runs and after it, its owner may do anything.
  void check_thread() const {
    const std::thread::id id = runner.load(std::memory_order_relaxed);
    SKERRY_CHECK(id == std::thread::id() || id == std::this_thread::get_id(),
                 "from another thread than the loop's only post() may be called");
  }

  ~Impl() {
    timers.clear();
    signals.clear();
  }

  template <class Run>
  auto run(Run run) {
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

  void await_signal(asio::signal_set& set, std::function<void(int)> handler) {
    set.async_wait([this, &set, handler](boost::system::error_code error, int number) {
      if (error) return;
      handler(number);
      await_signal(set, handler);
    });
  }
};

RealLoop::RealLoop() : impl_(std::make_unique<Impl>()) {}
RealLoop::~RealLoop() = default;

void RealLoop::post(Callback callback) {
  asio::post(impl_->context, [callback = std::move(callback)]() mutable { callback(); });
}

Timer RealLoop::after(int64_t delay_ms, Callback callback) {
  impl_->check_thread();
  uint64_t id = impl_->next_timer++;
  auto timer =
      std::make_unique<asio::steady_timer>(impl_->context, std::chrono::milliseconds(delay_ms));
  timer->async_wait([impl = impl_.get(), id,
                     callback = std::move(callback)](boost::system::error_code error) mutable {
    // An expired timer may be cancelled while its completion is queued: the map decides.
    if (error || impl->timers.erase(id) == 0) return;
    callback();
  });
  impl_->timers.emplace(id, std::move(timer));
  return Timer(this, id);
}

void RealLoop::cancel_timer(uint64_t id) {
  impl_->check_thread();
  impl_->timers.erase(id);
}

std::unique_ptr<FdWatch> RealLoop::watch(int fd) {
  impl_->check_thread();
  return std::make_unique<AsioWatch>(impl_->context, fd);
}

void RealLoop::on_signals(const std::vector<int>& signals, std::function<void(int)> handler) {
  impl_->check_thread();
  auto set = std::make_unique<asio::signal_set>(impl_->context);
  for (int number : signals) set->add(number);
  impl_->await_signal(*set, std::move(handler));
  impl_->signals.push_back(std::move(set));
}

void RealLoop::run() {
  impl_->run([this] { impl_->context.run(); });
}

bool RealLoop::run_for(int64_t limit_ms) {
  return impl_->run(
      [&] { return impl_->context.run_one_for(std::chrono::milliseconds(limit_ms)) > 0; });
}

void RealLoop::stop() {
  impl_->context.stop();
}

}  // namespace skerry::io
