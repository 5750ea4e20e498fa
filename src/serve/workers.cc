// A queue and detached threads.
#include "serve/workers.h"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "base/log_limit.h"

namespace skerry::serve {

struct Workers::State {
  struct Job {
    Ticket ticket = 0;
    io::Callback work;
  };

  std::string name;
  size_t limit = 0;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> queue;
  std::set<Ticket> running;  // without those given up
  Ticket last_ticket = 0;
  size_t threads = 0;  // that count
  size_t idle = 0;
  size_t given_up = 0;
  bool stopped = false;
  log::Limit log_limit;

  // Both with the mutex held.
  void staff(const std::shared_ptr<State>& self);
  bool next(std::unique_lock<std::mutex>& lock, Job& job);
  static void run(const std::shared_ptr<State>& self);
};

// Another thread where more jobs wait than threads do.
void Workers::State::staff(const std::shared_ptr<State>& self) {
  if (stopped || queue.size() <= idle || threads >= limit) return;
  try {
    std::thread thread([self] { run(self); });
    ++threads;
    ::pthread_setname_np(thread.native_handle(), name.c_str());
    thread.detach();
  } catch (const std::system_error& error) {
    // The jobs wait for a thread that there is, or for the next attempt.
    log_limit.write(log::Level::kError, "serve", "no thread can be started",
                    {{"error", error.what()}});
  }
}

bool Workers::State::next(std::unique_lock<std::mutex>& lock, Job& job) {
  ++idle;
  changed.wait(lock, [this] { return stopped || !queue.empty(); });
  --idle;
  if (stopped) return false;
  job = std::move(queue.front());
  queue.pop_front();
  running.insert(job.ticket);
  return true;
}

void Workers::State::run(const std::shared_ptr<State>& self) {
  std::unique_lock lock(self->mutex);
  Job job;
  while (self->next(lock, job)) {
    lock.unlock();
    job.work();
    job.work = {};
    lock.lock();
    if (self->running.erase(job.ticket) == 0) {  // given up: another thread has this one's place
      --self->given_up;
      return;
    }
  }
  --self->threads;
}

Workers::Workers(std::string name, size_t limit) : state_(std::make_shared<State>()) {
  state_->name = std::move(name);
  state_->limit = limit;
}

Workers::~Workers() {
  std::deque<State::Job> dropped;  // destroyed after the lock: they may hold anything
  std::lock_guard lock(state_->mutex);
  state_->stopped = true;
  dropped.swap(state_->queue);
  state_->changed.notify_all();
}

Workers::Ticket Workers::submit(io::Callback work) {
  std::lock_guard lock(state_->mutex);
  const Ticket ticket = ++state_->last_ticket;
  state_->queue.push_back({ticket, std::move(work)});
  state_->staff(state_);
  state_->changed.notify_one();
  return ticket;
}

bool Workers::withdraw(Ticket ticket) {
  State::Job dropped;
  std::lock_guard lock(state_->mutex);
  for (auto job = state_->queue.begin(); job != state_->queue.end(); ++job) {
    if (job->ticket != ticket) continue;
    dropped = std::move(*job);
    state_->queue.erase(job);
    return true;
  }
  return false;
}

bool Workers::give_up(Ticket ticket) {
  std::lock_guard lock(state_->mutex);
  if (state_->running.erase(ticket) == 0) return false;
  ++state_->given_up;
  --state_->threads;
  state_->staff(state_);
  return true;
}

size_t Workers::given_up() const {
  std::lock_guard lock(state_->mutex);
  return state_->given_up;
}

}  // namespace skerry::serve
