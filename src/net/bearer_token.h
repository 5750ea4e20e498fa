// The token that a service knows its caller by (RFC 6750), from where other users cannot read it:
// a file or the environment, never the command line.
#pragma once

#include <memory>
#include <string>

#include "net/http_client.h"

namespace skerry::net {

// What clients of skerry-infer read where no file is named.
inline constexpr const char* kInferTokenVariable = "SKERRY_INFER_TOKEN";
inline constexpr const char* kTokenFileHelp =
    "File with the token that the server's access rules know this client by; read again when it "
    "changes (default: the variable SKERRY_INFER_TOKEN, else none is sent)";

class BearerToken {
 public:
  BearerToken() = default;  // none: requests go as they are
  // Of the file; of the environment variable where `file` is "". kInvalidArgument where that holds
  // no token: one line of printable ASCII without blanks.
  static Result<BearerToken> open(const std::string& file,
                                  const char* variable = kInferTokenVariable);

  // Adds the token to `request`. A file that was replaced is read again; one that is gone or wrong
  // meanwhile leaves the token as it was. One stat() a call.
  void authorize(HttpRequest& request);

 private:
  std::string file_;     // "": it never changes
  std::string version_;  // what stat() says of the file that was read
  std::string token_;    // "": none
};

// `http`, with the token in every request.
std::unique_ptr<HttpClient> with_token(std::unique_ptr<HttpClient> http, BearerToken token);

}  // namespace skerry::net
