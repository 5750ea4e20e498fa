// What devices ask over HTTPS, with their certificate as the only credential: the groups they are
// in, which component versions to run, where artifacts are, and temporary credentials for a role
// alias.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/credentials.h"
#include "fleet/store_pool.h"
#include "formats/arn.h"
#include "io/task.h"
#include "net/http.h"

namespace skerry::fleet {

// Each request is one unit of work of a reader.
class DataPlane {
 public:
  // The URL under which a device may read content for a while.
  using Presign = std::function<Result<std::string>(const std::string& sha256)>;

  DataPlane(StorePool& stores, formats::ArnScope scope, TemporaryCredentials& credentials,
            std::string role_alias, Presign presign)
      : stores_(stores),
        scope_(std::move(scope)),
        credentials_(credentials),
        role_alias_(std::move(role_alias)),
        presign_(std::move(presign)) {}

  // A device may ask for itself only, and only while its certificate is active and attached.
  io::Task<net::HttpResponse> handle(net::HttpRequest request);

 private:
  // Who asks, proven by the TLS handshake and the registry.
  struct Device {
    ThingName thing;
    std::string certificate_id;
  };
  using Parameters = std::map<std::string, std::string>;
  using Handler = net::HttpResponse (DataPlane::*)(Store&, const Device&, const Parameters&,
                                                   const net::HttpRequest&);
  struct Route {
    std::string_view method;
    std::string_view path;
    Handler handler;
  };
  static const Route kRoutes[];

  net::HttpResponse answer(Store& store, const net::HttpRequest& request);
  static Result<Device> identify(Store& store, const net::Peer& peer);
  net::HttpResponse thing_groups(Store& store, const Device& device, const Parameters& path,
                                 const net::HttpRequest& request);
  net::HttpResponse resolve_candidates(Store& store, const Device& device, const Parameters& path,
                                       const net::HttpRequest& request);
  net::HttpResponse artifact(Store& store, const Device& device, const Parameters& path,
                             const net::HttpRequest& request);
  net::HttpResponse role_credentials(Store& store, const Device& device, const Parameters& path,
                                     const net::HttpRequest& request);

  StorePool& stores_;
  formats::ArnScope scope_;
  TemporaryCredentials& credentials_;
  std::string role_alias_;
  Presign presign_;
};

}  // namespace skerry::fleet
