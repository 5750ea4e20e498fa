// Brings notices to their sinks: webhooks, mail servers, our own broker. One task for each sink, so
// that none waits for another; what fails is tried again, later and later, also after a restart.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "fleet/alerts/alert_messages.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "io/env.h"
#include "io/task.h"
#include "net/http_client.h"

namespace skerry::fleet {

class AlertSender {
 public:
  static constexpr int64_t kPollMs = 1'000;
  // Looks every `poll_ms` whether something is due.
  AlertSender(io::Env& env, StorePool& stores, DeviceLink& link, std::string external_url,
              int64_t poll_ms)
      : env_(env),
        stores_(stores),
        link_(link),
        external_url_(std::move(external_url)),
        poll_ms_(poll_ms) {}

  // From now on to these sinks; those before are stopped. Not from inside one of its tasks.
  void set_sinks(const std::vector<monitor::AlertSink>& sinks);

  // How long until what failed so many times is tried again: 5 s, doubled, at most 15 minutes.
  static int64_t backoff_ms(int64_t attempts);

 private:
  io::Task<void> serve(monitor::AlertSink sink);
  io::Task<Result<bool>> send_group(const monitor::AlertSink& sink);
  io::Task<Result<void>> deliver(const monitor::AlertSink& sink, const AlertMessage& message);
  io::Task<Result<void>> post(const monitor::AlertSink& sink, const AlertMessage& message);
  io::Task<Result<void>> mail(const monitor::AlertSink& sink, const AlertMessage& message);
  io::Task<Result<void>> publish(const monitor::AlertSink& sink, const AlertMessage& message);
  Result<std::shared_ptr<net::TlsContext>> trust(const monitor::AlertSink& sink);

  io::Env& env_;
  StorePool& stores_;
  DeviceLink& link_;
  const std::string external_url_;
  const int64_t poll_ms_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
