// The Open Inference Protocol v2 over HTTP, with the binary, configuration, statistics and
// repository extensions, and /metrics for Prometheus. Knows nothing of sockets: request in,
// response out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/clock.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/task.h"
#include "net/http.h"
#include "serve/inference_service.h"
#include "serve/model_repository.h"
#include "serve/summaries.h"
#include "serve/tensor_codec.h"

namespace skerry::serve {

// Belongs to the loop's thread.
class HttpApi {
 public:
  struct Options {
    std::string server_version;
    // Loading runs a model with this process's rights, so it is for those who can open the Unix
    // socket.
    bool repository_over_tcp = false;
    Summaries* summaries = nullptr;  // outlives it; null where nobody wants any
  };

  // All references outlive it. On `codec` large bodies are read and written.
  HttpApi(io::Loop& loop, io::Clock& clock, io::Pool& codec, ModelRepository& repository,
          InferenceService& inference, Options options)
      : loop_(loop),
        clock_(clock),
        codec_(codec),
        repository_(repository),
        inference_(inference),
        options_(std::move(options)) {}

  // Answers one request. Errors are {"error":"…"} with the status of http_status().
  io::Task<net::HttpResponse> handle(net::HttpRequest request);
  // What the server itself refuses, in the same words.
  static net::HttpResponse refusal(const net::HttpRequest& head, int status,
                                   std::string_view message);

  // /v2/health/ready says so from here on: the models of the last run are loaded.
  void set_ready() { ready_ = true; }

 private:
  struct Route;

  io::Task<net::HttpResponse> infer(ServedModelPtr model, net::HttpRequest request);
  io::Task<net::HttpResponse> change_repository(std::string name, std::string action,
                                                net::HttpRequest request);
  Result<net::HttpResponse> read(const Route& route) const;
  Result<net::HttpResponse> read_model(const Route& route) const;
  Result<net::HttpResponse> index(const net::HttpRequest& request) const;
  Result<ServedModelPtr> find(const std::string& name, const std::string& version) const;
  std::string metrics() const;

  io::Loop& loop_;
  io::Clock& clock_;
  io::Pool& codec_;
  ModelRepository& repository_;
  InferenceService& inference_;
  Options options_;
  bool ready_ = false;
};

// {"error": MESSAGE}, the form of every error of this protocol.
net::HttpResponse error_response(int status, std::string_view message);

// The status that stands for an error: 4xx for the caller's, 503 for "try later", 500 otherwise.
int http_status(Code code);

}  // namespace skerry::serve
