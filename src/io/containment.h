// Where this program's children live: a tree of control groups with a branch for each component
// ("unit") and a leaf for each process that is started in it.
//
//   OWN GROUP/skerry-OWNER/UNIT/1      limits of all units together, of one unit; what is killed
//
// Leaves are made in the hierarchy by which processes are found (version 2 where it is mounted).
// Limits are set there too, or in the hierarchies of version 1 that have the controllers.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/cgroup.h"
#include "io/fd.h"

namespace skerry::io {

class Containment {
 public:
  // Ends what an earlier run with the same `owner` left behind. An error says why no groups can be
  // made here: normally that the caller is neither root nor has a subtree delegated to it.
  static Result<std::unique_ptr<Containment>> make(const std::string& owner);

  bool can_limit(Controller controller) const { return limiters_.contains(controller); }
  std::string summary() const;  // for a log: "kill by version 2; limits: pids memory cpu"
  // What this program's own group may use, at most what the machine has.
  uint64_t available_memory_bytes() const;

  // Of everything in the tree. kUnsupported where a controller is not there.
  Result<void> limit_all(const GroupLimits& limits);

  // A place for one process and all that comes from it.
  struct Seat {
    Cgroup group;
    std::vector<Fd> doors;  // the process writes "0" to each of them and is inside
  };
  // `limits` replace those that the unit had. A unit is any name that can be a part of a path.
  Result<Seat> seat(const std::string& unit, const GroupLimits& limits);
  // How often the kernel killed a process of the unit because its memory limit was reached.
  uint64_t out_of_memory_kills(const std::string& unit) const;
  // How often the unit had used up its share of the processors.
  uint64_t times_throttled(const std::string& unit) const;
  const std::string& directory() const { return tracker_.directory; }

  // Kills all that is left and removes the tree. False when some processes do not die in time.
  bool end(int64_t timeout_ms);

 private:
  struct Tree {
    std::string directory;
    bool unified = false;  // of version 2
  };
  Containment(Tree tracker, std::map<Controller, Tree> limiters)
      : tracker_(std::move(tracker)), limiters_(std::move(limiters)) {}
  Result<void> limit(const std::string& below, const GroupLimits& limits);
  std::set<std::string> trees() const;

  Tree tracker_;                         // by which processes are found
  std::map<Controller, Tree> limiters_;  // the trees that have them
  uint64_t seats_ = 0;
};

// For a group that is delegated to this program: hands a controller ("memory") of version 2 down to
// `own`/`name`. A group that hands controllers down holds no process, so the callers' moves into
// one of its own, `own`/`name`.nucleus. Fails where others are in the group too.
Result<void> pass_down(const std::string& own, const std::string& name,
                       std::string_view controller);

}  // namespace skerry::io
