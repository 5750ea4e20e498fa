// Finding out what the machine offers, and the tree on it.
#include "io/containment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <optional>

namespace skerry::io {
namespace {

constexpr int64_t kKillMs = 5000;
constexpr int kCpuPeriodUs = 100'000;
constexpr std::string_view kLeafSuffix = ".nucleus";
constexpr int kMaxNames = 1000;  // taken by groups whose processes do not die

std::string unit_directory(const std::string& unit) {
  return "/unit-" + unit;  // a component may be called "cgroup.procs"
}

Result<void> make_group(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return fail(errno_error("make the control group", directory, errno));
}

bool has_file(const std::string& directory, std::string_view name) {
  return ::access((directory + "/" + std::string(name)).c_str(), W_OK) == 0;
}

bool has_word(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const bool begins = at == 0 || text[at - 1] == ' ';
    const size_t end = at + word.size();
    if (begins && (end == text.size() || text[end] == ' ' || text[end] == '\n')) return true;
  }
  return false;
}

// The file that sets a limit.
std::string_view limit_file(Controller controller, bool unified) {
  switch (controller) {
    case Controller::kPids:
      return "pids.max";
    case Controller::kMemory:
      return unified ? "memory.max" : "memory.limit_in_bytes";
    case Controller::kCpu:
      return unified ? "cpu.max" : "cpu.cfs_quota_us";
  }
  return "";
}

bool has_limit(Controller controller, const GroupLimits& limits) {
  switch (controller) {
    case Controller::kPids:
      return limits.processes.has_value();
    case Controller::kMemory:
      return limits.memory_bytes.has_value();
    case Controller::kCpu:
      return limits.cpus.has_value();
  }
  return false;
}

// What is written to it; where nothing is limited, the word for that.
std::string limit_text(Controller controller, bool unified, const GroupLimits& limits) {
  switch (controller) {
    case Controller::kPids:
      return limits.processes ? std::to_string(*limits.processes) : "max";
    case Controller::kMemory:
      if (limits.memory_bytes) return std::to_string(*limits.memory_bytes);
      return unified ? "max" : "-1";
    case Controller::kCpu:
      if (!limits.cpus) return unified ? "max" : "-1";
      return std::to_string(std::max<int64_t>(1000, std::llround(*limits.cpus * kCpuPeriodUs)));
  }
  return "";
}

// Where others share the group it fails: then there are no such limits.
void pass_down_controllers(const std::string& own, const std::string& name) {
  const std::string offered = read_group_file(own, "cgroup.controllers");
  for (Controller controller : kControllers) {
    if (!has_word(offered, name_of(controller))) continue;
    (void)pass_down(own, name, name_of(controller));
  }
}

bool has_controller(const Hierarchy& hierarchy, std::string_view name) {
  return std::ranges::find(hierarchy.controllers, name) != hierarchy.controllers.end();
}

// The hierarchies in which processes can be found, the best first: version 2, then one whose limit
// stops a fork bomb, then any that takes a process without more ado.
std::vector<Hierarchy> trackers(const std::vector<Hierarchy>& all) {
  std::vector<Hierarchy> best, others;
  for (const Hierarchy& each : all) {
    if (has_controller(each, "cpuset")) continue;  // version 1: closed until it has been set up
    const bool good = each.unified || has_controller(each, name_of(Controller::kPids));
    (good ? best : others).push_back(each);
  }
  best.insert(best.end(), others.begin(), others.end());
  return best;
}

// A program that was started again inside its own leaf (by exec) is still in the group above.
std::vector<Hierarchy> own_hierarchies(const std::string& name) {
  auto found = parse_hierarchies(read_group_file("/proc/self", "mountinfo"),
                                 read_group_file("/proc/self", "cgroup"));
  for (Hierarchy& hierarchy : found) {
    const std::string leaf = "/" + name + std::string(kLeafSuffix);
    if (hierarchy.own_directory.ends_with(leaf)) {
      hierarchy.own_directory.resize(hierarchy.own_directory.size() - leaf.size());
    }
  }
  return found;
}

std::optional<uint64_t> number_in(std::string_view text) {
  uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() ? std::optional(number) : std::nullopt;  // "max": none
}

// Version 2 hands controllers to the groups below only where no process is in the group itself (the
// machine's root excepted): so this program moves to a group of its own beside its children's.
// Before it asks: the kernel does not refuse pids and cpu, which may count threads, but makes the
// group one of threads, and no process can be put below it any more.
Result<void> leave_group(const std::string& own, const std::string& name) {
  if (::access((own + "/cgroup.type").c_str(), F_OK) != 0) return {};  // the machine's root
  const std::string leaf = own + "/" + name + std::string(kLeafSuffix);
  SKERRY_TRY(make_group(leaf));
  SKERRY_TRY(write_group_file(leaf, "cgroup.procs", "0"));
  if (read_group_file(own, "cgroup.procs").empty()) return {};
  return fail(Code::kFailedPrecondition,
              "others run in the control group " + own + ": its controllers cannot be handed down");
}

}  // namespace

Result<void> pass_down(const std::string& own, const std::string& name,
                       std::string_view controller) {
  SKERRY_TRY(leave_group(own, name));
  const std::string order = "+" + std::string(controller);
  SKERRY_TRY(write_group_file(own, "cgroup.subtree_control", order));
  return write_group_file(own + "/" + name, "cgroup.subtree_control", order);
}

Result<std::unique_ptr<Containment>> Containment::make(const std::string& owner) {
  const std::string name = "skerry-" + owner;
  const std::vector<Hierarchy> hierarchies = own_hierarchies(name);
  Tree tracker;
  Error why(Code::kUnsupported, "no control groups are mounted on this machine");
  for (const Hierarchy& hierarchy : trackers(hierarchies)) {
    const std::string tree = hierarchy.own_directory + "/" + name;
    Cgroup left(tree);
    (void)left.kill(kKillMs);  // what does not die in time keeps its group
    left.remove();
    if (!tracker.directory.empty()) continue;
    if (auto made = make_group(tree); !made) {
      why = made.error();
    } else if (has_file(tree, "cgroup.procs")) {
      tracker = {tree, hierarchy.unified};
      if (hierarchy.unified) pass_down_controllers(hierarchy.own_directory, name);
    }
  }
  if (tracker.directory.empty()) return fail(why);
  std::map<Controller, Tree> limiters;
  for (const Hierarchy& hierarchy : hierarchies) {
    const std::string tree = hierarchy.own_directory + "/" + name;
    for (Controller controller : kControllers) {
      if (!hierarchy.unified &&
          !(has_controller(hierarchy, name_of(controller)) && make_group(tree))) {
        continue;
      }
      if (has_file(tree, limit_file(controller, hierarchy.unified))) {
        limiters.emplace(controller, Tree{tree, hierarchy.unified});
      }
    }
  }
  return std::unique_ptr<Containment>(new Containment(tracker, std::move(limiters)));
}

std::string Containment::summary() const {
  std::string text = "control groups of version " + std::string(tracker_.unified ? "2" : "1");
  text += ", limits:";
  for (const auto& [controller, tree] : limiters_) text += " " + std::string(name_of(controller));
  return limiters_.empty() ? text + " none" : text;
}

uint64_t Containment::available_memory_bytes() const {
  const uint64_t machine = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                           static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  auto limiter = limiters_.find(Controller::kMemory);
  if (limiter == limiters_.end()) return machine;
  const auto& [tree, unified] = limiter->second;
  const std::string own = tree.substr(0, tree.rfind('/'));
  const auto limit = number_in(read_group_file(own, limit_file(Controller::kMemory, unified)));
  return limit ? std::min(machine, *limit) : machine;
}

Result<void> Containment::limit_all(const GroupLimits& limits) {
  return limit("", limits);
}

Result<void> Containment::limit(const std::string& below, const GroupLimits& limits) {
  for (Controller controller : kControllers) {
    auto limiter = limiters_.find(controller);
    if (limiter == limiters_.end()) {
      if (!has_limit(controller, limits)) continue;
      return fail(Code::kUnsupported, "there is no control group that limits " +
                                          std::string(name_of(controller)) +
                                          " for this program on this machine");
    }
    const auto& [tree, unified] = limiter->second;
    SKERRY_TRY(make_group(tree));  // somebody may have tidied up
    SKERRY_TRY(make_group(tree + below));
    std::string text = limit_text(controller, unified, limits);
    if (controller == Controller::kCpu && unified) text += " " + std::to_string(kCpuPeriodUs);
    if (controller == Controller::kCpu && !unified) {
      SKERRY_TRY(write_group_file(tree + below, "cpu.cfs_period_us", std::to_string(kCpuPeriodUs)));
    }
    SKERRY_TRY(write_group_file(tree + below, limit_file(controller, unified), text));
  }
  return {};
}

Result<Containment::Seat> Containment::seat(const std::string& unit, const GroupLimits& limits) {
  const std::string below = unit_directory(unit);
  SKERRY_TRY(make_group(tracker_.directory));
  SKERRY_TRY(make_group(tracker_.directory + below));
  SKERRY_TRY(limit(below, limits));
  std::string leaf;
  for (int tries = 0;; ++tries) {
    leaf = tracker_.directory + below + "/" + std::to_string(++seats_);
    if (::mkdir(leaf.c_str(), 0755) == 0) break;
    if (errno != EEXIST || tries == kMaxNames) {
      return fail(errno_error("make the control group", leaf, errno));
    }
  }
  Seat seat{Cgroup(leaf), {}};
  std::set<std::string> directories = {leaf};
  for (const auto& [controller, tree] : limiters_) {
    if (tree.directory != tracker_.directory) directories.insert(tree.directory + below);
  }
  for (const std::string& directory : directories) {
    const std::string door = directory + "/cgroup.procs";
    seat.doors.push_back(above_stdio(Fd(::open(door.c_str(), O_WRONLY | O_CLOEXEC))));
    if (seat.doors.back().get() < 0) return fail(errno_error("open", door, errno));
  }
  return seat;
}

uint64_t Containment::out_of_memory_kills(const std::string& unit) const {
  auto limiter = limiters_.find(Controller::kMemory);
  if (limiter == limiters_.end()) return 0;
  const std::string directory = limiter->second.directory + unit_directory(unit);
  const std::string events = read_group_file(directory, "memory.events");
  return counter_in(events.empty() ? read_group_file(directory, "memory.oom_control") : events,
                    "oom_kill");
}

uint64_t Containment::times_throttled(const std::string& unit) const {
  auto limiter = limiters_.find(Controller::kCpu);
  if (limiter == limiters_.end()) return 0;
  const std::string directory = limiter->second.directory + unit_directory(unit);
  return counter_in(read_group_file(directory, "cpu.stat"), "nr_throttled");
}

std::set<std::string> Containment::trees() const {
  std::set<std::string> all = {tracker_.directory};
  for (const auto& [controller, tree] : limiters_) all.insert(tree.directory);
  return all;
}

bool Containment::end(int64_t timeout_ms) {
  const bool ended = Cgroup(tracker_.directory).kill(timeout_ms);
  for (const std::string& tree : trees()) Cgroup(tree).remove();
  return ended;
}

}  // namespace skerry::io
