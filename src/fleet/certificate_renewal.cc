// The unit of work of one renewal.
#include "fleet/certificate_renewal.h"

#include "net/x509.h"

namespace skerry::fleet {
namespace {

// Whether it is of the key that the request is of, which its own signature proves.
bool is_of_key(const Certificate& certificate, EVP_PKEY* key) {
  const auto parsed = net::x509::parse_certificate(certificate.pem);
  return parsed && EVP_PKEY_eq(X509_get0_pubkey(parsed.get()), key) == 1;
}

}  // namespace

Result<std::string> renew_certificate(Store& store, CertificateAuthority& authority,
                                      io::Clock& clock, const ThingName& thing,
                                      std::string_view csr_pem, const std::string& caller) {
  const int64_t now_ms = clock.wall_ms();
  const auto request = net::x509::parse_request(csr_pem);
  EVP_PKEY* key = request ? X509_REQ_get0_pubkey(request.get()) : nullptr;
  SKERRY_ASSIGN(const auto certificates, store.certificates_of_thing(thing));
  size_t count = 0;
  const Certificate* newest = nullptr;  // of that key
  for (const Certificate& one : certificates) {
    if (one.expires_ms + kRenewalGraceS * 1000 < now_ms) {
      SKERRY_TRY(store.delete_certificate(one.id));
      continue;
    }
    if (one.expires_ms <= now_ms) continue;
    ++count;
    if (one.status == CertificateStatus::kActive && key && is_of_key(one, key) &&
        (!newest || newest->expires_ms < one.expires_ms)) {
      newest = &one;
    }
  }
  if (newest && newest->id != caller) return newest->pem;
  if (count >= kCertificatesOfThing) {
    return fail(Code::kResourceExhausted, "thing " + thing.str() + " has " + std::to_string(count) +
                                              " certificates: detach those that it does not need");
  }
  SKERRY_ASSIGN(const IssuedCertificate issued, authority.issue_device(csr_pem));
  Certificate certificate;
  certificate.id = issued.sha256;
  certificate.pem = issued.pem;
  certificate.status = CertificateStatus::kActive;
  certificate.common_name = issued.common_name;
  certificate.created_ms = now_ms;
  certificate.expires_ms = issued.expires_ms;
  SKERRY_TRY(store.add_certificate(certificate));
  SKERRY_TRY(store.attach_certificate(certificate.id, thing));
  return certificate.pem;
}

bool RenewalTimes::may_be_valid(int64_t not_before_s, int64_t not_after_s) const {
  const int64_t now_s = clock_.wall_ms() / 1000;
  return not_before_s <= now_s && now_s < not_after_s + kRenewalGraceS;
}

}  // namespace skerry::fleet
