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
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "io/loop.h"

namespace skerry::io {

template <class T>
class Task;

namespace detail {

struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
    return self.promise().continuation ? self.promise().continuation : std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> continuation;
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  // Exceptions stop at the adapters of libraries; one that arrives here is a broken invariant.
  void unhandled_exception() const noexcept { std::terminate(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U = T>  // so that `co_return {}` works
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() const noexcept {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
    handle_.promise().continuation = waiter;
    return handle_;
  }
  T await_resume() {
    if constexpr (!std::is_void_v<T>) return std::move(*handle_.promise().value);
  }

 private:
  Handle handle_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> detail::Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

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
    void await_suspend(std::coroutine_handle<> handle) noexcept { state->waiter = handle; }
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
