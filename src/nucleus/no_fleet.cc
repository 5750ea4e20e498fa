// Answers at once, always the same.
#include "nucleus/no_fleet.h"

#include "formats/public_components.h"

namespace skerry::nucleus {
namespace {

std::unexpected<Error> no_fleet(Code code) {
  return fail(code,
              "this device has no fleet: deploy it locally with its recipe (skerry device deploy "
              "--recipe-dir), or give the device a fleet (skerry device provision)");
}

class NoCloud : public Cloud {
 public:
  io::Task<Result<std::vector<std::string>>> thing_groups() override {
    co_return no_fleet(Code::kPermissionDenied);
  }
  io::Task<Result<Candidate>> resolve(ComponentName name,
                                      std::map<std::string, std::string> requirements) override {
    for (const formats::Version& version : formats::provided_versions(name)) {
      bool fits = true;
      for (const auto& [who, text] : requirements) {
        SKERRY_CO_ASSIGN(const auto range, formats::VersionRange::parse(text));
        fits &= range.matches(version);
      }
      if (fits)
        co_return Candidate{"", name, version.str(), formats::provided_recipe(name, version)};
    }
    co_return no_fleet(Code::kNotFound);
  }
  io::Task<Result<std::string>> artifact_url(std::string, std::string) override {
    co_return no_fleet(Code::kNotFound);
  }
  io::Task<Result<void>> download(std::string, uint64_t, DownloadSink*) override {
    co_return no_fleet(Code::kNotFound);
  }
};

class NoBroker : public net::MqttClient {
 public:
  void start(Events) override {}
  bool connected() const override { return false; }
  Result<void> publish(net::MqttMessage, Done) override { return no_fleet(Code::kUnavailable); }
  net::MqttBacklog backlog() const override { return {}; }
  Result<void> subscribe(net::MqttSubscription, Done) override { return {}; }
  void unsubscribe(const std::string&) override {}
};

}  // namespace

std::unique_ptr<Cloud> make_no_cloud() {
  return std::make_unique<NoCloud>();
}

std::unique_ptr<net::MqttClient> make_no_broker() {
  return std::make_unique<NoBroker>();
}

}  // namespace skerry::nucleus
