// The server's file has the digest alone: who reads it can ask for nothing.
#include "serve/token.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/sha256.h"
#include "io/random.h"

namespace skerry::serve {

std::string new_token(bool as_json) {
  std::string bytes(32, '\0');
  io::RealRandom().fill(bytes.data(), bytes.size());
  const std::string token = hex_encode(bytes);
  const std::string digest = hex_encode(sha256(token));
  return as_json ? fmt::format(R"({{"token":"{}","token_sha256":"{}"}})", token, digest)
                 : fmt::format("token         {}\ntoken_sha256  {}", token, digest);
}

}  // namespace skerry::serve
