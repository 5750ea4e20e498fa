// What the operations of the AWS-shaped API share: the request as an operation sees it, what
// operations work on, and the table line that makes a function an operation.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "formats/arn.h"
#include "io/env.h"

namespace skerry::fleet {
class ArtifactStore;
class CertificateAuthority;
class Deployments;
class Store;
}  // namespace skerry::fleet

namespace skerry::fleet::aws {

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
};

// The same with the session of one operation: it runs as one unit of work (store_pool.h), and its
// effects are the session's.
struct ApiContext : ApiServices {
  Store& store;
};

struct ApiRequest {
  std::map<std::string, std::string> path;        // decoded parameters of the template
  std::multimap<std::string, std::string> query;  // decoded
  std::map<std::string, std::string> headers;     // names in lower case
  const nlohmann::json& body;                     // an object; empty where the request has no body

  // "" where absent.
  std::string parameter(const std::string& name) const { return value(path, name); }
  std::string option(const std::string& name) const { return value(query, name); }
  std::string header(const std::string& name) const { return value(headers, name); }

 private:
  template <class Map>
  static std::string value(const Map& from, const std::string& name) {
    auto found = from.find(name);
    return found == from.end() ? "" : found->second;
  }
};

// An operation answers with the JSON object of its output. Its errors become the service's modelled
// exceptions by their code (router.cc). What it changed is undone where it returns one.
using Operation = Result<nlohmann::json> (*)(ApiContext&, const ApiRequest&);

struct Route {
  std::string_view service;  // of the signature: "greengrass" or "iot"
  std::string_view method;   // GET changes nothing: it runs in a reader's session
  std::string_view path;     // "/things/{thingName}"; {name+} takes the rest of the path
  int status;                // of the answer where it succeeds
  Operation operation;
};

// Each file of operations has one table.
std::span<const Route> component_routes();
std::span<const Route> deployment_routes();
std::span<const Route> device_routes();
std::span<const Route> tag_routes();
std::span<const Route> thing_routes();
std::span<const Route> certificate_routes();
std::span<const Route> job_routes();

}  // namespace skerry::fleet::aws
