// Facts about this device and this program, fixed at start, and where things are below the root.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/deployment.h"
#include "io/sandbox.h"
#include "nucleus/cloud.h"
#include "nucleus/spool_options.h"

namespace skerry::nucleus {

// The Greengrass version whose behaviour components may rely on (GGC_VERSION).
inline constexpr const char* kNucleusVersion = "2.16.0";

using UserId = std::pair<uint32_t, uint32_t>;  // uid, gid

// What is open to components beside their own; see nucleus/component_sandbox.h.
struct SandboxOptions {
  bool enabled = true;
  std::vector<std::string> read, write;  // paths, absolute

  bool operator==(const SandboxOptions&) const = default;
};

struct NucleusInfo {
  std::string root;  // absolute
  ThingName thing;
  bool has_fleet = true;
  std::string region;
  std::string ca_file;
  std::string key_file;  // the device's private key; "" where it has none
  Platform platform;
  bool privileged = false;   // runs as root: components get a user of their own
  UserId own_user{0, 0};     // uid and gid of the nucleus
  std::string default_user;  // "user" or "user:group" of components, may be empty
  formats::ResourceLimits default_limits;
  // What this device can limit, and in words how (or why not).
  bool limits_memory = false, limits_cpus = false, limits_processes = false;
  std::string containment = "no control groups";
  uint64_t processes_of_one_component = 1024;
  SandboxOptions sandbox;
  io::SandboxSupport sandbox_support;
  int64_t healthy_for_ms = 500;  // a deployment succeeds after this long without a failure
  int64_t healthy_within_ms = 600'000;
  int64_t metrics_interval_ms = 0;  // of each summary; 0: none are kept
  // On 127.0.0.1; none: nobody listens (intake/intake.h). 0: a free one.
  std::optional<uint16_t> statsd_port, metrics_port;
  // System health telemetry as the stock nucleus sends it; 0: never.
  int64_t telemetry_aggregate_ms = 3'600'000;
  int64_t telemetry_publish_ms = 0;
  SpoolOptions spool;
  // The user of a component for which nobody names one; called where the nucleus is privileged.
  std::function<Result<uint32_t>(const ComponentName&)> allocate_user;
  // uid and gid of "user" or "user:group".
  std::function<Result<UserId>(const std::string&)> find_user;

  // Where components get credentials for AWS SDKs (token_exchange.h); "" where nobody gives any.
  std::string credentials_url;
  // Another one after each reboot of the machine (random(4)); "": not known, every start may be
  // one.
  std::string boot_id;
  std::string ipc_address;  // of the socket, for components (nucleus/ipc/address.h)

  std::string ipc_socket() const { return root + "/ipc.socket"; }
  std::string state_directory() const { return root + "/state"; }
  std::string metrics() const { return root + "/metrics"; }
  std::string spool_directory() const { return root + "/spool"; }
  std::string clock_file() const { return state_directory() + "/clock"; }
  std::string packages() const { return root + "/packages"; }
  std::string staging() const { return root + "/staging"; }
  std::string work_directory(const ComponentName& name) const {
    return root + "/work/" + name.str();
  }
  // What stands at /tmp for the component.
  std::string tmp_directory(const ComponentName& name) const { return root + "/tmp/" + name.str(); }
  std::string log_path(const ComponentName& name) const {
    return root + "/logs/" + name.str() + ".log";
  }
};

}  // namespace skerry::nucleus
