// What a device may read of the fleet's components: what the deployments that target it lead to,
// and nothing else of what is published.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/components.h"
#include "formats/arn.h"
#include "formats/version.h"

namespace skerry::fleet {

class Store;

class DeviceScope {
 public:
  explicit DeviceScope(formats::ArnScope scope) : scope_(std::move(scope)) {}

  // The versions of `component` that the thing may read; empty where it may read none. Counted are
  // the newest deployment of the thing and of each group it is in, the last one of each that
  // succeeded on the thing, and what the thing has yet to end.
  Result<std::vector<formats::VersionRange>> ranges(Store& store, const ThingName& thing,
                                                    const ComponentName& component);
  Result<bool> includes(Store& store, const ThingName& thing, const ComponentName& component,
                        const formats::Version& version);

 private:
  struct Targeting {
    std::string key;  // which deployments they are, and what is published
    std::vector<Roots> roots;
  };
  Result<Targeting> targeting(Store& store, const ThingName& thing) const;

  static constexpr size_t kMaxCached = 256;
  const formats::ArnScope scope_;
  std::mutex mutex_;  // readers of the store ask from threads of their own
  std::map<std::string, std::shared_ptr<const Closure>> cache_;  // by Targeting::key
};

}  // namespace skerry::fleet
