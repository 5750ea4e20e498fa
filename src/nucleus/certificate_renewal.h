// The device gets itself a new certificate before the one it has ends, or for some weeks after: a
// new key, which never leaves it, and a request to the fleet's data plane (formats/renewal.h). A
// key in a token stays, and gets a new certificate. The
// switch is one rename: whenever the power goes the device has the old identity or the new one, and
// both are good. TLS takes the new one with the next handshake (net::TlsFiles::renewed_file);
// nothing that runs is touched. Files: docs/data/identity.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/named_type.h"
#include "io/env.h"
#include "io/task.h"
#include "net/http_client.h"

namespace skerry::nucleus {

struct RenewalFiles {
  // What the device was provisioned with. Its key stays where it is: secrets are sealed with it.
  std::string certificate_file, key_file;
  std::string directory;  // ROOT/state

  std::string renewed() const { return directory + "/identity.pem"; }
  std::string next_key() const { return directory + "/identity-next.key"; }
};

// Before the identity is used: what is damaged, or was renewed for another certificate than that
// which the device has been given since, is removed. True where something was damaged.
Result<bool> tidy_identity(io::Files& files, const RenewalFiles& paths);

class CertificateRenewal {
 public:
  // The certificate of a request, in PEM; from whoever issues them.
  using Ask = std::function<io::Task<Result<std::string>>(std::string request_pem)>;
  CertificateRenewal(io::Env& env, RenewalFiles paths, ThingName thing, Ask ask);

  void start();
  // One renewal, due or not.
  io::Task<Result<void>> renew();

  // How long until it is to be renewed, 0 where it is: when a third of its life is left, and not
  // earlier than 30 days before its end. `issued_ms` 0: not known.
  static int64_t due_in_ms(int64_t issued_ms, int64_t expires_ms, int64_t now_ms);

 private:
  io::Task<void> run();

  io::Env& env_;
  const RenewalFiles paths_;
  const ThingName thing_;
  const Ask ask_;
  io::TaskScope tasks_;
};

// Asks the data plane at `url`. `client` must outlive what is returned.
CertificateRenewal::Ask ask_data_plane(net::HttpClient& client, std::string url);

}  // namespace skerry::nucleus
