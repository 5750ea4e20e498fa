// Which devices of a target would refuse a release, before anybody is asked: as far as the fleet
// knows its devices. What it does not know is told as such and never assumed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/store.h"
#include "formats/arn.h"
#include "formats/deployment.h"

namespace skerry::fleet::rollout {

struct Concern {
  enum class Kind { kPlatform, kCapability, kDependency, kDisk };
  Kind kind = Kind::kPlatform;
  std::string text;  // one sentence

  bool operator==(const Concern&) const = default;
};
std::string_view name_of(Concern::Kind kind);  // "platform"

struct Outlook {
  ThingName thing;
  std::vector<Concern> refuses;  // why it would
  std::vector<Concern> unknown;  // what the fleet would have to know to say that it will not
};

struct Preflight {
  static constexpr size_t kListed = 200;

  int64_t ready = 0;
  int64_t refusing = 0;
  int64_t unknown = 0;  // nothing speaks against it, but not everything is known
  // In the order of their names, at most kListed of each kind: those that refuse come first.
  std::vector<Outlook> listed;
};
// `document`: the release's. Of the devices' other targets that
// deployment counts to which a rollback would return (rollouts.h).
Result<Preflight> preflight(Store& store, const formats::ArnScope& scope,
                            const formats::Target& target, const formats::Deployment& document);

// What the fleet knows of a member of the target.
struct Member {
  ThingName thing;
  bool has_reported = false;
  std::string platform, architecture, runtime, nucleus_version;
  int64_t free_disk_bytes = -1;      // -1: it has not said
  std::vector<std::string> targets;  // its other ones that have a deployment: ARNs, sorted
};
// At most `limit` after `after`, by name. (preflight_store.cc)
Result<std::vector<Member>> members_after(Store& store, const formats::ArnScope& scope,
                                          const formats::Target& target, const ThingName& after,
                                          int64_t limit);

}  // namespace skerry::fleet::rollout
