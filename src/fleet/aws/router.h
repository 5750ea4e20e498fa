// The AWS-shaped HTTP API: finds the operation of a request, checks its signature, and turns
// results into what AWS clients expect. Operations run on the loop's thread; they only touch the
// store.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fleet/aws/api.h"
#include "net/http.h"
#include "net/sigv4.h"

namespace skerry::fleet::aws {

// Values of a template's parameters, or nothing where `path` (raw, still encoded) does not fit it.
std::optional<std::map<std::string, std::string>> match_path(std::string_view path_template,
                                                             std::string_view path);

class Router {
 public:
  // `secret_of` knows the keys that may use the API.
  Router(ApiContext& context, net::SecretLookup secret_of);

  net::HttpResponse handle(const net::HttpRequest& request);

 private:
  net::HttpResponse run(const Route& route, std::map<std::string, std::string> path,
                        const net::HttpRequest& request);

  ApiContext& context_;
  net::SecretLookup secret_of_;
  std::vector<Route> routes_;
};

// An answer in the error shape of rest-json: {"message": …} and the exception's name in the header
// x-amzn-errortype.
net::HttpResponse error_response(int status, std::string_view type, std::string_view message);

}  // namespace skerry::fleet::aws
