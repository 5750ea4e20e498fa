// For tests: a device that learns, against a server of the test's own.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "learner/client.h"
#include "net/test_http_server.h"

namespace skerry::learner {

class DeviceTest : public net::HttpServerTest {
 protected:
  void start(net::HttpHandler handler) {
    serve(std::move(handler));
    http_ = net::make_http_client(loop_, nullptr);
    fleet_.emplace(*http_, "http://127.0.0.1:" + std::to_string(port_));
  }

  std::string path(const std::string& name) { return scratch_.path() + "/" + name; }
  void write_file(const std::string& name, const std::string& bytes) {
    std::ofstream(path(name), std::ios::binary) << bytes;
  }

  // Of a device whose data, "parts", are rows.npy and labels.npy.
  ClientOptions options_of(LocalPolicy policy) {
    return {.directory = path("learn"),
            .data = {{"parts", path("rows.npy"), path("labels.npy")}},
            .preprocess = {},
            .engine = {"reference", ""},
            .policy = policy};
  }
  // One task, if there is one.
  Result<double> work_with(ClientOptions options, const Identity* own = nullptr) {
    Client client(env_, *fleet_, pool_, std::move(options), own);
    return net::run_task(loop_, client.work());
  }

  io::RealClock clock_;
  io::RealFiles files_;
  io::RealProcesses processes_{loop_};
  io::SeededRandom random_{1};
  io::InlinePool pool_;
  io::Env env_{loop_, clock_, files_, processes_, random_, pool_, pool_};
  std::unique_ptr<net::HttpClient> http_;
  std::optional<FleetLink> fleet_;
};

}  // namespace skerry::learner
