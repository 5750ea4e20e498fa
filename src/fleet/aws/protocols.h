// The protocols of AWS's services, as far as errors go: each client reads its own only.
#pragma once

#include <string>
#include <string_view>

#include "fleet/access/roles.h"
#include "formats/arn.h"
#include "net/http.h"
#include "net/sigv4.h"

namespace skerry::fleet::aws {

enum class Protocol {
  kRestJson,  // {"message": …} and the exception's name in the header x-amzn-errortype
  kJson,      // {"__type": …, "message": …}: secretsmanager, logs, …
  kQuery,     // XML: sts, iam, …
  kRestXml,   // XML: s3
};

// What the sender of `request` reads: by the service it is signed for, and its form.
Protocol protocol_of(const net::HttpRequest& request);
net::HttpResponse protocol_error(Protocol protocol, int status, std::string_view type,
                                 std::string_view message);
// rest-json's.
net::HttpResponse error_response(int status, std::string_view type, std::string_view message);

// sts: GetCallerIdentity; the rest is not implemented and says so.
net::HttpResponse answer_sts(const formats::ArnScope& scope, const Identity& who,
                             const net::HttpRequest& request, std::string_view request_id);

}  // namespace skerry::fleet::aws
