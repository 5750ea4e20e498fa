// Artifacts on an S3 service of the operator's, beside the built-in store: any s3://BUCKET/KEY of a
// recipe that the built-in store does not have is looked up there when the component version is
// created. Its digest is learned then; the bytes stay where they are, and devices get pre-signed
// URLs of that service.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/store_pool.h"
#include "io/env.h"
#include "io/task.h"
#include "net/http_client.h"
#include "net/sigv4.h"

namespace skerry::fleet {

struct S3Service {
  std::string endpoint;  // "https://s3.example.com:9000", a base path may follow
  std::string region;
  net::AwsCredentials credentials;
  std::string ca_file;  // of an https endpoint; "" for the machine's CAs
};
// {"endpoint", "region", "accessKeyId", "secretAccessKey", "caFile"?}
Result<S3Service> parse_s3_service(std::string_view json_text);

// What is known of an object there.
struct RemoteObject {
  std::string bucket;
  std::string key;
  std::string sha256;  // lower-case hex
  uint64_t size_bytes = 0;
  std::string etag;
};
Result<RemoteObject> find_remote_object(Store& store, const std::string& bucket,
                                        const std::string& key);
Result<RemoteObject> find_remote_content(Store& store, const std::string& sha256);
// How many bytes that content has, here or there; nothing where neither has an object of it.
Result<std::optional<int64_t>> content_bytes(Store& store, const std::string& sha256);
Result<void> put_remote_object(Store& store, const RemoteObject& object);

class RemoteArtifacts {
 public:
  // env and stores outlive it.
  static Result<std::unique_ptr<RemoteArtifacts>> open(io::Env& env, StorePool& stores,
                                                       S3Service service);

  // Every artifact of the recipe that is there and not in the built-in store: its digest is known
  // afterwards. One that is nowhere is kNotFound; a recipe that cannot be read is nobody's.
  io::Task<Result<void>> learn(std::string recipe);
  // A path-style URL that anybody may GET for a while.
  Result<std::string> presign(const RemoteObject& object) const;

 private:
  RemoteArtifacts(io::Env& env, StorePool& stores, S3Service service,
                  std::unique_ptr<net::HttpClient> http)
      : env_(env), stores_(stores), service_(std::move(service)), http_(std::move(http)) {}
  io::Task<Result<void>> learn_one(std::string bucket, std::string key);

  io::Env& env_;
  StorePool& stores_;
  const S3Service service_;
  std::unique_ptr<net::HttpClient> http_;
};

}  // namespace skerry::fleet
