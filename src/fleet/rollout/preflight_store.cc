// Members of a target with what the fleet knows of them, a page at a time: two statements for each.
#include <algorithm>
#include <map>

#include "fleet/rollout/preflight.h"
#include "fleet/store_sql.h"

namespace skerry::fleet::rollout {
namespace {

Member read_member(const Row& row) {
  Member member;
  member.thing = ThingName(row.text("thing"));
  member.has_reported = !row.text("reported").empty();
  member.platform = row.text("platform");
  member.architecture = row.text("architecture");
  member.runtime = row.text("runtime");
  member.nucleus_version = row.text("nucleus_version");
  if (member.has_reported) member.free_disk_bytes = row.number("free_disk_bytes");
  return member;
}

struct Targeted {
  std::string thing;
  std::string arn;
};

// What else is deployed to members, by their other groups and to themselves; of the members that
// `own` yields, which has one parameter.
Result<std::vector<Targeted>> other_targets(Store& store, const formats::ArnScope& scope,
                                            const std::string& own, const std::string& name,
                                            const std::string& target_arn, const ThingName& after,
                                            const ThingName& upto) {
  using TargetKind = formats::Target::Kind;
  const std::string of_groups = formats::target_arn(scope, {TargetKind::kThingGroup, ""});
  const std::string of_things = formats::target_arn(scope, {TargetKind::kThing, ""});
  const auto read = [](const Row& row) { return Targeted{row.text("thing"), row.text("arn")}; };
  SKERRY_ASSIGN(auto found,
                store.database().select(
                    "SELECT m.thing AS thing, d.target_arn AS arn FROM memberships m "
                    "JOIN deployments d ON d.target_arn = :prefix || m.group_name AND "
                    "d.is_latest = 1 WHERE m.thing IN " +
                        own +
                        " AND m.thing > :after AND m.thing <= :upto AND d.target_arn <> :target "
                        "ORDER BY m.thing, d.target_arn",
                    read, of_groups, name, after.str(), upto.str(), target_arn));
  SKERRY_ASSIGN(
      auto single,
      store.database().select(
          "SELECT t.name AS thing, d.target_arn AS arn FROM things t "
          "JOIN deployments d ON d.target_arn = :prefix || t.name AND d.is_latest = 1 "
          "WHERE t.name IN " +
              own + " AND t.name > :after AND t.name <= :upto AND d.target_arn <> :target",
          read, of_things, name, after.str(), upto.str(), target_arn));
  found.insert(found.end(), single.begin(), single.end());
  return found;
}

}  // namespace

Result<std::vector<Member>> members_after(Store& store, const formats::ArnScope& scope,
                                          const formats::Target& target, const ThingName& after,
                                          int64_t limit) {
  const bool is_group = target.kind == formats::Target::Kind::kThingGroup;
  const std::string own = is_group ? "(SELECT thing FROM memberships WHERE group_name = :own)"
                                   : "(SELECT name FROM things WHERE name = :own)";
  SKERRY_ASSIGN(
      auto members,
      store.database().select(
          "SELECT t.name AS thing, d.thing AS reported, d.platform, d.architecture, d.runtime, "
          "d.nucleus_version, d.free_disk_bytes FROM things t LEFT JOIN core_devices d ON "
          "d.thing = t.name WHERE t.name IN " +
              own + " AND t.name > :after ORDER BY t.name LIMIT :limit",
          read_member, target.name, after.str(), limit));
  if (members.empty()) return members;
  SKERRY_ASSIGN(const auto others,
                other_targets(store, scope, own, target.name, formats::target_arn(scope, target),
                              after, members.back().thing));
  std::map<std::string, Member*> by_name;
  for (Member& member : members) by_name.emplace(member.thing.str(), &member);
  for (const Targeted& each : others) {
    if (auto member = by_name.find(each.thing); member != by_name.end()) {
      member->second->targets.push_back(each.arn);
    }
  }
  for (Member& member : members) std::ranges::sort(member.targets);
  return members;
}

}  // namespace skerry::fleet::rollout
