// Pruning in pieces, so that nobody waits long for the writer.
#include "fleet/retention.h"

#include "base/log.h"

namespace skerry::fleet {
namespace {
constexpr int64_t kIntervalMs = int64_t{3600} * 1000;
constexpr int64_t kPiece = 1000;
}  // namespace

io::Task<void> keep_pruning(io::Env& env, StorePool& stores) {
  for (;;) {
    const int64_t oldest_ms = env.clock.wall_ms() - kRetentionMs;
    const auto gone =
        co_await stores.write([oldest_ms](Store& store) { return store.prune(oldest_ms, kPiece); });
    if (!gone) {
      log::warn("retention", "nothing forgotten this time", {{"error", gone.error().message()}});
    }
    if (!gone || *gone == 0) co_await io::sleep(env.loop, kIntervalMs);
  }
}

}  // namespace skerry::fleet
