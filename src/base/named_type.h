// Strong id types: a ThingName cannot be passed where a ComponentName is wanted.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace skerry {

template <class Tag>
class Named {
 public:
  Named() = default;
  explicit Named(std::string value) : value_(std::move(value)) {}

  const std::string& str() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const Named&) const = default;

 private:
  std::string value_;
};

using ThingName = Named<struct ThingNameTag>;
using ThingGroupName = Named<struct ThingGroupNameTag>;
using ComponentName = Named<struct ComponentNameTag>;
using DeploymentId = Named<struct DeploymentIdTag>;
using JobId = Named<struct JobIdTag>;

}  // namespace skerry

template <class Tag>
struct std::hash<skerry::Named<Tag>> {
  size_t operator()(const skerry::Named<Tag>& name) const noexcept {
    return std::hash<std::string>()(name.str());
  }
};
