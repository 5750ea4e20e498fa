// Looks at the rules of the alert file (docs/alerts.md) from time to time, keeps what follows in
// the store, and has sinks told. The file is read again when it has changed; where it is wrong
// then, the rules before stay in use, and lists say so.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "fleet/alerts/alert_evidence.h"
#include "fleet/alerts/alert_sender.h"
#include "fleet/store_pool.h"
#include "io/env.h"
#include "io/task.h"
#include "monitor/alert_book.h"

namespace skerry::fleet {

class AlertService {
 public:
  // `file` "": no rules, and what an earlier run left ends. kInvalidArgument with file and line
  // where the rules are wrong. `link` outlives it; `external_url` is what messages point people to.
  static Result<std::unique_ptr<AlertService>> make(io::Env& env, StorePool& stores,
                                                    DeviceLink& link, std::string file,
                                                    std::string external_url,
                                                    int64_t poll_ms = AlertSender::kPollMs);
  // Until its scope ends.
  io::Task<void> run();
  // One look at all rules, now.
  io::Task<Result<void>> look();

 private:
  AlertService(io::Env& env, StorePool& stores, DeviceLink& link, std::string file,
               std::string external_url, int64_t poll_ms);
  io::Task<Result<void>> begin();
  io::Task<Result<void>> reload();
  io::Task<Result<void>> use(monitor::AlertRules rules);
  io::Task<Result<void>> say(const std::string& error);
  std::vector<AlertNotice> notices_of(const monitor::AlertRules& rules,
                                      const monitor::AlertBook::Changes& changes, int64_t now_ms);
  io::Task<Result<void>> keep(monitor::AlertBook book, const monitor::AlertRules& rules,
                              monitor::AlertBook::Changes changes, int64_t now_ms);

  io::Env& env_;
  StorePool& stores_;
  const std::string file_;
  std::string text_;        // of the file, as it was last looked at
  std::string file_error_;  // of it; "" where it is in use
  std::shared_ptr<const monitor::AlertRules> rules_ = std::make_shared<const monitor::AlertRules>();
  monitor::AlertBook book_;
  std::shared_ptr<AlertObserver> observer_ = std::make_shared<AlertObserver>();
  AlertSender sender_;
};

}  // namespace skerry::fleet
