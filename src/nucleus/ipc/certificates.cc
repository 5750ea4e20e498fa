// SubscribeToCertificateUpdates: a component that serves client devices (an MQTT broker) is given a
// certificate for its listener, and a new one before that ends or when the device gets a new name
// or address. Configured where the reference does, at aws.greengrass.clientdevices.Auth:
//
//   certificates: {serverCertificateValiditySeconds: 604800}   60 to 864000
//   hostAddresses: [press.example.com]                         names beside the machine's own
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/json_ptr.h"
#include "io/pool.h"
#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr std::string_view kEveryResource = "*";
constexpr const char* kClientDevicesAuth = "aws.greengrass.clientdevices.Auth";
constexpr int64_t kDefaultValidS = 7 * 86'400, kLeastValidS = 60, kMostValidS = 10 * 86'400;
constexpr int64_t kLookMs = 60'000;

int64_t valid_s_of(const ConfigStore& config) {
  const json given = config.tree()
                         .get(ComponentName(kClientDevicesAuth),
                              {"certificates", "serverCertificateValiditySeconds"})
                         .value_or(json());
  if (!given.is_number_integer()) return kDefaultValidS;
  return std::clamp(given.get<int64_t>(), kLeastValidS, kMostValidS);
}

std::vector<std::string> configured_names(const ConfigStore& config) {
  std::vector<std::string> names;
  const json given =
      config.tree().get(ComponentName(kClientDevicesAuth), {"hostAddresses"}).value_or(json());
  if (!given.is_array()) return names;
  for (const json& name : given) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  return names;
}

// Shared: the task that looks after a subscription, the stream's end and the configuration's watch
// wake it.
struct Wake {
  std::optional<io::Completion<bool>> next;
  void now() const {
    if (next) io::Completion<bool>(*next).complete(true);
  }
};

std::string event_of(const ServerCertificate& certificate) {
  return formats::json_text(json{{"certificateUpdate",
                                  {{"privateKey", certificate.key_pem},
                                   {"publicKey", certificate.public_key_pem},
                                   {"certificate", certificate.certificate_pem},
                                   {"caCertificates", json::array({certificate.ca_pem})}}}});
}

// A third of its life is left to a component that is told late.
bool is_due(const ServerCertificate& certificate, const std::vector<std::string>& names,
            int64_t valid_s, int64_t now_ms) {
  return certificate.expires_ms - now_ms < valid_s * 1000 / 3 ||
         !std::ranges::all_of(
             names,
             [&](const std::string& name) {
               return std::ranges::find(certificate.names, name) != certificate.names.end();
             });
}

io::Task<void> keep_certified(IpcContext* context, rpc::ServerStream stream, ComponentName caller,
                              std::shared_ptr<Wake> wake) {
  io::Env& env = context->host.env();
  ServerCertificate current;  // of a subscription that has none: it is due
  while (stream.open()) {
    const int64_t valid_s = valid_s_of(context->config), now_ms = env.clock.wall_ms();
    std::vector<std::string> names = names_of_machine();
    for (std::string& name : configured_names(context->config)) {
      if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
    }
    if (is_due(current, names, valid_s, now_ms)) {
      auto issued = co_await io::run_on(
          env.records, env.loop,
          [authority = context->server_certificates, names, valid_s, now_ms]() mutable {
            return authority.issue(names, valid_s, now_ms);
          });
      if (!issued && current.certificate_pem.empty()) {
        co_return send_error(stream, {kServiceError, issued.error().message(), {}, {}});
      }
      if (!issued) {
        log::warn("ipc", "a server's certificate is not renewed",
                  {{"component", caller.str()}, {"reason", issued.error().message()}});
      } else {
        if (current.certificate_pem.empty())
          stream.start("aws.greengrass#SubscribeToCertificateUpdatesResponse", "{}");
        current = std::move(*issued);
        stream.send("aws.greengrass#CertificateUpdateEvent", event_of(current));
      }
    }
    if (!stream.open()) co_return;
    io::Completion<bool> next(env.loop);
    wake->next = next;
    const io::Timer look = env.loop.after(std::min(kLookMs, valid_s * 1000 / 6),
                                          [next]() mutable { next.complete(true); });
    co_await next;
    wake->next.reset();
  }
}

}  // namespace

IpcOutcome subscribe_to_certificate_updates(const IpcCall& call) {
  SKERRY_IPC_TRY(call.authorize(kClientDevicesService, kEveryResource));
  const auto options = call.request.find("certificateOptions");
  if (options == call.request.end() || !options->is_object() ||
      options->value("certificateType", json()) != json("SERVER")) {
    return call.invalid("certificateOptions.certificateType is required and must be SERVER");
  }
  const auto wake = std::make_shared<Wake>();
  auto watch =
      call.context.config.watch(ComponentName(kClientDevicesAuth), {},
                                [wake](const ComponentName&, const KeyPath&) { wake->now(); });
  call.stream.on_closed([wake, watch = std::move(watch)] { wake->now(); });
  call.context.tasks.spawn(keep_certified(&call.context, call.stream, call.caller, wake));
  return {};
}

}  // namespace skerry::nucleus
