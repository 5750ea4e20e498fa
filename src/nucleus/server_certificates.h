// Certificates of this device's own authority for the servers that components run for the devices
// behind it: an MQTT broker, say. Client devices trust ROOT/client-devices/ca.pem, which anybody
// may read; the key beside it, only the nucleus. Made when the first component asks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/files.h"
#include "io/random.h"

namespace skerry::nucleus {

struct ServerCertificate {
  std::string key_pem, public_key_pem, certificate_pem, ca_pem;
  int64_t issued_ms = 0, expires_ms = 0;
  std::vector<std::string> names;
};

class ServerCertificates {
 public:
  // `directory` is made where absent.
  ServerCertificates(io::Files& files, io::Random& random, std::string directory)
      : files_(files), random_(random), directory_(std::move(directory)) {}

  // A new key with a certificate of it, for `names` (of hosts, or addresses); kInvalidArgument
  // where one is neither. Any thread, one at a time. kCorrupt where the authority's file is
  // damaged: it is not replaced in silence, client devices trust no other.
  Result<ServerCertificate> issue(const std::vector<std::string>& names, int64_t valid_s,
                                  int64_t now_ms);

 private:
  io::Files& files_;
  io::Random& random_;
  const std::string directory_;
};

// What this machine may be called by others: localhost, its host name, its addresses.
std::vector<std::string> names_of_machine();

}  // namespace skerry::nucleus
