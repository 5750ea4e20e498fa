// The store off the loop's thread: units of work run on one writer and a few readers, each with a
// session of its own, and the awaiting coroutine goes on when what it did is on the disk.
//
// Group commit: the writer takes all units that wait as one batch, gives each a savepoint, and
// commits once. A unit that fails undoes itself alone; a commit that fails fails its whole batch.
// Units run in the order of write(), and so do the coroutines that await them: whoever sends both
// questions and changes through write() gets answers in one order that the database saw, too.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "fleet/effects.h"
#include "fleet/reserve.h"
#include "fleet/store.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/task.h"

namespace skerry::fleet {

class StorePool {
 public:
  // Sessions on threads for the database file at `path`, and room beside it for a full disk.
  static Result<std::unique_ptr<StorePool>> open(io::Loop& loop, const std::string& path,
                                                 size_t readers = 2);
  // Everything at once on the caller's thread in `session`, which must outlive it: for the
  // simulator and for tests.
  StorePool(io::Loop& loop, Store& session);
  ~StorePool();
  // Finishes what was asked for; nobody hears of it any more. Before what units use is gone.
  void stop();

  // They hear of every committed unit's effects, before the coroutine that awaits it goes on.
  void add_listener(EffectListener& listener) { listeners_.push_back(&listener); }
  void remove_listener(EffectListener& listener) { std::erase(listeners_, &listener); }

  // kRelief is work that takes rights, work or data away, or changes nothing: it is done on a full
  // disk, too, where everything else is kResourceExhausted (reserve.h).
  enum class Need { kRoom, kRelief };
  // What `work(store)`, a Result, returned; for work that changes something. `work` runs on another
  // thread: it owns what it uses, or uses what is constant and outlives the pool. An exception from
  // it is kInternal. kUnavailable where too much waits already.
  template <class Work, class T = std::invoke_result_t<Work&, Store&>>
  io::Task<T> write(Work work, Need need = Need::kRoom) {
    return run<T>(&StorePool::enqueue_write, std::move(work), need);
  }
  // The same for work that changes nothing: it sees one state of the database, in which everything
  // that was awaited before is done.
  template <class Work, class T = std::invoke_result_t<Work&, Store&>>
  io::Task<T> read(Work work) {
    return run<T>(&StorePool::enqueue_read, std::move(work), Need::kRelief);
  }

 private:
  using Outcome = Result<void>;
  struct Unit {
    std::move_only_function<Outcome(Store&)> work;
    io::Completion<Outcome> done;
    Need need;
    Outcome outcome;
    Effects effects;
  };
  using Enqueue = void (StorePool::*)(Unit);

  StorePool(io::Loop& loop, std::unique_ptr<Store> writer,
            std::vector<std::unique_ptr<Store>> readers, std::unique_ptr<Reserve> reserve);

  template <class T, class Work>
  io::Task<T> run(Enqueue enqueue, Work work, Need need) {
    auto answer = std::make_shared<std::optional<T>>();
    io::Completion<Outcome> done(loop_);
    (this->*enqueue)({[answer, work = std::move(work)](Store& store) mutable -> Outcome {
                        answer->emplace(work(store));
                        return **answer ? Outcome() : fail((*answer)->error());
                      },
                      done,
                      need,
                      {},
                      {}});
    Outcome outcome = co_await done;
    if (!outcome) co_return fail(std::move(outcome.error()));
    co_return std::move(**answer);
  }

  void enqueue_write(Unit unit);
  void enqueue_read(Unit unit);
  void run_writes();
  void run_batch(std::vector<Unit>& batch);
  // Whether units that need room may run; those that do not will have it.
  bool make_room(const std::vector<Unit>& batch);
  static Outcome run_unit(Store& store, Unit& unit);
  Store* take_reader();
  void return_reader(Store* reader);
  // From any thread: effects and outcomes, on the loop's.
  void finish(std::vector<Unit> batch);
  void deliver(std::vector<Unit>& batch);
  bool is_inline() const { return !writer_thread_; }

  io::Loop& loop_;
  std::vector<EffectListener*> listeners_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what is posted to the loop

  std::mutex mutex_;  // of the queue and the free readers
  std::deque<Unit> writes_;
  bool writer_is_called_ = false;
  size_t waiting_reads_ = 0;
  std::vector<Store*> free_readers_;

  std::unique_ptr<Store> owned_writer_;
  std::vector<std::unique_ptr<Store>> readers_;
  Store* writer_;
  std::unique_ptr<Reserve> reserve_;  // null: inline
  // Last: they finish their work before what it uses is gone.
  std::unique_ptr<io::ThreadPool> writer_thread_;  // null: inline
  std::unique_ptr<io::ThreadPool> reader_threads_;
};

}  // namespace skerry::fleet
