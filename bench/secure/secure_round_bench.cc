// A round of secure aggregation with many devices in one process: what it costs a device and the
// server, and how much memory the server has needed beside its devices.
//
// usage: secure_round_bench DEVICES PARAMETERS
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "federated/coordinator.h"
#include "federated/secure/participant.h"
#include "io/test_directory.h"

namespace {

using namespace skerry;
using namespace skerry::federated;
using Clock = std::chrono::steady_clock;
using secure::StepKind;

constexpr size_t kOneVanishesOf = 20;  // after it has entrusted its shares

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Adds up what the calls take.
class Stopwatch {
 public:
  template <class Work>
  auto time(Work work) {
    const auto start = Clock::now();
    struct Stop {
      Stopwatch& watch;
      Clock::time_point start;
      ~Stop() { watch.seconds_ += std::chrono::duration<double>(Clock::now() - start).count(); }
    } stop{*this, start};
    return work();
  }
  double seconds() const { return seconds_; }

 private:
  double seconds_ = 0;
};

// Of this process, in MB: "VmRSS" now, "VmHWM" the most since reset_peak().
double memory_mb(const std::string& what) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(what + ":"))
      return std::strtod(line.c_str() + what.size() + 1, nullptr) / 1024;
  }
  return 0;
}

void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

class Round {
 public:
  Round(size_t devices, size_t parameters) : parameters_(parameters) {
    plan_ = {.rounds = 1,
             .wanted = devices,
             .over_selection = 1,
             .quorum = devices * 2 / 3,
             .deadline_s = 1000,
             .clip = 1,
             .secure = true};
    coordinator_ = must(
        Coordinator::open(files_, folder_.path("rounds"), plan_, Vector(parameters, 0), random_));
    for (size_t i = 0; i < devices; ++i) devices_.emplace_back(random_);
  }

  nlohmann::json run() {
    for (size_t i = 0; i < devices_.size(); ++i) {
      must(server_.time([&] { return coordinator_->ask(name(i), 0); }));
    }
    for (size_t i = 0; i < devices_.size(); ++i) {
      auto keys = devices_[i].announce();
      keys.certificate = name(i);
      say(i, {.kind = StepKind::kKeys, .keys = keys});
    }
    for (size_t i = 0; i < devices_.size(); ++i) {
      const secure::Step step = next(i, StepKind::kShares);
      say(i, device_.time([&] { return must(devices_[i].share(step)); }));
    }
    const double before_mb = memory_mb("VmRSS");
    size_t uploaded = 0;
    for (size_t i = 0; i < devices_.size(); ++i) {
      if (i % kOneVanishesOf == kOneVanishesOf - 1) continue;
      upload(i);
      ++uploaded;
    }
    must(coordinator_->tick(plan_.deadline_s + 1));
    reset_peak();
    for (size_t i = 0; i < devices_.size() && coordinator_->rounds() == 0; ++i) {
      if (i % kOneVanishesOf == kOneVanishesOf - 1) continue;
      const secure::Step step = next(i, StepKind::kUnmask);
      say(i, device_.time([&] { return must(devices_[i].unmask(step)); }));
    }
    check();
    const auto all = static_cast<double>(devices_.size());
    return {{"devices", devices_.size()},
            {"parameters", parameters_},
            {"vanished", devices_.size() - uploaded},
            {"peersOfADevice", devices_[0].peers()},
            {"deviceMsPerDevice", device_.seconds() * 1000 / all},
            {"serverMsPerDevice", server_.seconds() * 1000 / all},
            {"roundSeconds", server_.seconds()},
            {"devicesAndServerMb", before_mb},
            {"serverMb", memory_mb("VmHWM") - before_mb}};
  }

 private:
  static std::string name(size_t device) { return "device" + std::to_string(device); }

  secure::Step next(size_t device, StepKind kind) {
    auto step = must(server_.time([&] { return coordinator_->secure_step(name(device), 1); }));
    if (step.kind == kind) return step;
    std::fprintf(stderr, "the round is not where it should be\n");
    std::exit(1);
  }
  void say(size_t device, const secure::Said& said) {
    must(server_.time([&] { return coordinator_->hear(name(device), 1, said, 0); }));
  }
  void upload(size_t i) {
    const secure::Step step = next(i, StepKind::kUpdate);
    const std::string bytes = device_.time([&] {
      must(devices_[i].receive(step));
      Update update{.loss = 1, .delta = Vector(parameters_, 0)};
      update.delta[i % parameters_] = 0.5;
      auto numbers =
          must(secure::to_numbers(update, fixed_point_of(plan_, coordinator_->clip()), 0, random_));
      must(devices_[i].mask(numbers));
      return secure::encode_masked(1, numbers);
    });
    must(server_.time([&] { return coordinator_->upload(name(i), bytes, 0); }));
  }
  // The sum is what was sent.
  void check() const {
    double sum = 0;
    for (const float one : coordinator_->model()) sum += static_cast<double>(one);
    if (coordinator_->rounds() == 1 && sum > 0.49 && sum < 0.51) return;
    std::fprintf(stderr, "the sum is wrong: %g\n", sum);
    std::exit(1);
  }

  size_t parameters_;
  io::ScratchDirectory folder_;
  io::RealFiles files_;
  io::RealRandom random_;
  Plan plan_;
  std::unique_ptr<Coordinator> coordinator_;
  std::vector<secure::Participant> devices_;
  Stopwatch device_, server_;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: secure_round_bench DEVICES PARAMETERS\n");
    return 2;
  }
  const auto devices = std::strtoul(arguments[1], nullptr, 10);
  const auto parameters = std::strtoul(arguments[2], nullptr, 10);
  if (devices < 5 || parameters < 1) {
    std::fprintf(stderr, "at least 5 devices and one parameter\n");
    return 2;
  }
  std::printf("%s\n", Round(devices, parameters).run().dump().c_str());
  return 0;
}
