// The way to the loop for threads that may outlive what started them, and the loop too: it closes
// before either is gone.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "io/loop.h"

namespace skerry::serve {

class LoopDoor {
  struct State {
    std::mutex mutex;
    io::Loop* loop;  // null once closed
  };

 public:
  explicit LoopDoor(io::Loop& loop) : state_(std::make_shared<State>()) { state_->loop = &loop; }
  ~LoopDoor() {
    const std::scoped_lock lock(state_->mutex);
    state_->loop = nullptr;
  }
  LoopDoor(const LoopDoor&) = delete;
  LoopDoor& operator=(const LoopDoor&) = delete;

  // For threads to keep.
  class Key {
   public:
    // Runs `work` on the loop, or never where the door has closed by then. From any thread.
    void post(io::Callback work) const {
      const std::scoped_lock lock(state_->mutex);
      if (!state_->loop) return;
      state_->loop->post([state = state_, work = std::move(work)]() mutable {
        if (state->loop) work();  // it closes on this thread
      });
    }

   private:
    friend class LoopDoor;
    explicit Key(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };
  Key key() const { return Key(state_); }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace skerry::serve
