// A device's HTTPS way to a SimFleet, with the faults of its network. The device speaks through the
// real client of the data plane (nucleus/http_cloud.cc), the fleet answers with the real one
// (fleet/data_plane.h); MQTT is net::FakeBroker's.
#pragma once

#include <string>

#include "net/http_client.h"
#include "sim/sim_fleet.h"

namespace skerry::sim {

class SimHttp : public net::HttpClient {
 public:
  SimHttp(SimFleet& fleet, ThingName thing) : fleet_(fleet), thing_(std::move(thing)) {}
  io::Task<Result<net::HttpResponse>> fetch(std::string url, net::HttpRequest request,
                                            net::FetchOptions options) override;

 private:
  io::Task<Result<void>> travel();
  io::Task<Result<net::HttpResponse>> download(std::string sha256, net::HttpRequest request,
                                               net::FetchOptions options);
  SimFleet& fleet_;
  const ThingName thing_;
};

}  // namespace skerry::sim
