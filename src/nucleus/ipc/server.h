// Greengrass IPC for components: a Unix socket that speaks event-stream RPC, and the operations
// behind it. The table of operations is in operations.cc, the operations in a file per service.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "io/env.h"
#include "io/loop.h"
#include "nucleus/component_state.h"
#include "nucleus/config_store.h"
#include "nucleus/shadow_files.h"
#include "rpc/server_connection.h"

namespace skerry::nucleus {

class Metrics;
class LocalDeployments;
class MqttRouter;
class SecretStore;
class Spool;
class UpdateConsent;

// As whom the programs of the device's operator speak: the stock Greengrass CLI's component.
inline constexpr std::string_view kOperator = "aws.greengrass.Cli";

enum class ComponentControl { kRestart, kStop, kPause, kResume };

// What the operations need from the nucleus.
class IpcHost {
 public:
  virtual ~IpcHost() = default;
  // Whom the device is known as.
  virtual const ThingName& thing() const = 0;
  // The component whose processes were given this token in SVCUID.
  virtual std::optional<ComponentName> component_of_token(std::string_view svcuid) const = 0;
  // All that are here, the nucleus itself first.
  virtual std::vector<ComponentStatus> components() const = 0;
  // What people, and components that may, ask of one: codes as of Supervisor.
  virtual Result<void> control(const ComponentName& component, ComponentControl what) = 0;
  // The component says it is kRunning, or kErrored. kNotFound where it is not (any more) here.
  virtual Result<void> report_state(const ComponentName& component, ComponentState reported) = 0;
  virtual ShadowFiles& shadows() = 0;
  virtual Metrics& metrics() = 0;
  virtual SecretStore& secrets() = 0;
  // Of the authority that client devices trust.
  virtual std::string client_devices_directory() const = 0;
  virtual io::Env& env() = 0;
  // Null where the device has no broker.
  virtual MqttRouter* mqtt() = 0;
  // What components publish goes through it; used where there is a broker.
  virtual Spool& spool() = 0;
  // What components say about deployments.
  virtual UpdateConsent& consent() = 0;
  // Null where the device is about to end.
  virtual LocalDeployments* local_deployments() = 0;
};

struct IpcLimits {
  size_t connections = 512;  // of components, in all; more are closed without an answer
  size_t connections_per_component = 64;
  // Of those who have not said who they are: a newer one takes the place of the oldest of the same
  // user, so that nobody can keep another user's components out.
  size_t unknown_per_user = 16;
  size_t unknown = 128;                   // in all
  int64_t handshake_timeout_ms = 10'000;  // from accepting a connection to its CONNECT
  int64_t linger_ms = 1'000;              // for an ended connection to read what it was told last
  rpc::ServerLimits connection;
};

class IpcServer {
 public:
  // `host` and `config` must outlive the server.
  IpcServer(io::Loop& loop, IpcHost& host, ConfigStore& config, IpcLimits limits = {});
  ~IpcServer();  // drops every connection

  // Mode 0666 lets components of other users in (they need a token all the same, and until they
  // have shown it they are few and small), 0600 only our own.
  Result<void> listen(const std::string& socket_path, uint32_t mode);
  size_t connections() const;
  // The operations without the socket.
  const rpc::Service& service() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry::nucleus
