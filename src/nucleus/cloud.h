// What the nucleus asks of its control plane over HTTPS, as an interface: HttpCloud speaks the
// stock Greengrass data plane; the simulator has its own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/named_type.h"
#include "formats/public_components.h"
#include "io/task.h"
#include "net/http_client.h"

namespace skerry::nucleus {

class S3Source;

struct Platform {
  std::string os = "linux";
  std::string architecture;  // "amd64", "aarch64", "arm", "x86"

  std::map<std::string, std::string> attributes() const {
    return {
        {"os", os}, {"architecture", architecture}, {"runtime", std::string(formats::kOurRuntime)}};
  }
};

// A component version that the control plane chose.
struct Candidate {
  std::string arn;
  ComponentName name;
  std::string version;
  std::string recipe;  // its text, YAML or JSON
};

// Takes a download. `begin` says where the bytes start: the offset that was asked for, or 0 where
// the server cannot resume; `remaining_bytes` is what is to come. Both are awaited before more is
// read, and an error ends the download.
class DownloadSink {
 public:
  virtual ~DownloadSink() = default;
  virtual io::Task<Result<void>> begin(uint64_t offset, uint64_t remaining_bytes) = 0;
  virtual io::Task<Result<void>> write(std::string bytes) = 0;
};

// Every call may fail with kUnavailable or kTimeout: try again later.
class Cloud {
 public:
  virtual ~Cloud() = default;
  // "thinggroup/G1", … that this thing is in now. kPermissionDenied: not allowed to know.
  virtual io::Task<Result<std::vector<std::string>>> thing_groups() = 0;
  // `requirements`: who asks → version range. kNotFound where no version satisfies all of them.
  virtual io::Task<Result<Candidate>> resolve(ComponentName name,
                                              std::map<std::string, std::string> requirements) = 0;
  // Where to download an artifact of a component version now.
  virtual io::Task<Result<std::string>> artifact_url(std::string component_arn,
                                                     std::string artifact) = 0;
  // `url` is one of those, or s3://BUCKET/KEY.
  virtual io::Task<Result<void>> download(std::string url, uint64_t offset, DownloadSink* sink) = 0;
};

struct HttpCloudOptions {
  std::string data_plane_url;  // "https://host:port"
  ThingName thing;
  Platform platform;
  S3Source* s3 = nullptr;  // must outlive the cloud; null: the device has no role
};

// `client` must outlive it.
std::unique_ptr<Cloud> make_http_cloud(net::HttpClient& client, HttpCloudOptions options);

}  // namespace skerry::nucleus
