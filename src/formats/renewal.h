// How a device asks the fleet's data plane for its next certificate, which no public protocol has:
// POST {"certificateSigningRequest": PKCS #10 in PEM} with the certificate that it has, answered
// with {"certificatePem": "…"}. The same request is answered with the same certificate.
#pragma once

#include <string_view>

namespace skerry::formats {

inline constexpr std::string_view kRenewalPath = "/skerry/v1/certificates";

}  // namespace skerry::formats
