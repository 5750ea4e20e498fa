// What devices ask over HTTPS, with their certificate as the only credential: the groups they are
// in, which component versions to run, where artifacts are, temporary credentials for a role alias,
// and the next certificate. One whose certificate has ended gets nothing but that.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/active_certificates.h"
#include "fleet/credentials.h"
#include "fleet/device_scope.h"
#include "fleet/store_pool.h"
#include "fleet/thing_budget.h"
#include "formats/arn.h"
#include "formats/recipe.h"
#include "io/task.h"
#include "net/http.h"

namespace skerry::fleet {

// Each request is one unit of work of a reader.
class DataPlane {
 public:
  // The URL under which a device may read content for a while.
  using Presign = std::function<Result<std::string>(Store& store, const std::string& sha256)>;

  DataPlane(io::Clock& clock, StorePool& stores, formats::ArnScope scope,
            const ActiveCertificates& certificates, TemporaryCredentials& credentials,
            std::string role_alias, Presign presign)
      : clock_(clock),
        stores_(stores),
        certificates_(certificates),
        scope_(scope),
        device_scope_(std::move(scope)),
        budget_(clock, kBurst, kPerSecond),
        credentials_(credentials),
        role_alias_(std::move(role_alias)),
        presign_(std::move(presign)) {}

  // Who answers below federated::kLearningPath, for devices whose certificate is good.
  using Learning = std::function<io::Task<net::HttpResponse>(ThingName, net::HttpRequest)>;
  void set_learning(Learning learning) { learning_ = std::move(learning); }

  // The certificate of a request, for the thing: one unit of work of the writer.
  // `caller`: the id of the certificate that asks.
  using Renew = std::function<Result<std::string>(Store&, const ThingName&, std::string_view csr,
                                                  const std::string& caller)>;
  void set_renew(Renew renew) { renew_ = std::move(renew); }

  // A device may ask for itself only, only while its certificate is active and attached, and only
  // for components that deployments which target it lead to. One that asks for too much is told to
  // wait (429).
  io::Task<net::HttpResponse> handle(net::HttpRequest request);

 private:
  // Who asks, proven by the TLS handshake and the registered certificates.
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

  static Error refusal(Store& store, const std::string& certificate_id);
  net::HttpResponse answer(Store& store, const Device& device, const net::HttpRequest& request);
  net::HttpResponse thing_groups(Store& store, const Device& device, const Parameters& path,
                                 const net::HttpRequest& request);
  net::HttpResponse resolve_candidates(Store& store, const Device& device, const Parameters& path,
                                       const net::HttpRequest& request);
  net::HttpResponse artifact(Store& store, const Device& device, const Parameters& path,
                             const net::HttpRequest& request);
  net::HttpResponse role_credentials(Store& store, const Device& device, const Parameters& path,
                                     const net::HttpRequest& request);

  Result<nlohmann::json> resolve_all(Store& store, const Device& device, std::string_view text);
  Result<nlohmann::json> resolve_one(Store& store, const Device& device,
                                     const nlohmann::json& candidate,
                                     const formats::PlatformAttributes& platform);

  // In requests, where one with a body counts for more (kBytesPerUnit): what a candidate takes in
  // it. A deployment of 100 components with an artifact each is some 300 requests of a stock
  // nucleus, 1,000 units.
  static constexpr double kBurst = 4000, kPerSecond = 100, kBytesPerUnit = 50;
  static constexpr double kLearningBytesPerUnit = 16 << 10;  // nobody looks at them one by one
  static constexpr double kRenewalUnits = 400;

  io::Task<net::HttpResponse> renew(ThingName thing, net::HttpRequest request);

  io::Clock& clock_;
  StorePool& stores_;
  const ActiveCertificates& certificates_;
  formats::ArnScope scope_;
  DeviceScope device_scope_;
  ThingBudget budget_;
  TemporaryCredentials& credentials_;
  std::string role_alias_;
  Presign presign_;
  Learning learning_;
  Renew renew_;
};

}  // namespace skerry::fleet
