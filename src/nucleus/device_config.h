// The device's config.yaml, in the form of the stock nuclei, so that one file serves all of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/deployment.h"
#include "nucleus/claim_provisioning.h"
#include "nucleus/nucleus_info.h"
#include "nucleus/spool_options.h"

namespace skerry::nucleus {

struct DeviceConfig {
  // iotDataEndpoint or an identity is there. Without both the device lives from local deployments,
  // and needs nothing but a rootPath.
  bool has_fleet = false;
  // services."aws.greengrass.FleetProvisioningByClaim".configuration: how a device that has no
  // identity gets one. What the fleet's addresses are is filled in below then, and the identity is
  // adopt_identity()'s.
  std::optional<ClaimConfig> claim;
  std::string key_file, certificate_file,
      ca_file;       // system.privateKeyPath, certificateFilePath, rootCaPath
  std::string root;  // system.rootPath
  ThingName thing;   // system.thingName; without a fleet it may be empty
  // services."aws.greengrass.Nucleus" (or NucleusLite).configuration:
  std::string region;           // awsRegion
  std::string broker_host;      // iotDataEndpoint
  uint16_t broker_port = 8883;  // mqtt.port
  SpoolOptions spool;           // mqtt.spooler
  // https://HOST:PORT/role-aliases/ALIAS/credentials of iotCredEndpoint and iotRoleAlias; "" where
  // one of them is not there: components then get no credentials
  std::string credentials_url;
  std::string data_plane_url;              // greengrassDataPlaneEndpoint, or iotDataEndpoint with
                                           // greengrassDataPlanePort
  std::string default_user;                // runWithDefault.posixUser
  formats::ResourceLimits default_limits;  // runWithDefault.systemResourceLimits
  uint64_t processes_of_one_component = 1024;  // skerry.maxProcesses: threads count as well
  SandboxOptions sandbox;                      // skerry.sandbox
  int64_t metrics_interval_ms = 60'000;        // skerry.metricsIntervalMs
  // skerry.statsdPort and skerry.metricsPort, on 127.0.0.1: where local programs send metrics and
  // Prometheus gets them; 0 for a free one, none where nobody listens
  std::optional<uint16_t> statsd_port, metrics_port;
  // telemetry.enabled and telemetry.periodic{Aggregate,Publish}MetricsIntervalSeconds
  bool telemetry_enabled = true;
  int64_t telemetry_aggregate_s = 3'600;
  int64_t telemetry_publish_s = 86'400;
  // skerry.s3Endpoint: a service that s3:// artifacts are read from; "": AWS_ENDPOINT_URL_S3, or
  // AWS
  std::string s3_endpoint;
  // skerry.rebootCommand: what a Bootstrap's exit code 101 runs, by /bin/sh
  std::string reboot_command = "systemctl reboot || reboot";
  int64_t healthy_for_ms = 500;  // skerry.healthyForMs: how long a new deployment has to run well

  bool operator==(const DeviceConfig&) const = default;
};

// Relative paths are resolved against `directory`. kInvalidArgument names the key that is missing
// or wrong, and what it should be.
Result<DeviceConfig> parse_device_config(std::string_view text, const std::string& directory);

// A device that was provisioned by claim is one of the fleet.
void adopt_identity(io::Files& files, DeviceConfig& config);

}  // namespace skerry::nucleus
