// New certificates for devices that have one: a device asks over the data plane, with a new key of
// its own, before its certificate ends or for a while after. The old one is good until its end, so
// that a device which is cut short on its way goes on with it.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/ca.h"
#include "fleet/store.h"
#include "io/clock.h"
#include "net/tls.h"

namespace skerry::fleet {

// A device that was away when its certificate ended may still ask for another one.
inline constexpr int64_t kRenewalGraceS = 30 * 86'400;
// That have not ended, of one thing; more are refused, so that no device fills the store.
inline constexpr size_t kCertificatesOfThing = 8;

// The certificate, in PEM, of `csr_pem` for `thing`; the same one where it has been issued before,
// to an answer that was lost. `caller` is the id of the certificate that asks, which is the one to
// be replaced: a key in a token is kept. Certificates of the thing whose grace is over are
// forgotten.
// kResourceExhausted where it has too many.
Result<std::string> renew_certificate(Store& store, CertificateAuthority& authority,
                                      io::Clock& clock, const ThingName& thing,
                                      std::string_view csr_pem, const std::string& caller);

// Lets certificates in that have ended so little ago; what they are good for is the data plane's
// matter.
class RenewalTimes : public net::CertificateTimes {
 public:
  explicit RenewalTimes(io::Clock& clock) : clock_(clock) {}
  bool may_be_valid(int64_t not_before_s, int64_t not_after_s) const override;

 private:
  io::Clock& clock_;
};

}  // namespace skerry::fleet
