// The AWS-shaped HTTP API: finds the operation of a request, checks its signature and its sender's
// role, and turns results into what AWS clients expect. Each operation is one unit of work of the
// store, with the line in the audit log that a change gets: reading the request, doing it and
// printing the answer happen off the loop's thread.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fleet/access/access_keys.h"
#include "fleet/aws/api.h"
#include "fleet/aws/protocols.h"
#include "fleet/store_pool.h"
#include "io/task.h"
#include "net/http.h"
#include "net/sigv4.h"

namespace skerry::fleet::aws {

// Values of a template's parameters, or nothing where `path` (raw, still encoded) does not fit it.
std::optional<std::map<std::string, std::string>> match_path(std::string_view path_template,
                                                             std::string_view path);

// Every operation there is.
std::vector<Route> all_routes();

class Router {
 public:
  Router(ApiServices services, StorePool& stores, const AccessKeys& keys);

  // What can be refused before the body is there: an unknown key, a wrong time, and, where the head
  // says what the body is, a wrong signature.
  std::optional<net::HttpResponse> refuse_head(const net::HttpRequest& head) const;
  // Every answer carries x-amzn-RequestId; the log names a failure inside by it.
  io::Task<net::HttpResponse> handle(net::HttpRequest request);
  // The same for a request that needs no signature, since whoever sends it is known.
  io::Task<net::HttpResponse> handle_for(Identity who, std::string service,
                                         net::HttpRequest request);

 private:
  struct Call {
    Identity who;
    std::map<std::string, std::string> path;  // decoded parameters
    net::HttpRequest request;
    std::string request_id;
  };
  io::Task<net::HttpResponse> answer(net::HttpRequest request, std::string request_id);
  io::Task<net::HttpResponse> dispatch(Identity who, std::string service, net::HttpRequest request,
                                       std::string request_id);
  io::Task<net::HttpResponse> run(const Route& route, Call call);
  // What an operation needs from elsewhere, before its unit of work.
  io::Task<Result<void>> prepare(const Route& route, const net::HttpRequest& request);

  ApiServices services_;
  StorePool& stores_;
  const AccessKeys& keys_;
  net::SecretLookup secret_of_;
  std::vector<Route> routes_;
};

}  // namespace skerry::fleet::aws
