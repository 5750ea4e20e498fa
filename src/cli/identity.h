// A device's private key and the request for its certificate.
#pragma once

#include <string>

#include "base/error.h"

namespace skerry::cli {

struct Identity {
  std::string key_pem;      // PKCS #8, EC P-256; secret
  std::string request_pem;  // PKCS #10, CN = thing name
};

Result<Identity> make_identity(const std::string& thing);

}  // namespace skerry::cli
