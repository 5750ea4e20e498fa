// The simulated fleet, its devices and the invariants.
#include "sim/deployment_sim.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "sim/sim_device.h"

namespace skerry::sim {
namespace {

constexpr int64_t kRoundMs = 60'000;
constexpr int64_t kSettleMs = 4 * 3'600'000;

class Simulation {
 public:
  explicit Simulation(const DeploymentSimOptions& options)
      : options_(options),
        random_(options.seed),
        loop_(options.seed),
        fleet_(loop_, random_, faults_) {
    fleet_.deliver = [this](const ThingName& thing, const net::MqttMessage& message) {
      Device& device = *devices_.at(thing);
      if (device.mqtt_ && !device.files_.crashed()) device.mqtt_->arrive(message);
    };
  }

  DeploymentSimReport run() {
    publish_versions();
    for (int i = 0; i < options_.devices; ++i) {
      ThingName thing("device-" + std::to_string(i));
      devices_[thing] = std::make_unique<Device>(loop_, fleet_, thing, random_.next());
      start(*devices_[thing]);
    }
    set_faults(true);
    for (int round = 1; round <= options_.rounds && !report_.violation; ++round) {
      for (auto& [thing, device] : devices_) deploy(*device, round);
      run_until(loop_.now_ms() + kRoundMs, true);
    }
    set_faults(false);
    for (auto& [thing, device] : devices_) heal(*device);
    run_until(loop_.now_ms() + kSettleMs, false);
    for (auto& [thing, device] : devices_) check_settled(*device);
    return report_;
  }

 private:
  void publish_versions() {
    for (int round = 1; round <= options_.rounds; ++round) {
      Kind kind = random_.below(3) > 0 ? Kind::kGood : static_cast<Kind>(1 + random_.below(3));
      publish_generation(fleet_, random_, round, kind);
    }
  }

  void deploy(Device& device, int round) {
    // Sometimes the same generation again, or one from long ago.
    int generation = random_.below(8) == 0
                         ? 1 + static_cast<int>(random_.below(static_cast<uint64_t>(round)))
                         : round;
    fleet_.deploy(device.thing_, {{"app", std::to_string(generation) + ".0.0"}});
    trace(device, "deploy " + std::to_string(generation));
  }

  void set_faults(bool on) {
    faults_ = NetworkFaults{};
    if (!on) return;
    faults_.lose = 0.03;
    faults_.duplicate = 0.05;
    faults_.cut_download = 0.02;
    faults_.corrupt_download = 0.02;
    faults_.max_delay_ms = 200;
  }

  // One event of the loop at a time, so that a crash takes effect right after the event it fell
  // into.
  void run_until(int64_t end_ms, bool with_faults) {
    int64_t next_fault_ms = loop_.now_ms();
    while (!report_.violation && loop_.now_ms() < end_ms) {
      if (with_faults && loop_.now_ms() >= next_fault_ms) {
        next_fault_ms = loop_.now_ms() + 200 + static_cast<int64_t>(random_.below(8'000));
        for (auto& [thing, device] : devices_) inject(*device);
      }
      if (!loop_.step(std::min(end_ms, with_faults ? next_fault_ms : end_ms))) continue;
      for (auto& [thing, device] : devices_) after_event(*device);
    }
  }

  void inject(Device& device) {
    if (!device.nucleus_) return;
    switch (random_.below(12)) {
      case 0:
        device.files_.crash_at(device.files_.operations().size() + random_.below(60));
        break;
      case 1:
        device.files_.crash_now();
        break;
      case 2:
        device.mqtt_->cut(static_cast<int64_t>(random_.below(20'000)));
        break;
      case 3:
        device.clock_.jump(static_cast<int64_t>(random_.below(2ull * 86'400'000 * 3'650)) -
                           86'400'000ll * 3'650);
        break;
      case 4:
        device.files_.set_capacity(random_.below(200'000));
        break;
      case 5:
      case 7:
      case 8:
        device.files_.set_capacity(UINT64_MAX);
        break;
      case 6:
        device.files_.fail_at(device.files_.operations().size() + random_.below(40), 5);
        break;
      default:
        break;
    }
  }

  void after_event(Device& device) {
    if (device.nucleus_ && (device.files_.crashed() || device.wants_restart_)) {
      bool crashed = device.files_.crashed();
      device.power_off();
      if (crashed) {
        ++report_.crashes;
        device.files_.reboot(io::CrashPolicy::kSeeded, random_.next());
      }
      trace(device, crashed ? "power cut" : "restart after a failed write");
      device.boot_at_ms_ = loop_.now_ms() + 100 + static_cast<int64_t>(random_.below(3'000));
      wake_at(device.boot_at_ms_);
    }
    if (!device.nucleus_ && loop_.now_ms() >= device.boot_at_ms_) start(device);
    if (device.nucleus_ && !device.files_.crashed()) check(device);
  }

  void start(Device& device) {
    std::string problem = device.boot();
    if (problem.empty()) return;
    if (device.files_.crashed() || problem.find("No space") != std::string::npos ||
        problem.find("Input/output") != std::string::npos) {
      // An injected fault hit the start itself: it tries again, as its supervisor would do.
      device.power_off();
      if (device.files_.crashed()) device.files_.reboot(io::CrashPolicy::kSeeded, random_.next());
      device.boot_at_ms_ = loop_.now_ms() + 1'000;
      wake_at(device.boot_at_ms_);
      return;
    }
    violate(device, "cannot start: " + problem);
  }

  void heal(Device& device) {
    device.files_.set_capacity(UINT64_MAX);
    device.files_.stop_failing();
    device.files_.crash_at(SIZE_MAX);
    if (device.mqtt_) device.mqtt_->cut(1'000);  // reconnects, and asks for what it missed
  }

  void check(Device& device) {
    if (device.files_.operations().size() == ops_checked_[device.thing_]) return;
    ops_checked_[device.thing_] = device.files_.operations().size();
    std::string problem = check_generation(device);
    if (!problem.empty()) return violate(device, problem);
    std::string version = running_version(device);
    if (std::exchange(version_seen_[device.thing_], version) != version)
      trace(device, "runs " + version);
  }

  // Invariant 3.
  void check_settled(Device& device) {
    if (report_.violation) return;
    std::string expected;
    for (const SimJob& job : fleet_.jobs(device.thing_)) {
      if (!formats::is_terminal(job.status))
        return violate(
            device, job.id.str() + " is still open: " + std::string(formats::name_of(job.status)));
      if (job.status == formats::JobStatus::kSucceeded) {
        ++report_.succeeded;
        expected = nlohmann::json::parse(job.document)["components"]["app"]["version"];
      } else {
        job.status == formats::JobStatus::kCanceled ? ++report_.cancelled : ++report_.failed;
      }
    }
    if (!device.nucleus_) return violate(device, "is off");
    const auto& state = device.nucleus_->state();
    if (state.phase() != nucleus::Phase::kIdle) return violate(device, "is still in a deployment");
    const std::string version = running_version(device);
    // A cancelled job may have been past its switch, so the version of a cancelled one is right as
    // well.
    bool cancelled_one = false;
    for (const SimJob& job : fleet_.jobs(device.thing_)) {
      cancelled_one |=
          job.status == formats::JobStatus::kCanceled &&
          nlohmann::json::parse(job.document)["components"]["app"]["version"] == version;
    }
    if (version != expected && !cancelled_one)
      violate(device, "runs '" + version + "' instead of '" + expected + "'");
    for (const auto& status : device.nucleus_->supervisor().statuses()) {
      if (!nucleus::is_healthy(status.state))
        violate(device, status.name.str() + " is " + std::string(nucleus::name_of(status.state)) +
                            ": " + status.reason);
    }
  }

  void wake_at(int64_t at_ms) {
    wakes_.push_back(loop_.after(at_ms - loop_.now_ms(), [] {}));
  }

  void violate(Device& device, const std::string& what) {
    if (!report_.violation) {
      report_.violation =
          device.thing_.str() + " at " + std::to_string(loop_.now_ms()) + " ms: " + what;
    }
  }

  void trace(Device& device, const std::string& what) {
    std::string line = std::to_string(loop_.now_ms()) + " " + device.thing_.str() + " " + what;
    for (unsigned char c : line)
      report_.digest = (report_.digest ^ c) * 1099511628211ull;  // FNV-1a
    if (options_.trace) std::printf("%s\n", line.c_str());
  }

  DeploymentSimOptions options_;
  DeploymentSimReport report_;
  io::SeededRandom random_;
  SimLoop loop_;
  NetworkFaults faults_;
  SimFleet fleet_;
  std::map<ThingName, std::unique_ptr<Device>> devices_;
  std::map<ThingName, std::string> version_seen_;
  std::map<ThingName, size_t> ops_checked_;
  std::vector<io::Timer> wakes_;
};

}  // namespace

DeploymentSimReport run_deployment_sim(const DeploymentSimOptions& options) {
  return Simulation(options).run();
}

}  // namespace skerry::sim
