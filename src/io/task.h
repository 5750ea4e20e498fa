// Coroutines: Task<T> (lazy, awaited once), TaskScope (owns running tasks), Completion<T> (a
// callback's value, awaited), sleep. All of one Loop, one thread.
//
// Cancellation is destruction: destroying a suspended Task destroys its frame, the tasks it awaits
// and the timers and watches they hold. A coroutine therefore never outlives the TaskScope that
// runs it. Never destroy a Task from inside itself. Lambdas that are coroutines must take their
// state as parameters, not as captures (the lambda object dies before the frame does).
#pragma once

#include <coroutine>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "io/coroutine.h"
#include "io/loop.h"

namespace skerry::io {

// Runs tasks until they end or the scope is destroyed, whichever is first.
class TaskScope {
 public:
  TaskScope() = default;
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope() { cancel_all(); }

  // Starts `task` at once, on the caller's stack up to its first suspension.
  void spawn(Task<void> task) {
    Root root = run(std::move(task));
    root.handle.promise().roots = &roots_;
    root.handle.promise().position = roots_.insert(roots_.end(), root.handle);
    root.handle.resume();
  }
  // Destroys every task still running. Not from inside one of them.
  void cancel_all() {
    while (!roots_.empty()) {
      auto handle = roots_.front();
      roots_.pop_front();
      handle.destroy();
    }
  }
  size_t size() const { return roots_.size(); }

 private:
  struct Root {
    struct promise_type {
      std::list<std::coroutine_handle<>>* roots = nullptr;
      std::list<std::coroutine_handle<>>::iterator position;
      Root get_return_object() {
        return Root{std::coroutine_handle<promise_type>::from_promise(*this)};
      }
      std::suspend_always initial_suspend() const noexcept { return {}; }
      struct Remove {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> self) const noexcept {
          self.promise().roots->erase(self.promise().position);
          self.destroy();
        }
        void await_resume() const noexcept {}
      };
      Remove final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      void unhandled_exception() const noexcept { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
  };
  static Root run(Task<void> task) { co_await task; }

  std::list<std::coroutine_handle<>> roots_;
};

// A value that a callback delivers once and at most one coroutine awaits. Copies share it. The
// waiter resumes from the loop, never inside complete(). The first complete() wins; later ones are
// ignored.
template <class T>
class Completion {
 public:
  explicit Completion(Loop& loop) : state_(std::make_shared<State>(State{loop, {}, {}})) {}

  // On the loop's thread only (from elsewhere: loop.post a call of it).
  void complete(T value) {
    if (state_->value) return;
    state_->value.emplace(std::move(value));
    if (state_->waiter) state_->resume_soon(state_);
  }
  bool done() const { return state_->value.has_value(); }

  auto operator co_await() const { return Awaiter{state_}; }

 private:
  struct State {
    Loop& loop;
    std::optional<T> value;
    std::coroutine_handle<> waiter;
    static void resume_soon(const std::shared_ptr<State>& state) {
      state->loop.post([state] {
        if (auto waiter = std::exchange(state->waiter, {})) waiter.resume();
      });
    }
  };
  struct Awaiter {
    std::shared_ptr<State> state;
    explicit Awaiter(std::shared_ptr<State> s) : state(std::move(s)) {}
    Awaiter(Awaiter&&) = default;
    ~Awaiter() {
      if (state) state->waiter = {};
    }
    bool await_ready() const noexcept { return state->value.has_value(); }
    void await_suspend(std::coroutine_handle<> handle) noexcept {
      SKERRY_CHECK(!state->waiter, "a completion is awaited by one");
      state->waiter = handle;
    }
    T await_resume() { return std::move(*state->value); }
  };
  std::shared_ptr<State> state_;
};

// Awaits `completion` for at most `timeout_ms`, then kTimeout with `what` in the message.
template <class T>
Task<Result<T>> with_timeout(Loop& loop, int64_t timeout_ms, Completion<Result<T>> completion,
                             std::string what) {
  Timer timer = loop.after(timeout_ms, [completion, what, timeout_ms]() mutable {
    completion.complete(
        fail(Code::kTimeout, what + ": no answer within " + std::to_string(timeout_ms) + " ms"));
  });
  co_return co_await completion;
}

inline Task<void> sleep(Loop& loop, int64_t delay_ms) {
  Completion<bool> done(loop);
  Timer timer = loop.after(delay_ms, [done]() mutable { done.complete(true); });
  co_await done;
}

}  // namespace skerry::io
