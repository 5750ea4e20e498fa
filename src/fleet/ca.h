// The fleet's own certificate authority: EC P-256, made at the first start, its key never leaves
// the directory. Signs the control plane's server and client certificates and those of devices.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/env.h"
#include "net/tls.h"

namespace skerry::fleet {

// The common name of the control plane's own certificate; no thing can have this name.
inline constexpr std::string_view kControlPlaneName = "skerry-fleet";

struct IssuedCertificate {
  std::string pem;
  std::string sha256;  // fingerprint of the DER form, lower-case hex
  std::string common_name;
  int64_t expires_ms = 0;
};

class CertificateAuthority {
 public:
  // `directory` is created where absent; so are ca.pem and ca.key (0600). A CA whose key or
  // certificate is missing or does not fit the other is an error: devices trust it, so it is never
  // remade.
  // `device_life_s`: of certificates of devices. Stock nuclei do not renew theirs, so by default
  // it outlasts the device.
  static constexpr int64_t kDeviceLifeS = int64_t{20} * 365 * 24 * 3600;
  static Result<std::unique_ptr<CertificateAuthority>> open(io::Env& env, std::string directory,
                                                            int64_t device_life_s = kDeviceLifeS);
  ~CertificateAuthority();

  std::string certificate_path() const { return directory_ + "/ca.pem"; }

  // The certificate and key of our listeners (server.pem, server.key), for localhost, the loopback
  // addresses and `names` (host names or addresses). Kept while it is for these names and has a
  // year left, else made anew.
  Result<net::TlsFiles> server_files(const std::vector<std::string>& names);
  // The certificate and key (client.pem, client.key) that the control plane shows to its broker.
  Result<net::TlsFiles> client_files();

  // For a device, from its PEM certificate signing request. Refused (kInvalidArgument) unless the
  // request is signed by its own key (EC P-256 or P-384, RSA of 2048 bits or more). Its common name
  // is kept, for people: which thing a certificate speaks for, the registry says (X.509 ends common
  // names at 64 characters, thing names have up to 128).
  // `life_s`: of this one, where it is another.
  Result<IssuedCertificate> issue_device(std::string_view csr_pem,
                                         std::optional<int64_t> life_s = {});

 private:
  struct Identity;
  CertificateAuthority(io::Env& env, std::string directory, int64_t device_life_s,
                       std::unique_ptr<Identity> identity);
  Result<void> write_identity(const std::string& name, const Identity& identity);
  Result<bool> is_current(const std::string& name, const std::vector<std::string>& names);

  io::Env& env_;
  std::string directory_;
  const int64_t device_life_s_;
  std::unique_ptr<Identity> identity_;
};

}  // namespace skerry::fleet
