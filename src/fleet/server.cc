// Starting and stopping the control plane, step by step.
#include "fleet/server.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/encoding.h"
#include "base/log.h"
#include "fleet/access/access_keys.h"
#include "fleet/active_certificates.h"
#include "fleet/alerts/alert_service.h"
#include "fleet/artifacts.h"
#include "fleet/aws/artifact_api.h"
#include "fleet/aws/router.h"
#include "fleet/aws/s3_xml.h"
#include "fleet/broker.h"
#include "fleet/broker_registry.h"
#include "fleet/ca.h"
#include "fleet/certificate_renewal.h"
#include "fleet/console/console.h"
#include "fleet/credentials.h"
#include "fleet/data_plane.h"
#include "fleet/deployments.h"
#include "fleet/device_link.h"
#include "fleet/device_metrics.h"
#include "fleet/fleet_status.h"
#include "fleet/jobs.h"
#include "fleet/learning/learning_service.h"
#include "fleet/model_metrics.h"
#include "fleet/presence.h"
#include "fleet/provisioning.h"
#include "fleet/remote_artifacts.h"
#include "fleet/retention.h"
#include "fleet/rollout/engine.h"
#include "fleet/shadows.h"
#include "fleet/store_pool.h"
#include "fleet/streams.h"
#include "formats/limits.h"
#include "io/instance_lock.h"
#include "net/http_server.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

constexpr std::string_view kVersion = SKERRY_VERSION;
constexpr const char* kAccount = "000000000000";
constexpr const char* kRoleAlias = "SkerryDeviceRole";
constexpr int64_t kPresignedLifeS = 3600;
constexpr int64_t kDayMs = 24 * 3'600'000;
constexpr int64_t kCollectEveryMs = 3'600'000;
constexpr size_t kPageKeyCharacters = 40;
constexpr size_t kMaxS3FileBytes = 64 << 10;
constexpr int64_t kLinkTimeoutMs = 15'000;
constexpr int64_t kLinkReconnectMs = 1'000;  // the broker is on this machine
constexpr const char* kControlClientId = "skerry-fleet";

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}
bool is_wildcard(const std::string& address) {
  return address == "0.0.0.0" || address == "::";
}

// For URLs: IPv6 addresses stand in brackets.
std::string url_host(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

std::string host_name() {
  char name[256] = "localhost";
  ::gethostname(name, sizeof name - 1);
  return name;
}

bool is_info(const net::HttpRequest& request) {
  return net::routed_method(request) == "GET" && request.target == "/skerry/v1/info";
}

// What the API's server refuses by itself, in the words of the protocol that was spoken.
net::HttpResponse api_refusal(const net::HttpRequest& head, int status, std::string_view message) {
  if (aws::ArtifactApi::is_for(head.target)) return aws::s3_refusal(status, message);
  const std::string_view type = status == 503   ? "ServiceUnavailableException"
                                : status >= 500 ? "InternalFailureException"
                                                : "InvalidRequestException";
  return aws::protocol_error(aws::protocol_of(head), status, type, message);
}

Result<FleetOptions> checked(FleetOptions options) {
  if (!is_loopback(options.bind_address) && !options.api_tls) {
    return fail(Code::kInvalidArgument,
                "--bind " + options.bind_address +
                    " is reachable from other machines: add --api-tls, so that the API is not "
                    "spoken in plain text");
  }
  if (options.host.empty()) {
    options.host = is_wildcard(options.bind_address) ? host_name() : options.bind_address;
  }
  return options;
}

}  // namespace

// In the order in which they are made; destroyed the other way round.
struct FleetServer::Parts {
  Parts(io::Env& e, FleetOptions o)
      : env(e), options(std::move(o)), scope{options.region, kAccount} {}
  ~Parts() {
    tasks.cancel_all();
    learning_pool.stop();
    if (stores) stores->stop();  // its units use most of what follows
  }

  std::string path(const char* name) const { return options.directory + "/" + name; }
  std::string api_url() const {
    return (options.api_tls ? "https://" : "http://") + api_authority();
  }
  std::string api_authority() const {
    return url_host(options.host) + ":" + std::to_string(api_port);
  }
  // Stock nuclei trust the machine's own CAs for artifacts, and check them by digest.
  std::string artifact_authority() const {
    return options.api_tls ? url_host(options.host) + ":" + std::to_string(artifact_port)
                           : api_authority();
  }
  std::string data_plane_authority() const {
    return url_host(options.host) + ":" + std::to_string(data_plane_port);
  }
  json description() const;

  io::Task<Result<void>> open_state();
  io::Task<Result<std::string>> setting_or(std::string name, std::string fresh);
  Result<void> open_remote_artifacts();
  io::Task<Result<void>> start_broker();
  io::Task<Result<void>> start_link();
  Result<void> listen();
  Result<void> listen_for_artifacts();
  Result<void> watch_alerts();
  Result<std::string> presign(Store& session, const std::string& sha256) const;
  io::Task<net::HttpResponse> answer_api(net::HttpRequest request);
  std::expected<net::BodyRoute, net::HttpResponse> route_body(const net::HttpRequest& head);
  io::Task<void> collect_artifacts();

  io::Env& env;
  const FleetOptions options;
  const formats::ArnScope scope;
  std::optional<io::InstanceLock> lock;
  std::unique_ptr<StorePool> stores;
  std::unique_ptr<CertificateAuthority> authority;
  std::unique_ptr<ArtifactStore> artifacts;
  std::unique_ptr<RemoteArtifacts> remote_artifacts;  // null: none are configured
  net::AwsCredentials access_key;
  std::unique_ptr<AccessKeys> keys;
  std::string page_key;
  std::optional<ActiveCertificates> certificates;
  std::optional<TemporaryCredentials> temporary;
  std::optional<Deployments> deployments;
  std::optional<rollout::Rollouts> rollouts;
  net::TlsFiles server_files;

  std::optional<BrokerRegistry> registry;
  std::optional<BrokerSupervisor> broker;
  std::optional<FleetStatusService> fleet_status;    // outlives the link, which calls it
  std::optional<ModelMetricsService> model_metrics;  // so does this
  std::optional<DeviceMetricsService> device_metrics;
  std::optional<StreamsService> streams;  // and this
  std::unique_ptr<DeviceLink> link;
  std::optional<JobsService> jobs;
  std::optional<ShadowService> shadows;
  std::optional<ProvisioningService> provisioning;
  std::optional<PresenceService> presence;
  std::optional<rollout::RolloutEngine> rollout_engine;
  io::ThreadPool learning_pool{"learning", 1};  // combining takes a while
  std::optional<learning::LearningService> learning;
  std::unique_ptr<AlertService> alerts;

  std::optional<aws::Router> router;
  std::optional<Console> console;
  std::optional<aws::ArtifactApi> artifact_api;
  std::optional<DataPlane> data_plane;
  uint16_t api_port = 0;
  uint16_t data_plane_port = 0;
  uint16_t artifact_port = 0;
  std::unique_ptr<net::HttpServer> api_server;
  std::unique_ptr<net::HttpServer> data_plane_server;
  std::unique_ptr<net::HttpServer> artifact_server;  // with api_tls
  io::TaskScope tasks;
};

json FleetServer::Parts::description() const {
  return {{"api_url", api_url()},
          {"console_url", api_url() + "/console/"},
          {"region", scope.region},
          {"account", scope.account},
          {"access_key_file", path("access-key.json")},
          {"ca_file", authority->certificate_path()},
          {"data_plane_url", "https://" + data_plane_authority()},
          {"credentials_url", "https://" + data_plane_authority()},
          {"artifact_url", "http://" + artifact_authority()},
          {"broker_host", options.host},
          {"broker_port", broker->port()},
          {"role_alias", kRoleAlias},
          {"pid", ::getpid()},
          {"directory", options.directory}};
}

io::Task<Result<void>> FleetServer::Parts::open_state() {
  SKERRY_CO_TRY(io::make_directories(env.files, options.directory, 0700));
  SKERRY_CO_TRY(env.files.sync_directory(io::parent_of(options.directory)));
  SKERRY_CO_ASSIGN(
      lock, io::InstanceLock::acquire(path("lock"), {"skerry-fleet", "choose another --dir"}));
  // What an earlier run left behind must not send anybody to ports that are no longer ours.
  if (io::exists(env.files, path("fleet.json"))) {
    SKERRY_CO_TRY(env.files.remove(path("fleet.json")));
  }
  SKERRY_CO_ASSIGN(stores, StorePool::open(env.loop, path("fleet.db")));
  SKERRY_CO_ASSIGN(page_key, co_await setting_or("page_key", env.random.token(kPageKeyCharacters)));
  SKERRY_CO_ASSIGN(authority,
                   CertificateAuthority::open(env, path("ca"), options.device_certificate_life_s));
  SKERRY_CO_ASSIGN(artifacts,
                   ArtifactStore::open(env, path("artifacts"), options.artifact_quota_bytes));
  SKERRY_CO_TRY(open_remote_artifacts());
  SKERRY_CO_ASSIGN(access_key, open_access_key(env, path("access-key.json")));
  certificates.emplace(*stores);
  SKERRY_CO_TRY(co_await certificates->load());
  SKERRY_CO_ASSIGN(
      const std::string encoded_key,
      co_await setting_or(TemporaryCredentials::kKeySetting, TemporaryCredentials::fresh_key(env)));
  SKERRY_CO_ASSIGN(std::string key, base64_decode(encoded_key));
  temporary.emplace(env, *certificates, std::move(key));
  std::vector<std::string> names = {options.host};
  if (!is_wildcard(options.bind_address)) names.push_back(options.bind_address);
  SKERRY_CO_ASSIGN(server_files, authority->server_files(names));
  deployments.emplace(env, scope);
  rollouts.emplace(*deployments);
  co_return Result<void>();
}

io::Task<Result<std::string>> FleetServer::Parts::setting_or(std::string name, std::string fresh) {
  return stores->write([name = std::move(name), fresh = std::move(fresh)](
                           Store& store) { return store.setting_or(name, fresh); },
                       StorePool::Need::kRelief);  // so that it starts on a full disk
}

Result<void> FleetServer::Parts::open_remote_artifacts() {
  if (options.s3_file.empty()) return {};
  SKERRY_ASSIGN(const std::string text, io::read_file(env.files, options.s3_file, kMaxS3FileBytes));
  auto service = parse_s3_service(text);
  if (!service) return fail(service.error().with_context(options.s3_file));
  SKERRY_ASSIGN(remote_artifacts, RemoteArtifacts::open(env, *stores, std::move(*service)));
  return {};
}

io::Task<Result<void>> FleetServer::Parts::start_broker() {
  BrokerOptions broker_options;
  broker_options.directory = path("broker");
  broker_options.bind_address = options.bind_address;
  broker_options.port = options.broker_port;
  broker_options.tls = server_files;
  broker_options.topics = path("topics");
  broker.emplace(env, broker_options);
  registry.emplace(env, *certificates, broker->registry_path());
  SKERRY_CO_ASSIGN(const auto claims,
                   co_await stores->read([](Store& store) { return usable_claims(store); }));
  registry->set_claims(claims);
  SKERRY_CO_TRY(co_await registry->write());
  stores->add_listener(*registry);
  co_return co_await broker->start();
}

// Our own connection to the broker, with jobs and fleet status behind it.
io::Task<Result<void>> FleetServer::Parts::start_link() {
  net::MqttOptions mqtt;
  // A wildcard is no address to connect to, and the certificate is always for the loopback one.
  mqtt.host = is_wildcard(options.bind_address) ? "127.0.0.1" : options.bind_address;
  mqtt.port = broker->port();
  mqtt.client_id = kControlClientId;
  mqtt.reconnect_max_ms = kLinkReconnectMs;
  SKERRY_CO_ASSIGN(mqtt.tls, authority->client_files());
  SKERRY_CO_ASSIGN(auto client, net::make_mqtt_client(env, mqtt));
  link = std::make_unique<DeviceLink>(std::move(client));
  jobs.emplace(env, *stores, *deployments, *link);
  fleet_status.emplace(env, *stores, *link);
  model_metrics.emplace(env, *stores, *link);
  device_metrics.emplace(env, *stores, *link);
  streams.emplace(env, *stores, *artifacts, *link, options.stream_quota_mb << 20);
  io::Completion<Result<bool>> connected(env.loop);
  link->on_connected([connected]() mutable { connected.complete(true); });
  shadows.emplace(env, *stores, *link);
  provisioning.emplace(env, *stores, *authority, *link);
  presence.emplace(env, *stores, *link, options.unreachable_after_s * 1000);
  SKERRY_CO_TRY(co_await presence->load());
  link->start();
  auto result =
      co_await io::with_timeout(env.loop, kLinkTimeoutMs, connected, "connecting to our broker");
  if (!result) co_return fail(result.error());
  broker->watch([this](std::function<void(bool)> done) { link->ping(std::move(done)); });
  co_return Result<void>();
}

Result<std::string> FleetServer::Parts::presign(Store& session, const std::string& sha256) const {
  if (remote_artifacts && !artifacts->contains(sha256)) {
    SKERRY_ASSIGN(const auto object, find_remote_content(session, sha256));
    return remote_artifacts->presign(object);
  }
  const std::string target = aws::ArtifactApi::content_target(sha256);
  SKERRY_ASSIGN(std::string signed_target,
                net::sigv4_presign("GET", target, artifact_authority(), access_key,
                                   {scope.region, "s3"}, env.clock.wall_ms(), kPresignedLifeS));
  return "http://" + artifact_authority() + signed_target;
}

io::Task<net::HttpResponse> FleetServer::Parts::answer_api(net::HttpRequest request) {
  if (aws::ArtifactApi::is_for(request.target)) {
    co_return co_await artifact_api->handle(std::move(request));
  }
  if (Console::is_for(request.target)) co_return co_await console->handle(std::move(request));
  if (is_info(request)) {
    co_return net::json_response(200, json{{"name", "skerry-fleet"},
                                           {"version", kVersion},
                                           {"region", scope.region},
                                           {"broker_connected", link->connected()}}
                                          .dump());
  }
  co_return co_await router->handle(std::move(request));
}

// Nobody whose key is not known has us read a body.
std::expected<net::BodyRoute, net::HttpResponse> FleetServer::Parts::route_body(
    const net::HttpRequest& head) {
  if (aws::ArtifactApi::is_for(head.target)) return artifact_api->route_body(head);
  if (Console::is_for(head.target)) return console->route_body(head);
  if (is_info(head)) return net::BodyRoute{};
  if (auto refused = router->refuse_head(head)) return std::unexpected(std::move(*refused));
  return net::BodyRoute{};
}

// Whoever has a pre-signed URL may read what it names here, and nothing else.
Result<void> FleetServer::Parts::listen_for_artifacts() {
  artifact_server = std::make_unique<net::HttpServer>(env.loop, [this](net::HttpRequest request) {
    return artifact_api->handle(std::move(request));
  });
  artifact_server->set_body_router(
      [this](const net::HttpRequest& head) -> std::expected<net::BodyRoute, net::HttpResponse> {
        if (net::routed_method(head) == "GET" &&
            head.target.starts_with(aws::ArtifactApi::content_target(""))) {
          return artifact_api->route_body(head);
        }
        return std::unexpected(aws::s3_error(
            403, "AccessDenied", "this port gives pre-signed artifacts only: use the API's"));
      });
  artifact_server->set_error_format(api_refusal);
  artifact_server->set_file_pool(env.pool);
  auto port = artifact_server->listen_tcp(options.bind_address, options.artifact_port, nullptr);
  if (!port) {
    return fail(port.error().with_context(
        "artifacts (choose another --artifact-port, 0 for any free one)"));
  }
  artifact_port = *port;
  return {};
}

// Every hour; what goes wrong is tried again then.
io::Task<void> FleetServer::Parts::collect_artifacts() {
  for (;;) {
    co_await io::sleep(env.loop, kCollectEveryMs);
    auto collected = co_await artifact_api->collect(options.artifact_retention_days * kDayMs);
    if (!collected) {
      log::warn("fleet", "artifacts not collected", {{"error", collected.error().message()}});
    }
  }
}

Result<void> FleetServer::Parts::listen() {
  const net::SecretLookup device_secret = [this](std::string_view key, std::string_view token) {
    return temporary->secret_of(key, token);
  };
  artifact_api.emplace(env, *stores, *artifacts, scope.region,
                       aws::ArtifactApi::Keys{*keys, device_secret});
  data_plane.emplace(
      env.clock, *stores, scope, *certificates, *temporary, kRoleAlias,
      [this](Store& session, const std::string& sha256) { return presign(session, sha256); });

  net::HttpLimits limits;
  limits.body_bytes = formats::kMaxApiBodyBytes;
  api_server = std::make_unique<net::HttpServer>(
      env.loop, [this](net::HttpRequest request) { return answer_api(std::move(request)); },
      limits);
  api_server->set_body_router([this](const net::HttpRequest& head) { return route_body(head); });
  api_server->set_error_format(api_refusal);
  api_server->set_file_pool(env.pool);
  data_plane_server = std::make_unique<net::HttpServer>(
      env.loop, [this](net::HttpRequest request) { return data_plane->handle(std::move(request)); },
      limits);
  data_plane_server->set_error_format(api_refusal);
  data_plane_server->set_file_pool(env.pool);
  learning.emplace(env, *stores, *artifacts, *deployments, path("learning"), learning_pool);
  data_plane->set_learning([this](ThingName thing, net::HttpRequest request) {
    return learning->handle(std::move(thing), std::move(request));
  });

  std::shared_ptr<net::TlsContext> api_tls;
  if (options.api_tls) {
    SKERRY_ASSIGN(api_tls, net::TlsContext::server(server_files, false));
  }
  data_plane->set_renew([this](Store& session, const ThingName& thing, std::string_view csr,
                               const std::string& caller) {
    return renew_certificate(session, *authority, env.clock, thing, csr, caller);
  });
  SKERRY_ASSIGN(
      auto device_tls,
      net::TlsContext::server(server_files, true, std::make_shared<RenewalTimes>(env.clock)));
  auto api = api_server->listen_tcp(options.bind_address, options.api_port, api_tls);
  if (!api) {
    return fail(api.error().with_context("API (choose another --api-port, 0 for any free one)"));
  }
  auto device =
      data_plane_server->listen_tcp(options.bind_address, options.data_plane_port, device_tls);
  if (!device) {
    return fail(device.error().with_context(
        "data plane (choose another --data-plane-port, 0 for any free one)"));
  }
  if (options.api_tls) SKERRY_TRY(listen_for_artifacts());
  api_port = *api;
  data_plane_port = *device;
  router.emplace(aws::ApiServices{env,
                                  *deployments,
                                  *authority,
                                  *artifacts,
                                  scope,
                                  {options.host, data_plane_authority(), options.host},
                                  page_key,
                                  remote_artifacts.get()},
                 *stores, *keys);
  console.emplace(env, *stores, *router,
                  Console::Options{find_console_files(env.files), options.api_tls});
  rollout_engine.emplace(env, *stores, *rollouts, [this] { return link->connected(); });
  if (options.artifact_retention_days > 0) tasks.spawn(collect_artifacts());
  tasks.spawn(keep_pruning(env, *stores));
  tasks.spawn(learning->run());
  return {};
}

Result<void> FleetServer::Parts::watch_alerts() {
  SKERRY_ASSIGN(alerts, AlertService::make(env, *stores, *link, options.alerts_file,
                                           api_url() + "/console/"));
  tasks.spawn(alerts->run());
  return {};
}

FleetServer::FleetServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
FleetServer::~FleetServer() = default;

io::Task<Result<std::unique_ptr<FleetServer>>> FleetServer::start(io::Env& env,
                                                                  FleetOptions options) {
  SKERRY_CO_ASSIGN(FleetOptions settled, checked(std::move(options)));
  auto parts = std::make_unique<Parts>(env, std::move(settled));
  // 1. State that outlives us; from here on we are the only control plane in this directory.
  SKERRY_CO_TRY(co_await parts->open_state());
  SKERRY_CO_ASSIGN(parts->keys, co_await AccessKeys::open(*parts->stores, parts->access_key));
  // 2. The broker, and our connection to it: jobs can be told of.
  auto broker = co_await parts->start_broker();
  if (!broker) {
    co_return fail(
        broker.error().with_context("broker (--broker-port chooses its port, 0 a free one)"));
  }
  SKERRY_CO_TRY(co_await parts->start_link());
  // 3. Operators and devices can connect.
  SKERRY_CO_TRY(parts->listen());
  SKERRY_CO_TRY(parts->watch_alerts());
  // 4. Others may find us.
  SKERRY_CO_TRY(io::write_file_atomic(env.files, parts->path("fleet.json"),
                                      parts->description().dump(2) + "\n", 0600));
  co_return std::unique_ptr<FleetServer>(new FleetServer(std::move(parts)));
}

io::Task<void> FleetServer::stop() {
  if (auto removed = parts_->env.files.remove(parts_->path("fleet.json")); !removed) {
    log::warn("fleet", "fleet.json stays behind", {{"error", removed.error().message()}});
  }
  parts_->api_server->stop_accepting();
  parts_->data_plane_server->stop_accepting();
  if (parts_->artifact_server) parts_->artifact_server->stop_accepting();
  co_await parts_->broker->stop();
}

}  // namespace skerry::fleet
