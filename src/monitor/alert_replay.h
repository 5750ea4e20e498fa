// What rules would have made of one device's past, from its own metrics alone: for trying rules,
// and on a device that has no fleet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/metric_summary.h"
#include "monitor/alert_book.h"

namespace skerry::monitor {

struct ReplayedAlert {
  int64_t at_ms = 0;
  AlertBook::Event event;
};
// Every firing and its end, in order, for the one subject that the metrics are of. `history`:
// points by the end of their minute. Rules about a device's health or a merged group are left out.
std::vector<ReplayedAlert> replay_alerts(const AlertRules& rules,
                                         const formats::SeriesHistory& history,
                                         const std::string& subject);

}  // namespace skerry::monitor
