// The artifact store over HTTP, in the shapes of S3: PUT, GET (with Range) and HEAD of
// /artifacts/BUCKET/KEY, signed or pre-signed for the service s3. Uploads stream to the disk.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/artifacts.h"
#include "fleet/store.h"
#include "io/env.h"
#include "net/http.h"
#include "net/sigv4.h"

namespace skerry::fleet::aws {

class ArtifactApi {
 public:
  // Operators may read and write; devices, with temporary credentials, may read.
  struct Keys {
    net::SecretLookup of_operator;
    net::SecretLookup of_device;
  };
  ArtifactApi(io::Env& env, Store& store, ArtifactStore& artifacts, std::string region, Keys keys)
      : env_(env),
        store_(store),
        artifacts_(artifacts),
        region_(std::move(region)),
        keys_(std::move(keys)) {}

  static bool is_for(std::string_view target) { return target.starts_with("/artifacts/"); }
  // The target under which content itself, whatever its names, can be read.
  static std::string content_target(std::string_view sha256);

  // For HttpServer: an upload is checked before its body is read, and refused then if it must be.
  std::expected<net::BodyRoute, net::HttpResponse> route_body(const net::HttpRequest& head);
  net::HttpResponse handle(const net::HttpRequest& request);

 private:
  struct Place {
    std::string bucket;
    std::string key;
  };
  Result<Place> place_of(std::string_view target) const;
  std::expected<void, net::HttpResponse> authorize(const net::HttpRequest& request, bool writes,
                                                   std::string_view body_sha256);
  net::HttpResponse put(const net::HttpRequest& request, const Place& place);
  net::HttpResponse get(const net::HttpRequest& request, const Place& place);

  io::Env& env_;
  Store& store_;
  ArtifactStore& artifacts_;
  std::string region_;
  Keys keys_;
};

}  // namespace skerry::fleet::aws
