// What the operations of the AWS-shaped API share: what they work on, and the table line that makes
// a function an operation.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/access/roles.h"
#include "formats/arn.h"
#include "io/env.h"

namespace skerry::fleet {
class ArtifactStore;
class CertificateAuthority;
class Deployments;
class RemoteArtifacts;
class Store;
}  // namespace skerry::fleet

namespace skerry::fleet::aws {

struct Field;       // fields.h
struct RawRequest;  // fields.h

// Where devices find the services, for DescribeEndpoint: host or host:port.
struct Endpoints {
  std::string data;         // MQTT
  std::string credentials;  // role aliases
  std::string jobs;
};

// What all operations work with. They use it from the store's threads: clock and randomness are the
// real ones, and the others are safe there.
struct ApiServices {
  io::Env& env;
  const Deployments& deployments;
  CertificateAuthority& authority;
  ArtifactStore& artifacts;
  formats::ArnScope scope;
  Endpoints endpoints;
  std::string page_key;                         // what nextTokens are signed with
  RemoteArtifacts* remote_artifacts = nullptr;  // null: there are none
};

// An error that the service model has a name for, beyond those that follow from an Error's code.
struct ModelledException {
  int status = 0;
  std::string_view type;
};
inline constexpr ModelledException kVersionConflict{409, "VersionConflictException"};
inline constexpr ModelledException kInvalidStateTransition{409, "InvalidStateTransitionException"};
inline constexpr ModelledException kDeleteConflict{409, "DeleteConflictException"};
inline constexpr ModelledException kConflict{409, "ConflictException"};
inline constexpr ModelledException kTooLarge{413, "RequestEntityTooLargeException"};

// One operation on its way: it runs as one unit of work (store_pool.h), and its effects are the
// session's.
struct ApiContext : ApiServices {
  Store& store;
  std::string_view operation;   // its name in the model
  const nlohmann::json& given;  // the request's fields, checked: what bind_request() returned
  const ModelledException*& exception;
  std::string actor;  // who asks

  // For `return context.refuse(kVersionConflict, "…")`.
  std::unexpected<Error> refuse(const ModelledException& named, std::string message) const {
    exception = &named;
    return fail(Code::kFailedPrecondition, std::move(message));
  }
};

// Requests for a list have these; page_of (input.h) reads them.
struct Paged {
  std::optional<int64_t> max_results;
  std::string next_token;
};

// An operation answers with the JSON object of its output. Its errors become the service's modelled
// exceptions by their code (router.cc). What it changed is undone where it returns one.
struct Route {
  // Of the signature: "greengrass", "iot", "iotdata", or "skerry" for our own.
  std::string_view service;
  std::string_view name;    // "CreateThing"
  std::string_view method;  // GET changes nothing: it runs in a reader's session
  std::string_view path;    // "/things/{thingName}"; {name+} takes the rest of the path
  int status = 200;         // of the answer where it succeeds
  std::span<const Field> (*fields)() = nullptr;  // operation() in fields.h makes these two
  Result<nlohmann::json> (*run)(const ApiServices& services, Store& store, std::string_view name,
                                RawRequest raw, const ModelledException*& exception) = nullptr;
  Role role = Role::kViewer;  // what it takes, for a change at least kDeployer
  bool only_asks = false;     // whatever its method: nothing changes

  constexpr bool reads() const { return only_asks || method == "GET"; }
};

// For `admin_only(operation<…>(…))` in a table.
constexpr Route admin_only(Route route) {
  route.role = Role::kAdmin;
  return route;
}

// For a question that is too long for a URL: `question(operation<…>(…))`.
constexpr Route question(Route route) {
  route.only_asks = true;
  route.role = Role::kViewer;
  return route;
}

// Each file of operations has one table.
std::span<const Route> component_routes();
std::span<const Route> deployment_routes();
std::span<const Route> device_routes();
std::span<const Route> tag_routes();
std::span<const Route> thing_routes();
std::span<const Route> group_routes();
std::span<const Route> certificate_routes();
std::span<const Route> job_routes();
std::span<const Route> access_routes();
std::span<const Route> overview_routes();
std::span<const Route> metric_routes();
std::span<const Route> model_routes();
std::span<const Route> rollout_routes();
std::span<const Route> shadow_routes();
std::span<const Route> learning_routes();
std::span<const Route> alert_routes();
std::span<const Route> claim_routes();

}  // namespace skerry::fleet::aws
