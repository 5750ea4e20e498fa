// The simulated control plane and the lossy network to it.
#include "sim/sim_fleet.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/arn.h"
#include "formats/recipe.h"

namespace skerry::sim {
namespace {

using formats::JobStatus;
using formats::JobTopicKind;
using nlohmann::json;

constexpr size_t kPieceBytes = 256;

}  // namespace

bool SimFleet::chance(double probability) {
  return probability > 0 && static_cast<double>(random_.below(1'000'000)) < probability * 1e6;
}

void SimFleet::publish(const std::string& name, const std::string& version, std::string recipe,
                       std::map<std::string, std::string> artifacts) {
  for (const auto& [file, bytes] : artifacts) {
    const std::string variable = "{digest:" + file + "}";
    if (size_t at = recipe.find(variable); at != std::string::npos) {
      recipe.replace(at, variable.size(), base64_encode(sha256(bytes)));
    }
  }
  components_[name][version] = {std::move(recipe), std::move(artifacts)};
}

void SimFleet::deploy(const ThingName& thing,
                      const std::map<std::string, std::string>& components) {
  auto& jobs = jobs_[thing];
  for (SimJob& job : jobs) {
    if (!formats::is_terminal(job.status)) job.status = JobStatus::kCanceled;
  }
  SimJob job;
  job.revision = static_cast<int>(jobs.size()) + 1;
  job.id = JobId("job-" + std::to_string(job.revision));
  job.queued_at = 1'700'000'000 + job.revision;
  json listed = json::object();
  for (const auto& [name, version] : components) listed[name] = {{"version", version}};
  job.document = json{
      {"deploymentId", "deployment-" + std::to_string(job.revision)},
      {"configurationArn", formats::configuration_arn(
                               {}, {{formats::Target::Kind::kThing, thing.str()}, job.revision})},
      {"creationTimestamp", job.queued_at * 1000},
      {"components",
       listed}}.dump();
  jobs.push_back(std::move(job));
  notify(thing);
}

const SimJob* SimFleet::next_of(const ThingName& thing) const {
  auto jobs = jobs_.find(thing);
  if (jobs == jobs_.end()) return nullptr;
  for (const SimJob& job : jobs->second) {
    if (!formats::is_terminal(job.status)) return &job;
  }
  return nullptr;
}

formats::NextJob SimFleet::next_message(const ThingName& thing, std::string token) const {
  formats::NextJob next;
  next.timestamp = 1'700'000'000;
  next.client_token = std::move(token);
  if (const SimJob* job = next_of(thing)) {
    formats::JobExecution execution;
    execution.job_id = job->id;
    execution.thing = thing;
    execution.status = job->status;
    execution.queued_at = job->queued_at;
    execution.last_updated_at = job->queued_at;
    execution.version_number = job->version;
    execution.job_document = formats::share(json::parse(job->document));
    next.execution = std::move(execution);
  }
  return next;
}

void SimFleet::notify(const ThingName& thing) {
  send(thing, formats::JobTopic{JobTopicKind::kNotifyNext, thing}.str(),
       formats::to_text(next_message(thing, "")));
}

void SimFleet::send(const ThingName& thing, std::string topic, std::string payload) {
  int copies = chance(faults_.lose) ? 0 : chance(faults_.duplicate) ? 2 : 1;
  for (; copies > 0; --copies) {
    net::MqttMessage message{topic, payload, 1};
    int64_t delay_ms =
        static_cast<int64_t>(random_.below(static_cast<uint64_t>(faults_.max_delay_ms) + 1));
    in_flight_.spawn(deliver_later(this, thing, message, delay_ms));
  }
}

io::Task<void> SimFleet::deliver_later(SimFleet* fleet, ThingName thing, net::MqttMessage message,
                                       int64_t delay_ms) {
  co_await io::sleep(fleet->loop_, delay_ms);
  fleet->deliver(thing, message);
}

void SimFleet::receive(const ThingName& thing, const net::MqttMessage& message) {
  auto topic = formats::parse_job_topic(message.topic);
  if (!topic) return;
  if (topic->kind == JobTopicKind::kGet) {
    auto request = formats::parse_job_get_request(message.payload);
    send(thing, formats::JobTopic{JobTopicKind::kGetAccepted, thing}.str(),
         formats::to_text(next_message(thing, request ? request->client_token : "")));
  } else if (topic->kind == JobTopicKind::kUpdate) {
    update(thing, *topic, message);
  }
}

void SimFleet::update(const ThingName& thing, const formats::JobTopic& topic,
                      const net::MqttMessage& message) {
  auto request = formats::parse_job_update_request(message.payload);
  auto& jobs = jobs_[thing];
  auto job = std::find_if(jobs.begin(), jobs.end(),
                          [&](const SimJob& j) { return j.id.str() == topic.job; });
  if (!request || job == jobs.end() || formats::is_terminal(job->status)) {
    // A repeated report of the same end is what the device must be able to send.
    formats::JobRejected rejected{1'700'000'000, "InvalidStateTransition",
                                  "the execution has ended", ""};
    send(thing, formats::JobTopic{JobTopicKind::kUpdateRejected, thing, topic.job}.str(),
         formats::to_text(rejected));
    return;
  }
  job->status = request->status;
  job->details = request->status_details;
  ++job->version;
  formats::JobUpdateAccepted accepted;
  accepted.client_token = request->client_token;
  send(thing, formats::JobTopic{JobTopicKind::kUpdateAccepted, thing, topic.job}.str(),
       formats::to_text(accepted));
  if (formats::is_terminal(job->status)) notify(thing);
}

Result<nucleus::Candidate> SimFleet::resolve(const ComponentName& name,
                                             const std::map<std::string, std::string>& wants) {
  auto versions = components_.find(name.str());
  if (versions != components_.end()) {
    for (auto it = versions->second.rbegin(); it != versions->second.rend(); ++it) {
      auto version = formats::Version::parse(it->first);
      bool fits = version.has_value();
      for (const auto& [who, range] : wants)
        fits = fits && formats::VersionRange::parse(range)->matches(*version);
      if (fits) {
        return nucleus::Candidate{formats::component_version_arn({}, {name, *version}), name,
                                  it->first, it->second.recipe};
      }
    }
  }
  return fail(Code::kNotFound, "no version of " + name.str() + " fits");
}

const std::string* SimFleet::artifact(const std::string& url) const {
  // NAME:VERSION/FILE
  size_t colon = url.find(':'), slash = url.find('/');
  auto versions = components_.find(url.substr(0, colon));
  if (versions == components_.end()) return nullptr;
  auto version = versions->second.find(url.substr(colon + 1, slash - colon - 1));
  if (version == versions->second.end()) return nullptr;
  auto found = version->second.artifacts.find(url.substr(slash + 1));
  return found == version->second.artifacts.end() ? nullptr : &found->second;
}

io::Task<Result<void>> SimCloud::travel() {
  co_await io::sleep(fleet_.loop(), static_cast<int64_t>(fleet_.random().below(
                                        static_cast<uint64_t>(fleet_.faults().max_delay_ms) + 1)));
  if (fleet_.chance(fleet_.faults().lose))
    co_return fail(Code::kUnavailable, "the network lost the call");
  co_return Result<void>();
}

io::Task<Result<std::vector<std::string>>> SimCloud::thing_groups() {
  SKERRY_CO_TRY(co_await travel());
  co_return std::vector<std::string>{};
}

io::Task<Result<nucleus::Candidate>> SimCloud::resolve(ComponentName name,
                                                       std::map<std::string, std::string> wants) {
  SKERRY_CO_TRY(co_await travel());
  co_return fleet_.resolve(name, wants);
}

io::Task<Result<std::string>> SimCloud::artifact_url(std::string component_arn,
                                                     std::string artifact) {
  SKERRY_CO_TRY(co_await travel());
  SKERRY_CO_ASSIGN(auto id, formats::parse_component_version_arn(component_arn));
  co_return id.name.str() + ":" + id.version.str() + "/" + artifact;
}

io::Task<Result<void>> SimCloud::download(std::string url, uint64_t offset,
                                          nucleus::DownloadSink* sink) {
  SKERRY_CO_TRY(co_await travel());
  const std::string* found = fleet_.artifact(url);
  if (!found) co_return fail(Code::kNotFound, "no such artifact");
  std::string bytes = *found;
  if (offset > bytes.size()) co_return fail(Code::kInvalidArgument, "HTTP 416");
  if (fleet_.chance(fleet_.faults().corrupt_download) && offset < bytes.size())
    bytes[bytes.size() - 1] ^= 1;
  if (fleet_.chance(0.1)) offset = 0;  // a server without ranges
  SKERRY_CO_TRY(co_await sink->begin(offset, bytes.size() - offset));
  for (; offset < bytes.size(); offset += kPieceBytes) {
    co_await io::sleep(fleet_.loop(), 1);
    if (fleet_.chance(fleet_.faults().cut_download))
      co_return fail(Code::kUnavailable, "the connection broke");
    SKERRY_CO_TRY(co_await sink->write(bytes.substr(offset, kPieceBytes)));
  }
  co_return Result<void>();
}

void SimMqtt::start(Events events) {
  events_ = std::move(events);
  connect_after(5);
}

void SimMqtt::connect_after(int64_t delay_ms) {
  timer_ = fleet_.loop().after(delay_ms, [this] {
    connected_ = true;
    for (const auto& message : std::exchange(queued_, {})) (void)publish(message, {});
    events_.on_connected(false);
  });
}

void SimMqtt::cut(int64_t for_ms) {
  if (!connected_) return;
  connected_ = false;
  events_.on_disconnected(Error(Code::kUnavailable, "cut"));
  connect_after(for_ms);
}

Result<void> SimMqtt::publish(net::MqttMessage message, Done) {
  if (dead_) return {};
  if (!connected_) {
    queued_.push_back(std::move(message));
    return {};
  }
  int copies = fleet_.chance(fleet_.faults().lose)        ? 0
               : fleet_.chance(fleet_.faults().duplicate) ? 2
                                                          : 1;
  for (; copies > 0; --copies) {
    // Posted, as a network is never synchronous.
    fleet_.loop().post(
        [fleet = &fleet_, thing = thing_, message] { fleet->receive(thing, message); });
  }
  return {};
}

Result<void> SimMqtt::subscribe(net::MqttSubscription subscription, Done) {
  filters_.push_back(std::move(subscription.filter));
  return {};
}
void SimMqtt::unsubscribe(const std::string& filter) {
  std::erase(filters_, filter);
}

void SimMqtt::arrive(const net::MqttMessage& message) {
  if (dead_ || !connected_) return;
  for (const std::string& filter : filters_) {
    if (net::mqtt_matches(filter, message.topic)) return events_.on_message(message);
  }
}

}  // namespace skerry::sim
