// The key that this device's secrets are sealed with: random, kept beside them, and itself wrapped
// so that only who has the device's private key can use it. Bytes: docs/data/secrets.md.
#pragma once

#include <string>

#include "base/error.h"
#include "io/files.h"
#include "io/random.h"

namespace skerry::nucleus {

// The key in the file `path`, made where there is none. `private_key_file`: PEM, EC or RSA; empty
// on a device that has none yet: the key then lies there as it is, mode 0600, and is wrapped once
// there is one. kFailedPrecondition where it was wrapped for another private key.
Result<std::string> open_secret_key(io::Files& files, io::Random& random, const std::string& path,
                                    const std::string& private_key_file);

}  // namespace skerry::nucleus
