// What a server of the Open Inference Protocol says where it refuses: {"error": TEXT} and a status.
#pragma once

#include <string_view>

#include "base/error.h"

namespace skerry::formats {

// The refusal as its clients' Error, whose text is the server's, cut where it is long: 401 and 403
// are kPermissionDenied (401 with how to give a token), 404 kNotFound, 429 kResourceExhausted, 503
// kUnavailable, other 5xx kInternal, and the rest is the request's fault.
Error inference_refusal(int status, std::string_view body);

}  // namespace skerry::formats
