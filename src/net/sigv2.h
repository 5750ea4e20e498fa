// URLs that clients pre-sign with AWS's older signature, version 2, which stock boto3 and `aws`
// still do for S3 unless told otherwise.
#pragma once

#include <expected>
#include <string_view>

#include "net/http.h"
#include "net/sigv4.h"

namespace skerry::net {

// Whether the query of `target` carries such a signature.
bool is_sigv2_presigned(std::string_view target);

// `path_prefix`: what of the path clients leave out when they sign (their endpoint's own path). The
// scope of the caller has no region: this signature names none.
std::expected<SigV4Caller, SigV4Refusal> sigv2_verify(const HttpRequest& request,
                                                      const SecretLookup& secret_of,
                                                      int64_t wall_ms,
                                                      std::string_view path_prefix);

}  // namespace skerry::net
