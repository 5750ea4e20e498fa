// Pruning in pieces, so that nobody waits long for the writer.
#include "fleet/retention.h"

#include "base/log.h"
#include "fleet/access/access_store.h"
#include "fleet/component_events.h"
#include "fleet/device_metrics.h"
#include "fleet/model_metrics.h"
#include "fleet/shadow_store.h"

namespace skerry::fleet {
namespace {
constexpr int64_t kIntervalMs = int64_t{3600} * 1000;
constexpr int64_t kPiece = 1000;
}  // namespace

io::Task<void> keep_pruning(io::Env& env, StorePool& stores) {
  for (;;) {
    const int64_t now_ms = env.clock.wall_ms();
    const auto gone = co_await stores.write(
        [now_ms](Store& store) -> Result<int64_t> {
          SKERRY_ASSIGN(int64_t jobs, store.prune(now_ms - kRetentionMs, kPiece));
          SKERRY_ASSIGN(int64_t entries, prune_audit(store, now_ms - kAuditRetentionMs, kPiece));
          SKERRY_ASSIGN(int64_t metrics, prune_metrics(store, now_ms - kRetentionMs, kPiece));
          SKERRY_ASSIGN(int64_t events, prune_events(store, now_ms - kRetentionMs, kPiece));
          SKERRY_ASSIGN(int64_t points, prune_device_metrics(store, now_ms, kPiece));
          SKERRY_ASSIGN(int64_t shadows, prune_shadows(store, now_ms, kPiece));
          return jobs + entries + metrics + events + points + shadows;
        },
        StorePool::Need::kRelief);
    if (!gone) {
      log::warn("retention", "nothing forgotten this time", {{"error", gone.error().message()}});
    }
    if (!gone || *gone == 0) co_await io::sleep(env.loop, kIntervalMs);
  }
}

}  // namespace skerry::fleet
