// Somebody who works with a simulated fleet, at random: publishes, deploys, cancels, moves things
// between groups, deletes versions and publishes them again, removes things and takes them back.
// Knows afterwards what of it a device may still be running.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/sim_device.h"
#include "sim/sim_fleet.h"

namespace skerry::sim {

class SimOperator {
 public:
  using Trace = std::function<void(const std::string& whom, const std::string& what)>;
  SimOperator(SimFleet& fleet, io::Random& random, Trace trace)
      : fleet_(fleet), random_(random), trace_(std::move(trace)) {}

  // Publishes versions 1 to `versions` of everything, and registers the things.
  void set_up(int versions, const std::vector<ThingName>& things);
  // A round of deployments, which may overlap and contradict one another. Only while the fleet is
  // up, as everything here.
  void deploy(int round);
  // One thing more or less sensible, in the midst of whatever goes on.
  void meddle();
  // What is missing comes back.
  void put_back();

  // The deployment's record is gone, or was, so that the fleet cannot say what became of it.
  bool has_removed(const std::string& deployment_id) const {
    return removed_.contains(deployment_id);
  }
  // The thing was taken out of that group since the deployment was made.
  bool has_left_since(const ThingName& thing, const std::string& target,
                      int64_t deployment_sequence) const;
  // What was deployed to the target last.
  bool is_newest(const std::string& target, const std::string& deployment_id) const;

 private:
  using Version = std::pair<std::string, std::string>;  // name, version
  struct Made {
    Kind kind;
    uint64_t seed;  // of its content
  };
  void publish(const Version& version);
  void deploy(const std::string& target, const std::map<std::string, std::string>& components);
  std::string some_version(int round);
  void move(const ThingName& thing);
  void unpublish_one();
  void take_back(bool all);
  void end_one();
  void remove_or_add_thing();
  template <class Container>
  const auto& any_of(const Container& container) {
    return *std::next(container.begin(), static_cast<ptrdiff_t>(random_.below(container.size())));
  }

  SimFleet& fleet_;
  io::Random& random_;
  Trace trace_;
  std::map<Version, Made> made_;
  std::set<Version> unpublished_;
  std::vector<ThingName> things_;
  std::vector<fleet::Deployment> deployments_;
  std::map<std::string, std::string> newest_;  // target → deployment
  std::set<std::string> removed_;
  // (thing, target) → the last deployment of any target when it left.
  std::map<std::pair<ThingName, std::string>, int64_t> left_;
};

}  // namespace skerry::sim
