// What a test says to the simulated nucleus, and what that has said.
#include "sim/nucleus_fixture.h"

namespace skerry::sim {

void NucleusJobs::boot(const std::function<void()>& before_start) {
  nucleus_.reset();
  mqtt_.reset();
  mqtt_ = broker_.client(client(kThing.str()));
  broker_.published.clear();
  nucleus::Nucleus::Hooks hooks;
  hooks.on_fatal = [this](const Error& error) { fatal_ = error.message(); };
  hooks.on_restart = [this] { ++restarts_; };
  hooks.reboot_command = reboot_command_;
  auto opened = nucleus::Nucleus::open(env_, info_, cloud_, *mqtt_, std::move(hooks));
  ASSERT_TRUE(opened) << opened.error().message();
  nucleus_ = std::move(*opened);
  if (before_start) before_start();
  nucleus_->start();
  run(10);
}

std::vector<Update> NucleusJobs::updates() {
  std::vector<Update> found;
  for (const auto& message : broker_.published) {
    auto topic = formats::parse_job_topic(message.topic);
    if (topic && topic->kind == JobTopicKind::kUpdate)
      found.push_back({topic->job, formats::parse_job_update_request(message.payload).value()});
  }
  return found;
}

std::string NucleusJobs::outcome(const std::vector<Update>& all) {
  if (all.empty()) return "";
  auto details = all.back().request.status_details;
  return std::string(formats::name_of(all.back().request.status)) + " " +
         details["detailed-deployment-status"];
}

size_t NucleusJobs::questions() {
  return static_cast<size_t>(std::count_if(broker_.published.begin(), broker_.published.end(),
                                           [](const net::MqttMessage& message) {
                                             auto topic = formats::parse_job_topic(message.topic);
                                             return topic && topic->kind == JobTopicKind::kGet;
                                           }));
}

std::vector<formats::FleetStatus> NucleusJobs::fleet_statuses() {
  std::vector<formats::FleetStatus> found;
  for (const auto& message : broker_.published) {
    if (formats::parse_fleet_status_topic(message.topic))
      found.push_back(formats::parse_fleet_status(message.payload).value());
  }
  return found;
}

std::string NucleusJobs::running() {
  std::string text;
  for (const auto& status : nucleus_->supervisor().statuses()) {
    text += (text.empty() ? "" : " ") + status.name.str() + "=" + status.version;
    if (status.state != nucleus::ComponentState::kRunning)
      text += "(" + std::string(nucleus::name_of(status.state)) + ")";
  }
  return text;
}

void NucleusJobs::answer_that_nothing_is_to_do() {
  std::string token;
  for (const auto& message : broker_.published) {
    auto topic = formats::parse_job_topic(message.topic);
    if (topic && topic->kind == JobTopicKind::kGet)
      token = json::parse(message.payload)["clientToken"];
  }
  formats::NextJob none;
  none.client_token = token;
  deliver({JobTopicKind::kGetAccepted, kThing}, formats::to_text(none));
}

json NucleusJobs::document(const std::string& target, int revision, const json& components) {
  const auto slash = target.find('/');
  const auto kind = target.starts_with("thing/") ? formats::Target::Kind::kThing
                                                 : formats::Target::Kind::kThingGroup;
  return {{"deploymentId", "d" + std::to_string(revision)},
          {"configurationArn",
           formats::configuration_arn({}, {{kind, target.substr(slash + 1)}, revision})},
          {"creationTimestamp", 1'767'225'600'000},
          {"components", components}};
}

}  // namespace skerry::sim
