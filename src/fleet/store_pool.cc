// The writer's batches and the readers' sessions.
#include "fleet/store_pool.h"

#include <algorithm>
#include <exception>

#include "base/check.h"
#include "io/clock.h"

namespace skerry::fleet {
namespace {

// What may wait: some seconds of work. Past it the caller hears at once, instead of after a
// timeout.
constexpr size_t kMaxWaiting = 10'000;
// One batch holds the answers of all its units back until its commit.
constexpr size_t kMaxBatch = 256;

Error busy() {
  return {Code::kUnavailable, "the control plane's database has too much to do; try again"};
}

Error disk_full() {
  return {Code::kResourceExhausted,
          "the control plane's disk is full: make room on it; until then only revocations, cancels "
          "and deletes are done"};
}

}  // namespace

Result<std::unique_ptr<StorePool>> StorePool::open(io::Loop& loop, const std::string& path,
                                                   size_t readers) {
  SKERRY_ASSIGN(auto writer, Store::open(path));
  std::vector<std::unique_ptr<Store>> sessions;
  for (size_t i = 0; i < readers; ++i) {
    SKERRY_ASSIGN(auto reader, Store::open_reader(path));
    sessions.push_back(std::move(reader));
  }
  return std::unique_ptr<StorePool>(new StorePool(loop, std::move(writer), std::move(sessions),
                                                  std::make_unique<Reserve>(path + "-reserve")));
}

StorePool::StorePool(io::Loop& loop, std::unique_ptr<Store> writer,
                     std::vector<std::unique_ptr<Store>> readers, std::unique_ptr<Reserve> reserve)
    : loop_(loop),
      owned_writer_(std::move(writer)),
      readers_(std::move(readers)),
      writer_(owned_writer_.get()),
      reserve_(std::move(reserve)),
      writer_thread_(std::make_unique<io::ThreadPool>("store-writer", 1)),
      reader_threads_(std::make_unique<io::ThreadPool>("store-reader", readers_.size())) {
  for (const auto& reader : readers_) free_readers_.push_back(reader.get());
}

StorePool::StorePool(io::Loop& loop, Store& session) : loop_(loop), writer_(&session) {}

StorePool::~StorePool() {
  stop();
}

void StorePool::stop() {
  if (is_inline()) return;
  reader_threads_->stop();
  writer_thread_->stop();
}

StorePool::Outcome StorePool::run_unit(Store& store, Unit& unit) {
  Outcome outcome = store.transaction([&]() -> Outcome {
    try {
      SKERRY_TRY(unit.work(store));
      SKERRY_ASSIGN(unit.effects, store.take_effects());
      return {};
    } catch (const std::exception& error) {
      return fail(Code::kInternal, std::string("unexpected exception: ") + error.what());
    }
  });
  store.drop_effects();
  if (!outcome) unit.effects = {};
  return outcome;
}

void StorePool::enqueue_write(Unit unit) {
  if (is_inline()) {
    std::vector<Unit> batch;
    batch.push_back(std::move(unit));
    run_batch(batch);
    return deliver(batch);
  }
  std::lock_guard lock(mutex_);
  if (writes_.size() >= kMaxWaiting) return unit.done.complete(fail(busy()));
  writes_.push_back(std::move(unit));
  if (std::exchange(writer_is_called_, true)) return;
  writer_thread_->submit([this] { run_writes(); });
}

void StorePool::run_writes() {
  for (;;) {
    std::vector<Unit> batch;
    {
      std::lock_guard lock(mutex_);
      if (writes_.empty()) {
        writer_is_called_ = false;
        return;
      }
      const auto end =
          writes_.begin() + static_cast<std::ptrdiff_t>(std::min(writes_.size(), kMaxBatch));
      batch.assign(std::make_move_iterator(writes_.begin()), std::make_move_iterator(end));
      writes_.erase(writes_.begin(), end);
    }
    run_batch(batch);
    finish(std::move(batch));
  }
}

bool StorePool::make_room(const std::vector<Unit>& batch) {
  if (!reserve_) return true;
  const int64_t now_ms = io::RealClock().monotonic_ms();
  const auto is_relief = [](const Unit& unit) { return unit.need == Need::kRelief; };
  if (std::ranges::any_of(batch, is_relief)) reserve_->relieve(now_ms);
  return reserve_->available(now_ms);
}

void StorePool::run_batch(std::vector<Unit>& batch) {
  const bool has_room = make_room(batch);
  const Outcome committed = writer_->transaction([&]() -> Outcome {
    for (Unit& unit : batch) {
      unit.outcome =
          has_room || unit.need == Need::kRelief ? run_unit(*writer_, unit) : fail(disk_full());
    }
    return {};
  });
  if (committed) return;
  for (Unit& unit : batch) {
    if (unit.outcome) unit.outcome = committed;
    unit.effects = {};
  }
}

void StorePool::enqueue_read(Unit unit) {
  if (is_inline()) return enqueue_write(std::move(unit));
  {
    std::lock_guard lock(mutex_);
    if (waiting_reads_ >= kMaxWaiting) return unit.done.complete(fail(busy()));
    ++waiting_reads_;
  }
  reader_threads_->submit([this, unit = std::move(unit)]() mutable {
    Store* reader = take_reader();
    unit.outcome = run_unit(*reader, unit);
    return_reader(reader);
    std::vector<Unit> batch;
    batch.push_back(std::move(unit));
    finish(std::move(batch));
  });
}

Store* StorePool::take_reader() {
  std::lock_guard lock(mutex_);
  SKERRY_CHECK(!free_readers_.empty(), "more reader threads than sessions");
  --waiting_reads_;
  Store* reader = free_readers_.back();
  free_readers_.pop_back();
  return reader;
}

void StorePool::return_reader(Store* reader) {
  std::lock_guard lock(mutex_);
  free_readers_.push_back(reader);
}

void StorePool::finish(std::vector<Unit> batch) {
  loop_.post([this, alive = std::weak_ptr<bool>(alive_), batch = std::move(batch)]() mutable {
    if (!alive.expired()) deliver(batch);
  });
}

void StorePool::deliver(std::vector<Unit>& batch) {
  for (Unit& unit : batch) {
    if (!unit.effects.empty()) {
      for (EffectListener* listener : listeners_) listener->committed(unit.effects);
    }
    unit.done.complete(std::move(unit.outcome));
  }
}

}  // namespace skerry::fleet
