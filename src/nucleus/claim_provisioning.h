// A device that has no identity yet gets itself one, by a certificate that its image shares with
// others (a claim): a key of its own, which never leaves it, a certificate for it, and a name that
// the fleet gives (formats/provisioning.h). Until then, and as long as there is no way to the
// fleet, it runs what it has. The identity is in place with one rename: whenever the power goes the
// device has none yet, or the whole of it. Files: docs/data/identity.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/named_type.h"
#include "io/env.h"
#include "io/task.h"
#include "net/mqtt.h"

namespace skerry::nucleus {

struct ClaimConfig {
  std::string key_file, certificate_file, ca_file;  // of the claim
  std::string template_name;
  // What the fleet is told of the device. {machineId}, {hostname} and {file:PATH} stand for this
  // machine's.
  std::map<std::string, std::string> parameters;

  bool operator==(const ClaimConfig&) const = default;
};

struct ClaimFiles {
  std::string directory;  // ROOT/state

  std::string identity() const { return directory + "/provisioned.pem"; }
  std::string next_key() const { return directory + "/provisioned-next.key"; }
};

// `text` with what stands for this machine's replaced. An error where a file cannot be read.
Result<std::string> parameter_text(io::Files& files, const std::string& text);

// The thing that the device is by its identity; nothing where it has none, or it is damaged, which
// is as none.
std::optional<ThingName> provisioned_thing(io::Files& files, const ClaimFiles& paths);

class ClaimProvisioning {
 public:
  // A connection with the claim's certificate.
  using Connect =
      std::function<Result<std::unique_ptr<net::MqttClient>>(const std::string& client_id)>;
  // `answer_ms`: how long the fleet has for each answer.
  ClaimProvisioning(io::Env& env, ClaimConfig config, ClaimFiles paths, Connect connect,
                    int64_t answer_ms = 20'000);

  // Tries until it has worked, with growing pauses; then `done` is called once.
  void start(std::function<void()> done);
  // One attempt.
  io::Task<Result<ThingName>> provision();

 private:
  struct Ask;
  io::Task<void> run(std::function<void()> done);

  io::Env& env_;
  const ClaimConfig config_;
  const ClaimFiles paths_;
  const Connect connect_;
  const int64_t answer_ms_;
  io::TaskScope tasks_;
};

}  // namespace skerry::nucleus
