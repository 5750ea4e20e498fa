// A fleet's API as the commands call it: signed requests, one at a time, waiting for each answer.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cli/upload_content.h"
#include "formats/arn.h"
#include "io/loop.h"
#include "net/http_client.h"
#include "net/sigv4.h"

namespace skerry::cli {

struct ConnectionOptions {
  std::string directory;  // "": default_directory()
  std::string endpoint;   // "": the fleet of `directory`
  std::string access_key_file;
  std::string region;
  std::string ca_file;
};

// ${XDG_DATA_HOME:-~/.local/share}/skerry/fleet
std::string default_directory();
// The directory's path, absolute.
std::string directory_of(const ConnectionOptions& options);

// What a running fleet says about itself in DIR/fleet.json. kUnavailable where none runs.
Result<nlohmann::json> read_fleet_file(const std::string& directory);

using Query = std::vector<std::pair<std::string, std::string>>;

struct ApiCall {
  std::string service;  // "greengrass", "iot" or "skerry"
  std::string method;
  std::string path;  // its variable parts percent-encoded
  Query query = {};
  std::string body = {};  // JSON, or ""
  std::vector<std::pair<std::string, std::string>> headers = {};
};

class FleetClient {
 public:
  static Result<FleetClient> open(const ConnectionOptions& options);

  const formats::ArnScope& scope() const { return scope_; }

  // The answer's JSON. What the fleet refuses has its message and the code that fits; kUnavailable
  // where it does not answer.
  Result<nlohmann::json> call(ApiCall call);
  // Every element of member `list` over all pages.
  Result<nlohmann::json> list(ApiCall call, const std::string& list);
  // Uploads to s3://BUCKET/KEY.
  Result<void> put_object(const std::string& bucket, const std::string& key,
                          const UploadContent& content);

 private:
  FleetClient(std::string endpoint, net::AwsCredentials credentials, formats::ArnScope scope,
              std::shared_ptr<net::TlsContext> tls);
  Result<net::HttpResponse> send(net::HttpRequest request, const std::string& service,
                                 net::FetchOptions options = {});

  std::string endpoint_;  // "http://host:port"
  net::AwsCredentials credentials_;
  formats::ArnScope scope_;
  std::unique_ptr<io::RealLoop> loop_;
  std::unique_ptr<net::HttpClient> http_;
};

// Why a deployment failed on a device, from an element of effectiveDeployments: "reason" for
// people, "error_stack" and "error_types" for machines, where they are known.
void add_failure(const nlohmann::json& effective, nlohmann::json& out);

}  // namespace skerry::cli
