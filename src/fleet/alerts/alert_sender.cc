// Deliveries of alerts.
#include "fleet/alerts/alert_sender.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "net/smtp.h"

namespace skerry::fleet {
namespace {

using monitor::AlertSink;

constexpr int64_t kAlertTimeoutMs = 15'000;
constexpr int64_t kNoticesOfMessage = 100;
constexpr int64_t kFirstRetryMs = 5'000, kLastRetryMs = 900'000;
constexpr size_t kMaxAnswerBytes = 64 << 10;
constexpr size_t kMaxPasswordBytes = 4 << 10;
constexpr const char* kSystemCas = "/etc/ssl/certs/ca-certificates.crt";
constexpr std::string_view kAlertModule = "alerts";

}  // namespace

int64_t AlertSender::backoff_ms(int64_t attempts) {
  const int64_t doublings = std::clamp<int64_t>(attempts - 1, 0, 10);
  return std::min(kFirstRetryMs << doublings, kLastRetryMs);
}

void AlertSender::set_sinks(const std::vector<AlertSink>& sinks) {
  tasks_.cancel_all();
  for (const AlertSink& sink : sinks) tasks_.spawn(serve(sink));
}

io::Task<void> AlertSender::serve(AlertSink sink) {
  for (;;) {
    auto sent = co_await send_group(sink);
    if (!sent) {
      log::warn(kAlertModule, "alerts not sent, and tried again later",
                {{"sink", sink.name}, {"error", sent.error().message()}});
    }
    if (!sent || !*sent) co_await io::sleep(env_.loop, poll_ms_);
  }
}

// False where nothing is due.
io::Task<Result<bool>> AlertSender::send_group(const AlertSink& sink) {
  const int64_t now_ms = env_.clock.wall_ms();
  SKERRY_CO_ASSIGN(auto notices, co_await stores_.read([name = sink.name, now_ms](Store& store) {
    return due_notices(store, name, now_ms, kNoticesOfMessage);
  }));
  if (notices.empty()) co_return false;
  const std::string group = notices.front().group;
  std::erase_if(notices, [&](const AlertNotice& each) { return each.group != group; });
  std::vector<std::string> ids;
  int64_t attempts = 0;
  for (const AlertNotice& notice : notices) {
    ids.push_back(notice.id);
    attempts = std::max(attempts, notice.attempts);
  }
  const AlertMessage message = alert_message(notices, external_url_);
  auto delivered = co_await deliver(sink, message);
  if (delivered) {
    SKERRY_CO_TRY(co_await stores_.write([ids](Store& store) { return delete_notices(store, ids); },
                                         StorePool::Need::kRelief));
    co_return true;
  }
  const int64_t due_ms = env_.clock.wall_ms() + backoff_ms(attempts + 1);
  SKERRY_CO_TRY(co_await stores_.write(
      [ids, due_ms, error = delivered.error().message()](Store& store) {
        return postpone_notices(store, ids, due_ms, error);
      },
      StorePool::Need::kRelief));
  co_return fail(std::move(delivered.error()));
}

io::Task<Result<void>> AlertSender::deliver(const AlertSink& sink, const AlertMessage& message) {
  switch (sink.kind) {
    case AlertSink::Kind::kWebhook:
      co_return co_await post(sink, message);
    case AlertSink::Kind::kEmail:
      co_return co_await mail(sink, message);
    case AlertSink::Kind::kMqtt:
      break;
  }
  co_return co_await publish(sink, message);
}

Result<std::shared_ptr<net::TlsContext>> AlertSender::trust(const AlertSink& sink) {
  const bool wants_tls = sink.url.starts_with("https://") || sink.url.starts_with("smtps://");
  if (!wants_tls) return std::shared_ptr<net::TlsContext>();
  return net::TlsContext::client({.ca_file = sink.ca_file.empty() ? kSystemCas : sink.ca_file});
}

io::Task<Result<void>> AlertSender::post(const AlertSink& sink, const AlertMessage& message) {
  SKERRY_CO_ASSIGN(auto tls, trust(sink));
  const auto client = net::make_http_client(env_.loop, std::move(tls));
  net::HttpRequest request;
  request.method = "POST";
  request.headers.add("Content-Type", "application/json");
  request.headers.add("Idempotency-Key", message.id);
  for (const auto& [name, value] : sink.headers) request.headers.set(name, value);
  request.body = message.json;
  SKERRY_CO_ASSIGN(const auto answer, co_await client->fetch(sink.url, std::move(request),
                                                             {.timeout_ms = kAlertTimeoutMs,
                                                              .max_body_bytes = kMaxAnswerBytes}));
  if (answer.status >= 200 && answer.status < 300) co_return Result<void>();
  co_return fail(Code::kUnavailable, fmt::format("the webhook answers {}", answer.status));
}

io::Task<Result<void>> AlertSender::mail(const AlertSink& sink, const AlertMessage& message) {
  SKERRY_CO_ASSIGN(const auto url, net::parse_smtp_url(sink.url));
  SKERRY_CO_ASSIGN(auto tls, trust(sink));
  net::SmtpServer server{url.host, url.port, std::move(tls), sink.user, {}};
  if (!sink.password_file.empty()) {
    // Read each time: a password that is changed needs no restart.
    SKERRY_CO_ASSIGN(server.password,
                     io::read_file(env_.files, sink.password_file, kMaxPasswordBytes));
    while (server.password.ends_with('\n')) server.password.pop_back();
  }
  net::Mail letter{sink.from,   sink.to, message.subject, message.id, env_.clock.wall_ms(),
                   message.text};
  co_return co_await net::send_mail(env_.loop, std::move(server), std::move(letter),
                                    kAlertTimeoutMs);
}

io::Task<Result<void>> AlertSender::publish(const AlertSink& sink, const AlertMessage& message) {
  io::Completion<Result<bool>> done(env_.loop);
  link_.publish(sink.topic, message.json, [done](const Error* error) mutable {
    done.complete(error ? Result<bool>(fail(*error)) : Result<bool>(true));
  });
  auto answer = co_await io::with_timeout(env_.loop, kAlertTimeoutMs, done, "the broker");
  if (!answer) co_return fail(std::move(answer.error()));
  co_return Result<void>();
}

}  // namespace skerry::fleet
