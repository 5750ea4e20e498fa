// SHA-256 (FIPS 180-4) of bytes that arrive in pieces.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace skerry {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::string_view bytes);
  // The 32 raw bytes; call once. Hex or Base64 them with base/encoding.h.
  std::string finish();
  // What finish() would return now; more can follow.
  std::string digest_so_far() const;

 private:
  evp_md_ctx_st* context_;
};

std::string sha256(std::string_view bytes);                            // 32 raw bytes
std::string hmac_sha256(std::string_view key, std::string_view text);  // 32 raw bytes
// Takes as long for any two texts of one length: for comparing with secrets.
bool equals_secretly(std::string_view a, std::string_view b);

}  // namespace skerry
