// A window of sequence numbers for each run.
#include "fleet/summary_runs.h"

#include "fleet/store_sql.h"
#include "formats/inference_summary.h"

namespace skerry::fleet {
namespace {

// Runs of a thing that are told apart; one that was told before would count again.
constexpr int64_t kRunsOfThing = 8;

}  // namespace

Result<bool> take_sequence(Database& database, const ThingName& thing, const std::string& run,
                           uint64_t sequence, int64_t now_ms) {
  SKERRY_ASSIGN(auto windows,
                database.select(
                    "SELECT highest, below FROM summary_runs WHERE thing = :thing AND run = :run",
                    [](const Row& row) {
                      return formats::SequenceWindow{static_cast<uint64_t>(row.number("highest")),
                                                     static_cast<uint64_t>(row.number("below"))};
                    },
                    thing.str(), run));
  formats::SequenceWindow window = windows.empty() ? formats::SequenceWindow() : windows.front();
  if (!window.take(sequence)) return false;
  SKERRY_TRY(database.execute(
      "INSERT INTO summary_runs (thing, run, highest, below, seen_ms) VALUES (:thing, :run, "
      ":highest, :below, :seen) ON CONFLICT (thing, run) DO UPDATE SET "
      "highest = excluded.highest, below = excluded.below, seen_ms = excluded.seen_ms",
      thing.str(), run, static_cast<int64_t>(window.highest), static_cast<int64_t>(window.below),
      now_ms));
  if (windows.empty()) {
    SKERRY_TRY(database.execute(
        "DELETE FROM summary_runs WHERE thing = :thing AND run NOT IN (SELECT run FROM "
        "summary_runs WHERE thing = :same ORDER BY seen_ms DESC, run LIMIT :limit)",
        thing.str(), thing.str(), kRunsOfThing));
  }
  return true;
}

}  // namespace skerry::fleet
