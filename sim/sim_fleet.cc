// The control plane in the simulation, and what reaches it.
#include "sim/sim_fleet.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "fleet/credentials.h"
#include "fleet/data_plane.h"
#include "fleet/device_link.h"
#include "fleet/fleet_status.h"
#include "fleet/jobs.h"
#include "fleet/shadows.h"

namespace skerry::sim {
namespace {

using nlohmann::json;

const std::string kArnPrefix = "arn:aws:iot:eu-west-1:000000000000:";
const std::string kControlId = "skerry-fleet";

std::unique_ptr<fleet::Store> open_store() {
  auto store = fleet::Store::open(std::string(fleet::Store::kInMemory));
  SKERRY_CHECK(store.has_value(), "a database in memory can be opened");
  return std::move(*store);
}

void must(const Result<void>& done) {
  SKERRY_CHECK(done.has_value(), done.error().message());
}

net::MqttOptions client_options(std::string id) {
  net::MqttOptions options;
  options.client_id = std::move(id);
  return options;
}

std::string replaced(std::string text, const std::string& variable, const std::string& by) {
  for (size_t at; (at = text.find(variable)) != std::string::npos;) {
    text.replace(at, variable.size(), by);
  }
  return text;
}

}  // namespace

struct SimFleet::Services {
  explicit Services(SimFleet& fleet)
      : stores(fleet.loop_, *fleet.store_),
        link(fleet.broker_.client(client_options(kControlId))),
        jobs(fleet.env_, stores, fleet.deployments_, link),
        status(fleet.env_, stores, link),
        shadows(fleet.env_, stores, link),
        certificates(stores),
        credentials(fleet.env_, certificates, std::string(32, 'k')),
        data_plane(fleet.clock_, stores, {}, certificates, credentials, "SkerryRole",
                   [](fleet::Store&, const std::string& sha256) -> Result<std::string> {
                     return std::string(kArtifactUrl) + sha256;
                   }) {
    io::TaskScope scope;
    scope.spawn([](Services& services) -> io::Task<void> {
      const auto loaded = co_await services.certificates.load();
      SKERRY_CHECK(loaded.has_value(), "the store in memory can be read");
    }(*this));
    link.start();
  }
  fleet::StorePool stores;
  fleet::DeviceLink link;
  fleet::JobsService jobs;
  fleet::FleetStatusService status;
  fleet::ShadowService shadows;
  fleet::ActiveCertificates certificates;
  fleet::TemporaryCredentials credentials;
  fleet::DataPlane data_plane;
};

SimFleet::SimFleet(SimLoop& loop, io::Random& random, NetworkFaults& faults)
    : loop_(loop),
      random_(random),
      faults_(faults),
      clock_(loop),
      processes_(loop, [](const io::ProcessSpec&) { return ScriptedProcess{}; }),
      env_{loop_, clock_, files_, processes_, random_, pool_, pool_},
      broker_(loop),
      store_(open_store()),
      deployments_(env_, {}) {
  broker_.delay_ms = [this] { return draw_delay_ms(); };
  broker_.breaks = [this] { return chance(faults_.cut_mqtt); };
  broker_.reachable = [this](const std::string& client) {
    // As the plugin: one whose certificate is not registered is refused.
    const ThingName thing(client);
    return client == kControlId || (reaches_us(thing) && has_thing(thing));
  };
  // A device has its own topics.
  broker_.allow = [](const std::string& client, const std::string& topic, bool) {
    return client == kControlId || topic.starts_with("$aws/things/" + client + "/");
  };
  start();
}

SimFleet::~SimFleet() = default;

void SimFleet::start() {
  broker_.start();
  services_ = std::make_unique<Services>(*this);
}

fleet::StorePool& SimFleet::stores() {
  return services_->stores;
}

void SimFleet::restart(int64_t down_ms, bool broker_forgets) {
  services_.reset();
  broker_.stop();
  if (broker_forgets) broker_.forget_sessions();
  comes_back_ = loop_.after(down_ms, [this] { start(); });
}

bool SimFleet::chance(double probability) {
  return probability > 0 && static_cast<double>(random_.below(1'000'000)) < probability * 1e6;
}

int64_t SimFleet::draw_delay_ms() {
  return static_cast<int64_t>(random_.below(static_cast<uint64_t>(faults_.max_delay_ms) + 1));
}

// --- The operator -------------------------------------------------------------------------------

void SimFleet::publish(const std::string& name, const std::string& version, std::string recipe,
                       const std::map<std::string, std::string>& artifacts) {
  for (const auto& [file, bytes] : artifacts) {
    const std::string digest = sha256(bytes);
    recipe = replaced(std::move(recipe), "{sha256:" + file + "}", hex_encode(digest));
    recipe = replaced(std::move(recipe), "{digest:" + file + "}", base64_encode(digest));
    contents_[hex_encode(digest)] = bytes;
    published_[name + " " + version].insert(bytes);
  }
  fleet::ComponentVersion component;
  component.name = ComponentName(name);
  component.version = version;
  component.recipe_json = std::move(recipe);
  must(write([&](fleet::Store& store) { return store.create_component(component); }));
}

void SimFleet::unpublish(const std::string& name, const std::string& version) {
  must(write(
      [&](fleet::Store& store) { return store.delete_component(ComponentName(name), version); }));
}

std::string SimFleet::certificate_of(const ThingName& thing) {
  return hex_encode(sha256(thing.str()));
}

void SimFleet::add_thing(const ThingName& thing) {
  must(write([&](fleet::Store& store) -> Result<void> {
    SKERRY_TRY(store.create_thing({.name = thing, .id = random_.uuid()}));
    fleet::Certificate certificate;
    certificate.id = certificate_of(thing);
    certificate.status = fleet::CertificateStatus::kActive;
    certificate.common_name = thing.str();
    certificate.expires_ms = INT64_MAX;
    SKERRY_TRY(store.add_certificate(certificate));
    return store.attach_certificate(certificate.id, thing);
  }));
  things_.insert(thing);
}

void SimFleet::remove_thing(const ThingName& thing) {
  must(write([&](fleet::Store& store) -> Result<void> {
    const std::string certificate = certificate_of(thing);
    SKERRY_TRY(store.detach_certificate(certificate));
    SKERRY_TRY(store.set_certificate_status(certificate, fleet::CertificateStatus::kInactive));
    SKERRY_TRY(store.delete_certificate(certificate));
    return deployments_.delete_thing(store, thing);
  }));
  things_.erase(thing);
  broker_.cut(thing.str());
}

void SimFleet::add_group(const std::string& group) {
  fleet::ThingGroup record;
  record.name = ThingGroupName(group);
  record.id = random_.uuid();
  must(write([&](fleet::Store& store) { return store.create_group(record); }));
}

void SimFleet::join(const ThingName& thing, const std::string& group) {
  must(write([&](fleet::Store& store) {
    return deployments_.add_to_group(store, thing, ThingGroupName(group));
  }));
}

void SimFleet::leave(const ThingName& thing, const std::string& group) {
  must(write([&](fleet::Store& store) {
    return deployments_.remove_from_group(store, thing, ThingGroupName(group));
  }));
}

bool SimFleet::is_member(const ThingName& thing, const std::string& group) {
  const auto members = store_->things_in_group(ThingGroupName(group));
  SKERRY_CHECK(members.has_value(), "the database can be read");
  return std::ranges::find(*members, thing) != members->end();
}

Result<fleet::Deployment> SimFleet::deploy(const std::string& target,
                                           const std::map<std::string, std::string>& components) {
  json listed = json::object();
  for (const auto& [name, version] : components) listed[name] = {{"componentVersion", version}};
  const json request = {{"targetArn", kArnPrefix + target}, {"components", listed}};
  return write([&](fleet::Store& store) { return deployments_.create(store, request); });
}

Result<void> SimFleet::cancel(const DeploymentId& id, fleet::Deployments::Begun begun) {
  return write([&](fleet::Store& store) { return deployments_.cancel(store, id, begun); });
}

Result<void> SimFleet::remove(const fleet::Deployment& deployment) {
  return write([&](fleet::Store& store) { return deployments_.remove(store, deployment); });
}

std::vector<SimJob> SimFleet::jobs(const ThingName& thing) {
  std::vector<SimJob> jobs;
  fleet::Page page;
  do {
    const auto slice = store_->list_executions_of_thing(thing, page);
    SKERRY_CHECK(slice.has_value(), "the database can be read");
    for (const fleet::JobExecution& execution : slice->items) {
      auto deployment = store_->find_deployment_of_job(execution.job_id);
      SKERRY_CHECK(deployment.has_value(), "an execution has a deployment");
      const std::string target = deployment->target_arn.substr(kArnPrefix.size());
      jobs.push_back({execution.job_id, execution.status, std::move(*deployment), target});
    }
    page.after = slice->next;
  } while (!page.after.empty());
  std::ranges::sort(jobs, {}, [](const SimJob& job) { return job.deployment.sequence; });
  return jobs;
}

std::string SimFleet::not_given(const ThingName& thing) {
  const auto groups = store_->list_groups_of_thing(thing, {});
  SKERRY_CHECK(groups.has_value(), "the database can be read");
  for (const ThingGroupName& group : groups->items) {
    const auto latest = store_->latest_deployment(kArnPrefix + "thinggroup/" + group.str());
    if (!latest || latest->status != fleet::DeploymentStatus::kActive) continue;
    if (!store_->find_execution(latest->job_id, thing)) {
      return "deployment " + latest->id.str() + " of group " + group.str();
    }
  }
  return "";
}

std::vector<std::string> SimFleet::arrived(const std::string& topic) const {
  std::vector<std::string> payloads;
  for (const net::MqttMessage& message : broker_.published) {
    if (message.topic == topic) payloads.push_back(message.payload);
  }
  return payloads;
}

std::map<std::string, std::string> SimFleet::reported(const ThingName& thing) {
  std::map<std::string, std::string> components;
  const auto slice = store_->list_installed_components(thing, false, {});
  if (!slice) return components;  // it has not reported yet
  for (const auto& component : slice->items) components[component.name.str()] = component.version;
  return components;
}

// --- The network --------------------------------------------------------------------------------

std::unique_ptr<net::MqttClient> SimFleet::mqtt_client(const ThingName& thing) {
  return broker_.client(client_options(thing.str()));
}

// What is asked for is answered by the store inline: no answer outlives its server.
io::Task<net::HttpResponse> SimFleet::answer(net::HttpRequest request) {
  co_return co_await services_->data_plane.handle(std::move(request));
}

const std::string* SimFleet::content(const std::string& sha256) const {
  const auto found = contents_.find(sha256);
  return found == contents_.end() ? nullptr : &found->second;
}

bool SimFleet::was_published(const std::string& name, const std::string& version,
                             const std::string& content) const {
  const auto found = published_.find(name + " " + version);
  return found != published_.end() && found->second.contains(content);
}

void SimFleet::take_offline(const ThingName& thing, int64_t for_ms) {
  offline_until_ms_[thing] = loop_.now_ms() + for_ms;
  broker_.cut(thing.str());
}

bool SimFleet::reaches_us(const ThingName& thing) const {
  const auto offline = offline_until_ms_.find(thing);
  return is_up() && (offline == offline_until_ms_.end() || offline->second <= loop_.now_ms());
}

}  // namespace skerry::sim
