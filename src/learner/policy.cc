// Rules, one after the other.
#include "learner/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace skerry::learner {
namespace {

constexpr size_t kLineBytes = 4096;
constexpr const char* kSupplies = "/sys/class/power_supply";
// What rounding to 8 bits can add to the length of an update.
constexpr double kRoom = 1.05;

// Of a file whose size the kernel does not say; "" where it cannot be read.
std::string line_of(io::Files& files, const std::string& path) {
  auto file = files.open(path, io::OpenMode::kRead);
  if (!file) return "";
  auto text = (*file)->read_at(0, kLineBytes);
  if (!text) return "";
  return text->substr(0, text->find('\n'));
}

double limit_of(const LocalPolicy& policy, const federated::TaskMessage& task) {
  const double asked = task.local.clip;
  if (policy.longest_update <= 0) return asked;
  return asked > 0 ? std::min(asked, policy.longest_update) : policy.longest_update;
}

// Mains that are there and off; a machine without any hangs on them always.
bool is_on_battery(io::Files& files) {
  const auto supplies = files.list(kSupplies);
  if (!supplies) return false;
  bool has_mains = false;
  for (const std::string& name : *supplies) {
    const std::string path = std::string(kSupplies) + "/" + name;
    if (line_of(files, path + "/type") != "Mains") continue;
    if (line_of(files, path + "/online") == "1") return false;
    has_mains = true;
  }
  return has_mains;
}

}  // namespace

Result<void> check(const LocalPolicy& policy, const federated::TaskMessage& task, size_t rows) {
  if (rows < std::max<size_t>(policy.fewest_rows, 1)) {
    return fail(Code::kFailedPrecondition,
                fmt::format("{} rows of {} are too few here: {} at least", rows, task.data,
                            policy.fewest_rows));
  }
  if (task.model_bytes > policy.most_model_bytes) {
    return fail(
        Code::kPermissionDenied,
        fmt::format("a model of {} bytes is too large for this device's policy", task.model_bytes));
  }
  if (policy.only_secure && !task.secure && task.kind == federated::Task::Kind::kTrain) {
    return fail(Code::kPermissionDenied,
                "this device's policy wants secure aggregation, the training has none");
  }
  if (task.noise < policy.least_noise) {
    return fail(Code::kPermissionDenied,
                fmt::format("this device's policy wants noise {:g} at least, the training has {:g}",
                            policy.least_noise, task.noise));
  }
  return {};
}

void apply(const LocalPolicy& policy, federated::Update& update) {
  if (policy.longest_update > 0) federated::clip(update.delta, policy.longest_update);
  if (policy.tells_counts) return;
  update.examples = 1;
  update.steps = 1;
  update.loss = 0;
}

void apply(const LocalPolicy& policy, federated::Evaluation& evaluation) {
  if (policy.tells_counts) return;
  // In whole percents: a fraction would tell of how many rows it is one.
  const double share = evaluation.rows > 0 ? evaluation.correct / evaluation.rows : 0;
  evaluation = {.rows = 1, .correct = std::round(share * 100) / 100, .loss = 0};
}

Result<void> check_outgoing(const LocalPolicy& policy, const federated::TaskMessage& task,
                            std::string_view encoded) {
  if (policy.only_secure) {
    return fail(Code::kPermissionDenied, "an update without masks is not sent");
  }
  SKERRY_ASSIGN(
      const auto update,
      federated::decode_update(encoded, federated::numbers_of(task.local, task.parameters)));
  const double limit = limit_of(policy, task);
  if (limit > 0 && !(federated::length_of(update.delta) <= limit * kRoom)) {
    return fail(Code::kPermissionDenied, "the update is longer than it may be: it is not sent");
  }
  const bool tells = update.examples != 1 || update.steps != 1 || update.loss != 0;
  if (!policy.tells_counts && tells) {
    return fail(Code::kPermissionDenied, "the update tells of this device's rows: it is not sent");
  }
  return {};
}

std::string busy_with(const LocalPolicy& policy, io::Files& files) {
  if (policy.most_load > 0) {
    const std::string line = line_of(files, "/proc/loadavg");
    double load = 0;
    std::from_chars(line.data(), line.data() + line.size(), load);
    if (load > policy.most_load) return fmt::format("other work: the load is {:g}", load);
  }
  if (policy.only_on_mains && is_on_battery(files)) return "saving the battery";
  return "";
}

}  // namespace skerry::learner
