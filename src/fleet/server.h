// The control plane put together: store, CA, broker, API, data plane and the services behind them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "fleet/ca.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

struct FleetOptions {
  std::string directory;  // created where absent
  std::string bind_address = "127.0.0.1";
  std::string host;          // the name devices reach us by; "": the bind address
  uint16_t api_port = 8080;  // each port: 0 for a free one
  uint16_t data_plane_port = 8443;
  uint16_t broker_port = 8883;
  uint16_t artifact_port = 8081;  // with api_tls
  std::string region = "eu-west-1";
  uint64_t artifact_quota_bytes = UINT64_MAX;
  // Objects older than this are removed where no component version refers to their content; 0:
  // never.
  int64_t artifact_retention_days = 30;
  uint64_t stream_quota_mb = 1'024;  // of each thing
  std::string s3_file;               // remote_artifacts.h; "" for the built-in artifact store alone
  int64_t device_certificate_life_s = CertificateAuthority::kDeviceLifeS;
  int64_t unreachable_after_s = 600;  // a device that is away for so long is UNREACHABLE
  std::string alerts_file;            // alert rules, docs/alerts.md; "": none
  bool api_tls = false;               // required unless bind_address is a loopback one
};

class FleetServer {
 public:
  // Done once devices and operators can connect and DIR/fleet.json says where. Each error says
  // which part failed and what to change.
  static io::Task<Result<std::unique_ptr<FleetServer>>> start(io::Env& env, FleetOptions options);
  ~FleetServer();

  // Removes fleet.json, ends the broker, drops connections. Destroy it afterwards.
  io::Task<void> stop();

 private:
  struct Parts;
  explicit FleetServer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace skerry::fleet
