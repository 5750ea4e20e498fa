// The queue of what callers want, the thread that does it, and the readers who wait.
#include "streams/service.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/log.h"
#include "base/log_limit.h"

namespace skerry::streams {
namespace {

constexpr std::string_view kServiceModule = "streams";
constexpr size_t kMostReadBytes = 16 << 20;  // where so many are needed for the least number
constexpr size_t kMaxReadBytes = 1 << 20;    // of one answer, unless its first message is larger
constexpr int64_t kExpireEverySyncs = 10;
// Nothing is dropped for its age before the clock has been steady for so long: a device that starts
// with a wrong one gets the right one meanwhile.
constexpr int64_t kSteadyMs = 600'000;
constexpr int64_t kJumpMs = 60'000;
constexpr size_t kIdCharacters = 16;

}  // namespace

StreamService::StreamService(const io::Env& env, StreamStore& store)
    : env_(env),
      store_(store),
      steady_since_ms_(env.clock.monotonic_ms()),
      clock_offset_ms_(env.clock.wall_ms() - env.clock.monotonic_ms()) {}

template <class T, class Work>
io::Task<Result<T>> StreamService::submit(Work work, std::string appends_to) {
  auto result = std::make_shared<std::optional<Result<T>>>();
  io::Completion<Result<T>> done(env_.loop);
  queue_.push_back(
      {[result, work = std::move(work)](StreamStore& store) mutable { *result = work(store); },
       [result, done, appends_to = std::move(appends_to)](const Failed& failed) mutable {
         const auto against = failed.find(appends_to);
         if (**result && against != failed.end()) *result = fail(against->second);
         done.complete(std::move(**result));
       }});
  if (!pumping_) tasks_.spawn(pump());
  co_return co_await done;
}

io::Task<void> StreamService::pump() {
  pumping_ = true;
  while (!queue_.empty()) {
    struct Batch {
      std::vector<Job> jobs;
      Failed failed;
    };
    auto batch = std::make_shared<Batch>(Batch{std::exchange(queue_, {}), {}});
    co_await io::run_on(env_.records, env_.loop, [batch, &store = store_] {
      for (Job& job : batch->jobs) job.run(store);
      batch->failed = store.commit();
      return true;
    });
    for (Job& job : batch->jobs) job.finish(batch->failed);
  }
  pumping_ = false;
}

io::Task<Result<void>> StreamService::create(Definition definition) {
  const std::string name = definition.name;
  const auto created = co_await submit<void>(
      [definition = std::move(definition), id = env_.random.token(kIdCharacters)](
          StreamStore& store) { return store.create(definition, id); });
  if (created) tell(name, Change::kDefinition);
  co_return created;
}

io::Task<Result<void>> StreamService::update(Definition definition) {
  const std::string name = definition.name;
  const auto updated =
      co_await submit<void>([definition = std::move(definition)](StreamStore& store) {
        return store.update(definition);
      });
  if (updated) tell(name, Change::kDefinition);
  co_return updated;
}

io::Task<Result<void>> StreamService::remove(std::string name) {
  news_.erase(name);
  const auto removed =
      co_await submit<void>([name](StreamStore& store) { return store.remove(name); });
  if (removed) tell(name, Change::kDefinition);
  co_return removed;
}

io::Task<Result<std::vector<std::string>>> StreamService::list() {
  return submit<std::vector<std::string>>(
      [](StreamStore& store) { return Result<std::vector<std::string>>(store.list()); });
}

io::Task<Result<StreamInfo>> StreamService::describe(std::string name) {
  return submit<StreamInfo>(
      [name = std::move(name)](StreamStore& store) { return store.describe(name); });
}

io::Task<Result<ExportRead>> StreamService::read_for_export(std::string name,
                                                            std::string identifier,
                                                            size_t max_count, size_t max_bytes) {
  return submit<ExportRead>([=](StreamStore& store) {
    return store.read_for_export(name, identifier, max_count, max_bytes);
  });
}

io::Task<Result<void>> StreamService::record_export(std::string name, std::string identifier,
                                                    ExportProgress progress) {
  return submit<void>(
      [=](StreamStore& store) { return store.record_export(name, identifier, progress); });
}

io::Task<Result<int64_t>> StreamService::append(std::string name, std::string payload) {
  const int64_t now_ms = env_.clock.wall_ms();
  auto sequence = co_await submit<int64_t>(
      [name, payload = std::move(payload), now_ms](StreamStore& store) {
        return store.append(name, payload, now_ms);
      },
      name);
  if (sequence) {
    News& news = news_[name];
    ++news.appends;
    for (const auto& reader : std::exchange(news.readers, {})) {
      if (const auto done = reader.lock()) done->complete(true);
    }
    tell(name, Change::kAppended);
  }
  co_return sequence;
}

io::Task<Result<std::vector<Message>>> StreamService::read(std::string name, ReadOptions options) {
  const int64_t begun_ms = env_.clock.monotonic_ms();
  for (;;) {
    const uint64_t seen = news_[name].appends;
    struct Look {
      int64_t available = 0;
      std::vector<Message> messages;
    };
    SKERRY_CO_ASSIGN(
        Look look, co_await submit<Look>([name, options](StreamStore& store) -> Result<Look> {
          SKERRY_ASSIGN(const StreamInfo info, store.describe(name));
          Look look;
          look.available = info.range.newest - std::max(options.from, info.range.oldest) + 1;
          if (look.available < static_cast<int64_t>(options.min_count)) return look;
          SKERRY_ASSIGN(look.messages,
                        store.read(name, options.from, options.max_count, kMaxReadBytes));
          // Fewer than were asked for at least, because they are large, or some are damaged.
          if (look.messages.size() >= options.min_count) return look;
          SKERRY_ASSIGN(look.messages,
                        store.read(name, options.from, options.min_count, kMostReadBytes));
          size_t bytes = 0;
          for (const Message& message : look.messages) bytes += message.payload.size();
          const bool all = look.messages.empty() ||
                           look.messages.back().sequence == info.range.newest ||
                           look.messages.size() >= options.min_count;
          if (all) return look;
          return fail(Code::kResourceExhausted,
                      "the first " + std::to_string(look.messages.size()) + " messages have " +
                          std::to_string(bytes) + " bytes and an answer at most " +
                          std::to_string(kMostReadBytes) + ": ask for fewer");
        }));
    if (!look.messages.empty()) co_return std::move(look.messages);
    const int64_t left_ms = begun_ms + options.timeout_ms - env_.clock.monotonic_ms();
    if (look.available >= static_cast<int64_t>(options.min_count)) {
      co_return fail(Code::kCorrupt, "the messages from " + std::to_string(options.from) +
                                         " on are damaged: read from a later one");
    }
    if (left_ms <= 0) {
      co_return fail(Code::kUnavailable,
                     "there are " + std::to_string(std::max<int64_t>(look.available, 0)) +
                         " messages, and not " + std::to_string(options.min_count));
    }
    co_await more_messages(name, seen, left_ms);
  }
}

// Returns when something was appended that a caller who knew of `seen` appends has not seen.
io::Task<void> StreamService::more_messages(std::string name, uint64_t seen, int64_t timeout_ms) {
  News& news = news_[name];
  if (news.appends != seen) co_return;
  const auto done = std::make_shared<io::Completion<bool>>(env_.loop);
  std::erase_if(news.readers, [](const auto& reader) { return reader.expired(); });
  news.readers.push_back(done);
  const io::Timer timer = env_.loop.after(timeout_ms, [done] { done->complete(false); });
  co_await *done;
}

io::Task<void> StreamService::keep_house() {
  log::Limit complaints;
  for (int64_t round = 1;; ++round) {
    co_await io::sleep(env_.loop, kSyncEveryMs);
    const bool expires = clock_is_steady() && round % kExpireEverySyncs == 0;
    const int64_t now_ms = env_.clock.wall_ms();
    const auto kept = co_await submit<void>([expires, now_ms](StreamStore& store) -> Result<void> {
      SKERRY_TRY(store.sync());
      if (expires) return store.expire(now_ms);
      return {};
    });
    if (kept) continue;
    complaints.write(log::Level::kError, kServiceModule, "streams are not synced",
                     {{"error", kept.error().message()}});
  }
}

bool StreamService::clock_is_steady() {
  const int64_t now_ms = env_.clock.monotonic_ms();
  const int64_t offset_ms = env_.clock.wall_ms() - now_ms;
  if (std::abs(offset_ms - clock_offset_ms_) > kJumpMs) {
    clock_offset_ms_ = offset_ms;
    steady_since_ms_ = now_ms;
  }
  return now_ms - steady_since_ms_ >= kSteadyMs;
}

}  // namespace skerry::streams
