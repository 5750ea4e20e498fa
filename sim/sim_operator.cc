// What operators do to fleets.
#include "sim/sim_operator.h"

namespace skerry::sim {
namespace {

constexpr const char* kGroups[] = {"line-a", "line-b"};

}  // namespace

void SimOperator::set_up(int versions, const std::vector<ThingName>& things) {
  const auto draw = [&](uint64_t good_of) {
    const bool good = random_.below(good_of) > 0;
    return good ? Kind::kGood : static_cast<Kind>(1 + random_.below(3));
  };
  for (int number = 1; number <= versions; ++number) {
    const std::string version = std::to_string(number) + ".0.0";
    const std::string culprit = kStack[random_.below(std::size(kStack))];
    const Kind kind = draw(3);
    for (const std::string name : kStack) {
      made_[{name, version}] = {name == culprit ? kind : Kind::kGood, random_.next()};
    }
    made_[{kTool, version}] = {draw(4), random_.next()};
  }
  for (const auto& [version, made] : made_) publish(version);
  for (const char* group : kGroups) fleet_.add_group(group);
  things_ = things;
  for (size_t i = 0; i < things.size(); ++i) {
    fleet_.add_thing(things[i]);
    fleet_.join(things[i], kGroups[i % 2]);
  }
}

void SimOperator::publish(const Version& version) {
  const Made& made = made_.at(version);
  io::SeededRandom content(made.seed);
  publish_component(fleet_, content, version.first, version.second, made.kind);
}

void SimOperator::deploy(int round) {
  for (const char* group : kGroups) {
    if (random_.below(4) == 0) continue;
    deploy(std::string("thinggroup/") + group, {{"app", some_version(round)}});
  }
  for (const ThingName& thing : things_) {
    if (!fleet_.has_thing(thing)) continue;
    move(thing);
    if (random_.below(2) == 0) continue;
    std::map<std::string, std::string> components{{kTool, some_version(round)}};
    // Overlaps with its group's, and mostly contradicts it.
    if (random_.below(6) == 0) components["app"] = some_version(round);
    deploy("thing/" + thing.str(), components);
  }
}

// Sometimes the same again, or one from long ago.
std::string SimOperator::some_version(int round) {
  const int number = random_.below(8) == 0
                         ? 1 + static_cast<int>(random_.below(static_cast<uint64_t>(round)))
                         : round;
  return std::to_string(number) + ".0.0";
}

void SimOperator::deploy(const std::string& target,
                         const std::map<std::string, std::string>& components) {
  const auto made = fleet_.deploy(target, components);
  std::string what;
  for (const auto& [name, version] : components) what += " " + name + " " + version;
  if (!made) return trace_(target, "cannot be given" + what + ": " + made.error().message());
  trace_(target, "is given" + what + " by " + made->id.str());
  newest_[target] = made->id.str();
  deployments_.push_back(*made);
}

void SimOperator::move(const ThingName& thing) {
  if (random_.below(6) != 0) return;
  const std::string group = kGroups[random_.below(std::size(kGroups))];
  const bool leaves = fleet_.is_member(thing, group);
  leaves ? fleet_.leave(thing, group) : fleet_.join(thing, group);
  if (leaves && !deployments_.empty())
    left_[{thing, "thinggroup/" + group}] = deployments_.back().sequence;
  trace_(thing.str(), (leaves ? "leaves " : "joins ") + group);
}

void SimOperator::meddle() {
  take_back(false);
  switch (random_.below(8)) {
    case 0:
    case 1:
    case 2:
      return unpublish_one();
    case 3:
    case 4:
      return end_one();
    case 5:
      return remove_or_add_thing();
    default: {
      const ThingName& thing = any_of(things_);
      if (fleet_.has_thing(thing)) move(thing);
    }
  }
}

// Mostly comes back at once, with the same content or with other.
void SimOperator::unpublish_one() {
  const Version version = any_of(made_).first;
  if (unpublished_.contains(version)) return;
  fleet_.unpublish(version.first, version.second);
  unpublished_.insert(version);
  const bool changes = random_.below(2) == 0;
  if (changes) made_[version].seed = random_.next();
  trace_(version.first + " " + version.second, changes ? "is deleted and changed" : "is deleted");
  if (random_.below(3) > 0) take_back(true);
}

void SimOperator::take_back(bool all) {
  while (!unpublished_.empty()) {
    const Version version = any_of(unpublished_);
    unpublished_.erase(version);
    publish(version);
    trace_(version.first + " " + version.second, "is published again");
    if (!all) return;
  }
}

// Cancels, or deletes, one of the last deployments.
void SimOperator::end_one() {
  if (deployments_.empty()) return;
  const size_t back = random_.below(std::min<size_t>(deployments_.size(), 6));
  const fleet::Deployment deployment = deployments_[deployments_.size() - 1 - back];
  using Begun = fleet::Deployments::Begun;
  const uint64_t how = random_.below(4);
  if (how == 3) {
    if (!fleet_.remove(deployment)) return;  // is removed already
    removed_.insert(deployment.id.str());
  } else if (!fleet_.cancel(deployment.id, how == 0 ? Begun::kFinishes : Begun::kEnds)) {
    return;  // has ended already
  }
  constexpr const char* kHow[] = {"is cancelled", "is ended", "is ended", "is removed"};
  trace_(deployment.id.str(), kHow[how]);
}

void SimOperator::remove_or_add_thing() {
  const ThingName& thing = any_of(things_);
  if (fleet_.has_thing(thing)) {
    for (const SimJob& job : fleet_.jobs(thing)) removed_.insert(job.deployment.id.str());
    fleet_.remove_thing(thing);
    trace_(thing.str(), "is removed");
  } else {
    fleet_.add_thing(thing);
    trace_(thing.str(), "is registered again");
    if (random_.below(2) == 0) fleet_.join(thing, kGroups[random_.below(std::size(kGroups))]);
  }
}

void SimOperator::put_back() {
  take_back(true);
  for (const ThingName& thing : things_) {
    if (fleet_.has_thing(thing)) continue;
    fleet_.add_thing(thing);
    trace_(thing.str(), "is registered again");
  }
}

bool SimOperator::has_left_since(const ThingName& thing, const std::string& target,
                                 int64_t deployment_sequence) const {
  const auto left = left_.find({thing, target});
  return left != left_.end() && deployment_sequence <= left->second;
}

bool SimOperator::is_newest(const std::string& target, const std::string& deployment_id) const {
  const auto newest = newest_.find(target);
  return newest != newest_.end() && newest->second == deployment_id;
}

}  // namespace skerry::sim
