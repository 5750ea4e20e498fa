// The simulated devices under faults, and the invariants.
#include "sim/deployment_sim.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "sim/sim_operator.h"

namespace skerry::sim {
namespace {

using nlohmann::json;

constexpr int64_t kRoundMs = 60'000;
const ComponentName kToolName(kTool);

// What the simulation knows of a device besides the device itself.
struct Watched {
  std::string version_seen;
  std::string result_seen;
  size_t operations_checked = 0;
  // The tool counts in its configuration: what it was told is set, and what it was told while its
  // own version was being changed, which is as sure as that job.
  int64_t counter = 0;
  std::optional<std::pair<JobId, int64_t>> with_job;
  std::set<int64_t> published;  // what it was told is published
  bool lost = false;            // both copies of its records were damaged, and it is not repaired
  bool was_lost = false;        // at any time
};

class Simulation {
 public:
  explicit Simulation(const DeploymentSimOptions& options)
      : options_(options),
        random_(options.seed),
        loop_(options.seed),
        fleet_(loop_, random_, faults_),
        operator_(fleet_, random_,
                  [this](const std::string& whom, const std::string& what) { trace(whom, what); }) {
  }

  DeploymentSimReport run() {
    std::vector<ThingName> things;
    for (int i = 0; i < options_.devices; ++i) things.emplace_back("device-" + std::to_string(i));
    operator_.set_up(options_.rounds, things);
    for (const ThingName& thing : things) {
      devices_[thing] = std::make_unique<Device>(loop_, fleet_, thing, random_.next());
      start(*devices_[thing]);
    }
    set_faults(true);
    const int64_t rounds_ms = options_.rounds * kRoundMs;
    const int64_t end_ms =
        options_.liveness
            ? kRoundMs + static_cast<int64_t>(random_.below(static_cast<uint64_t>(rounds_ms)))
            : rounds_ms;
    for (int round = 1; round <= options_.rounds && loop_.now_ms() < end_ms; ++round) {
      if (report_.violation) break;
      // An operator waits for the fleet.
      while (!fleet_.is_up()) run_until(loop_.now_ms() + 1'000, true);
      operator_.deploy(round);
      run_until(std::min(end_ms, loop_.now_ms() + kRoundMs), true);
    }
    set_faults(false);
    while (!fleet_.is_up()) run_until(loop_.now_ms() + 1'000, false);
    operator_.put_back();
    for (auto& [thing, device] : devices_) heal(*device);
    settle();
    for (auto& [thing, device] : devices_) check_settled(*device);
    return report_;
  }

 private:
  void set_faults(bool on) {
    faults_ = NetworkFaults{};
    if (!on) return;
    faults_.cut_mqtt = 0.005;
    faults_.lose_call = 0.03;
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
        if (fleet_.is_up()) trouble_fleet();
      }
      if (!loop_.step(std::min(end_ms, with_faults ? next_fault_ms : end_ms))) continue;
      for (auto& [thing, device] : devices_) after_event(*device);
    }
  }

  void trouble_fleet() {
    if (random_.below(40) == 0) {
      trace("fleet", "restarts");
      fleet_.restart(static_cast<int64_t>(random_.below(20'000)), random_.below(2) == 0);
    } else if (random_.below(5) == 0) {
      operator_.meddle();
    }
  }

  void settle() {
    const int64_t from_ms = loop_.now_ms();
    while (!report_.violation && loop_.now_ms() < from_ms + kSettleMs && !is_settled()) {
      run_until(loop_.now_ms() + 1'000, false);
    }
    report_.settled_ms = loop_.now_ms() - from_ms;
  }

  bool is_settled() {
    for (auto& [thing, device] : devices_) {
      if (!unsettled(*device).empty()) return false;
    }
    return true;
  }

  // What the device still has to do.
  std::string unsettled(Device& device) {
    if (!device.nucleus_) return "is off";
    const auto& state = device.nucleus_->state();
    if (state.phase() != nucleus::Phase::kIdle) return "is still in a deployment";
    if (!state.unreported().empty()) return "has a result to report";
    if (device.nucleus_->spool().waiting() > 0) return "has messages for the cloud";
    if (!state.needs_repair().empty()) return "needs repair: " + state.needs_repair();
    for (const auto& status : device.nucleus_->supervisor().statuses()) {
      if (!nucleus::is_healthy(status.state))
        return status.name.str() + " is " + std::string(nucleus::name_of(status.state)) + ": " +
               status.reason;
    }
    for (const SimJob& job : fleet_.jobs(device.thing_)) {
      if (!fleet::is_terminal(job.status))
        return job.id.str() + " is still open: " + std::string(fleet::to_string(job.status));
    }
    std::map<std::string, std::string> runs;
    for (const auto& [name, component] : state.components()) runs[name.str()] = component.version;
    if (fleet_.reported(device.thing_) != runs) return "runs something else than the fleet knows";
    return "";
  }

  void inject(Device& device) {
    if (!device.nucleus_) return;
    switch (random_.below(16)) {
      case 0:
        device.files_.crash_at(device.files_.operations().size() + random_.below(60));
        break;
      case 1:
        device.files_.crash_now();
        break;
      case 2:
        fleet_.take_offline(device.thing_, static_cast<int64_t>(random_.below(20'000)));
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
      case 9:
      case 10:
      case 11:
      case 12:
        count(device);
        break;
      default:
        break;
    }
  }

  // The tool sets its counter, whatever else goes on.
  void count(Device& device) {
    auto& state = device.nucleus_->state();
    if (device.files_.crashed() || !state.components().contains(kToolName)) return;
    const int64_t next = ++numbers_;
    state.config().update(kToolName, {"counter"}, next, device.clock_.wall_ms(),
                          [this, &device, next](const Result<std::vector<nucleus::KeyPath>>& set) {
                            // Nothing changes where the clock went back.
                            if (set && !set->empty()) note_count(device, next);
                          });
    publish(device, next);
  }

  // And tells the cloud so.
  void publish(Device& device, int64_t number) {
    (void)device.nucleus_->spool().publish(
        {.topic = topic_of(device), .payload = std::to_string(number), .qos = 1},
        [this, &device, number](const Error* error) {
          if (error || !device.nucleus_ || device.files_.crashed()) return;
          watched_[device.thing_].published.insert(number);
        });
  }

  static std::string topic_of(const Device& device) {
    return "$aws/things/" + device.thing_.str() + "/count";
  }

  // All that the tool was told is published has arrived, the first of each in order.
  std::string check_published(Device& device) {
    const std::set<int64_t>& published = watched_[device.thing_].published;
    std::set<int64_t> seen;
    int64_t newest = 0;
    for (const std::string& payload : fleet_.arrived(topic_of(device))) {
      const int64_t number = std::stoll(payload);
      if (!seen.insert(number).second || !published.contains(number)) continue;
      if (number < newest)
        return "message " + payload + " came first after " + std::to_string(newest);
      newest = number;
    }
    for (const int64_t number : published) {
      if (!seen.contains(number))
        return "message " + std::to_string(number) + " was published, and is lost";
    }
    report_.published += static_cast<int>(published.size());
    return "";
  }

  void note_count(Device& device, int64_t count) {
    if (!device.nucleus_ || device.files_.crashed()) return;  // nobody is left to be told
    const auto& state = device.nucleus_->state();
    const auto tool = state.components().find(kToolName);
    if (tool == state.components().end()) return;
    bool changes = false;
    if (state.phase() == nucleus::Phase::kActivating) {
      const auto& before = state.previous().components;
      const auto old = before.find(kToolName);
      changes = old == before.end() || old->second.package() != tool->second.package();
    }
    trace(device.thing_.str(),
          "counts to " + std::to_string(count) + (changes ? " in a change" : ""));
    Watched& watched = watched_[device.thing_];
    if (changes) {
      watched.with_job.emplace(state.pending_job().job, count);
    } else {
      watched.counter = count;
    }
  }

  void after_event(Device& device) {
    if (device.nucleus_ && (device.files_.crashed() || device.wants_restart_)) {
      bool crashed = device.files_.crashed();
      device.power_off();
      if (crashed) {
        ++report_.crashes;
        const Damage damage = faults_.lose_call > 0 ? draw_damage() : Damage::kNone;
        // The copy is written back in its own time (io/journal.h): damage to the journal itself and
        // a power cut before that are two faults at once.
        device.files_.reboot(
            damage == Damage::kMain ? io::CrashPolicy::kKeepAll : io::CrashPolicy::kSeeded,
            random_.next());
        inflict(device, damage);
      }
      trace(device.thing_.str(), crashed ? "power cut" : "restart after a failed write");
      device.boot_at_ms_ = loop_.now_ms() + 100 + static_cast<int64_t>(random_.below(3'000));
      wake_at(device.boot_at_ms_);
    }
    if (!device.nucleus_ && loop_.now_ms() >= device.boot_at_ms_) start(device);
    if (device.nucleus_ && !device.files_.crashed()) check(device);
  }

  // What happened to the two copies of the journal while the device was off.
  enum class Damage { kNone, kMain, kCopy, kBoth };
  Damage draw_damage() {
    const uint64_t draw = random_.below(60);
    if (draw == 0) return Damage::kBoth;
    return draw >= 10 ? Damage::kNone : draw % 2 == 0 ? Damage::kMain : Damage::kCopy;
  }

  // A full disk may have no room for the copy.
  static bool has_whole_copy(Device& device) {
    const std::string state = device.info_.state_directory();
    const auto names = device.files_.list(state);
    if (!names) return false;
    return std::ranges::all_of(*names, [&](const std::string& name) {
      const auto copy = io::read_file(device.files_, state + ".copy/" + name);
      return copy && *copy == io::read_file(device.files_, state + "/" + name);
    });
  }

  void inflict(Device& device, Damage damage) {
    if (damage == Damage::kNone || (damage == Damage::kMain && !has_whole_copy(device))) return;
    const bool both = damage == Damage::kBoth;
    trace(device.thing_.str(), both ? "loses its journal" : "has a damaged journal");
    const std::string state = device.info_.state_directory();
    for (const std::string& directory : {state, state + ".copy"}) {
      if (!both && (directory == state) != (damage == Damage::kMain)) continue;
      const auto names = device.files_.list(directory);
      for (size_t i = 0; names && i < names->size(); ++i)
        damage_file(device, directory + "/" + (*names)[i], both);
    }
    if (!both) return;
    ++report_.losses;
    watched_[device.thing_].lost = watched_[device.thing_].was_lost = true;
    watched_[device.thing_].counter = 0;
    watched_[device.thing_].with_job.reset();
  }

  void damage_file(Device& device, const std::string& path, bool emptied) {
    auto bytes = io::read_file(device.files_, path);
    if (!bytes || bytes->empty()) return;
    device.files_.set_capacity(UINT64_MAX);
    device.files_.stop_failing();
    if (emptied) {
      bytes->clear();
    } else {
      (*bytes)[random_.below(bytes->size())] ^= 1;
    }
    (void)io::write_file_atomic(device.files_, path, *bytes);
    device.files_.reboot(io::CrashPolicy::kKeepAll);
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
  }

  // Invariants 1 and 2.
  void check(Device& device) {
    Watched& watched = watched_[device.thing_];
    if (device.files_.operations().size() == watched.operations_checked) return;
    watched.operations_checked = device.files_.operations().size();
    const auto& state = device.nucleus_->state();
    if (const auto& result = state.last_result();
        result && std::exchange(watched.result_seen, result->job.str()) != result->job.str()) {
      trace(device.thing_.str(), "ended " + result->deployment.str() + " of " + result->target +
                                     " as " + result->detailed_status + " " + result->reason);
    }
    if (watched.lost) {
      watched.lost = !state.needs_repair().empty();
      if (!watched.lost) trace(device.thing_.str(), "is repaired");
      if (watched.lost) return;
    }
    std::string problem = check_generation(device);
    if (!problem.empty()) return violate(device, problem);
    problem = check_counter(state, watched);
    if (!problem.empty()) return violate(device, problem);
    std::string version = running_version(device);
    if (std::exchange(watched.version_seen, version) != version)
      trace(device.thing_.str(), "runs " + version);
  }

  std::string check_counter(const nucleus::DeviceState& state, Watched& watched) {
    if (watched.with_job && state.phase() == nucleus::Phase::kIdle) {
      const auto& result = state.last_result();
      if (result && result->job == watched.with_job->first && result->status == "SUCCEEDED")
        watched.counter = watched.with_job->second;
      watched.with_job.reset();
    }
    if (!state.components().contains(kToolName)) {
      watched.counter = 0;
      return "";
    }
    const auto counter = state.config().tree().get(kToolName, {"counter"});
    const int64_t now = counter ? counter->get<int64_t>() : 0;
    if (now >= watched.counter) return "";
    return "the tool's counter went from " + std::to_string(watched.counter) + " to " +
           std::to_string(now);
  }

  // Invariants 3 and 4.
  void check_settled(Device& device) {
    if (report_.violation) return;
    if (const std::string problem = unsettled(device); !problem.empty())
      return violate(device, problem);
    if (const std::string missing = fleet_.not_given(device.thing_); !missing.empty())
      return violate(device, "was never given " + missing);
    if (const std::string wrong = check_published(device); !wrong.empty())
      return violate(device, wrong);
    std::map<std::string, fleet::Deployment> expected;      // by target
    std::map<std::string, std::set<std::string>> possible;  // begun before they were cancelled
    for (const SimJob& job : fleet_.jobs(device.thing_)) {
      trace(device.thing_.str(), "was given " + job.deployment.id.str() + " of " + job.target +
                                     ": " + std::string(fleet::to_string(job.status)));
      if (job.status == fleet::ExecutionStatus::kSucceeded) {
        ++report_.succeeded;
        expected[job.target] = job.deployment;
        possible[job.target].clear();
      } else if (job.status == fleet::ExecutionStatus::kCanceled) {
        ++report_.cancelled;
        possible[job.target].insert(job.deployment.id.str());
      } else {
        ++report_.failed;
        if (job.status == fleet::ExecutionStatus::kRejected &&
            operator_.is_newest(job.target, job.deployment.id.str()))
          violate(device, "refused the newest deployment of " + job.target);
      }
    }
    const auto& targets = device.nucleus_->state().targets();
    for (const auto& [target, deployment] : expected) {
      const bool is_member = target.starts_with("thing/") ||
                             fleet_.is_member(device.thing_, target.substr(target.find('/') + 1));
      if (!is_member) continue;
      const auto found = targets.find(target);
      const std::string runs = found == targets.end() ? "nothing" : found->second.deployment_id;
      if (runs == deployment.id.str() || possible[target].contains(runs) ||
          operator_.has_removed(runs))
        continue;
      // It gives up what it had when it is taken out of the group, or loses its records; what then
      // brings it back may be cancelled, or fail.
      const bool may_be_gone =
          operator_.has_left_since(device.thing_, target, deployment.sequence) ||
          (watched_[device.thing_].was_lost && !possible[target].empty());
      if (runs == "nothing" && may_be_gone) continue;
      violate(device, "runs " + runs + " of " + target + " instead of " + deployment.id.str());
    }
  }

  void wake_at(int64_t at_ms) {
    wakes_.push_back(loop_.after(at_ms - loop_.now_ms(), [] {}));
  }

  void violate(Device& device, const std::string& what) {
    if (!report_.violation) {
      report_.violation =
          device.thing_.str() + " at " + std::to_string(loop_.now_ms()) + " ms: " + what;
      if (device.nucleus_ && !device.nucleus_->state().needs_repair().empty())
        *report_.violation += " (needs repair: " + device.nucleus_->state().needs_repair() + ")";
    }
  }

  void trace(const std::string& whom, const std::string& what) {
    std::string line = std::to_string(loop_.now_ms()) + " " + whom + " " + what;
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
  SimOperator operator_;
  std::map<ThingName, std::unique_ptr<Device>> devices_;
  std::map<ThingName, Watched> watched_;
  int64_t numbers_ = 0;
  std::vector<io::Timer> wakes_;
};

}  // namespace

DeploymentSimReport run_deployment_sim(const DeploymentSimOptions& options) {
  return Simulation(options).run();
}

}  // namespace skerry::sim
