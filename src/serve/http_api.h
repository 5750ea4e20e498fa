// The Open Inference Protocol v2 over HTTP with Triton's extensions (docs/openapi.yaml lists them
// all), and /metrics for Prometheus. Knows nothing of sockets: request in, response out.
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
#include "serve/access.h"
#include "serve/model_repository.h"
#include "serve/request_record.h"
#include "serve/rings.h"
#include "serve/runtime_registry.h"
#include "serve/scheduler.h"
#include "serve/shared_memory.h"
#include "serve/summaries.h"
#include "serve/tensor_codec.h"
#include "serve/trace.h"

namespace skerry::serve {

// Belongs to the loop's thread.
class HttpApi {
 public:
  struct Options {
    std::string server_version;
    // Loading runs a model with this process's rights, so without rules it is for those who can
    // open the Unix socket; settings of the server are as well.
    bool repository_over_tcp = false;
    uint64_t max_shared_bytes = 64 << 20;  // of inputs in shared memory at once
    Summaries* summaries = nullptr;        // outlives it; null where nobody wants any
    RuntimeRegistry* runtimes = nullptr;   // outlives it; null where none can be registered
  };

  // All references outlive it. On `codec` large bodies are read and written.
  HttpApi(io::Loop& loop, io::Clock& clock, io::Pool& codec, ModelRepository& repository,
          Scheduler& scheduler, Options options)
      : loop_(loop),
        clock_(clock),
        codec_(codec),
        repository_(repository),
        scheduler_(scheduler),
        options_(std::move(options)) {}

  // Answers one request. Errors are {"error":"…"} with the status of http_status().
  io::Task<net::HttpResponse> handle(net::HttpRequest request);
  // What the server itself refuses, in the same words.
  static net::HttpResponse refusal(const net::HttpRequest& head, int status,
                                   std::string_view message);

  // Before them, whoever can open the Unix socket may do everything (serve/access.h).
  void set_access(AccessRules rules) { access_.set_rules(std::move(rules)); }
  // /v2/health/ready says so from here on: the models of the last run are loaded.
  void set_ready() { ready_ = true; }
  // Connections that have become shared memory.
  Rings& rings() { return rings_; }

 private:
  // A request and what the wildcards of its endpoint's path stand for.
  struct Call {
    std::string name;     // of the model, region or runtime
    std::string version;  // of the model, where the path has one
    net::HttpRequest request;
    Grant grant;  // held until the answer
  };
  // One row of the table of what is served (http_api.cc).
  struct Endpoint;
  using Answer = Result<net::HttpResponse>;
  static constexpr uint64_t kRingsOfBodies = 4;  // all rings, in largest bodies

  io::Task<net::HttpResponse> route(net::HttpRequest request);
  io::Task<net::HttpResponse> compressed(io::Task<net::HttpResponse> answer,
                                         std::string_view coding);

  // What is there (http_api.cc).
  Answer server(const Call& call);
  Answer live(const Call& call);
  Answer ready(const Call& call);
  Answer metrics(const Call& call);
  Answer all_statistics(const Call& call);
  Answer model(const Call& call);
  Answer model_ready(const Call& call);
  Answer model_config(const Call& call);
  Answer model_statistics(const Call& call);
  Answer model_drift(const Call& call);
  Answer model_watchdog(const Call& call);

  Answer open_ring(const Call& call);

  // Inferences (http_infer.cc).
  io::Task<net::HttpResponse> begin_infer(Call call);
  io::Task<net::HttpResponse> infer(ServedModelPtr model, Call call);
  io::Task<Result<std::shared_ptr<const SharedTensors>>> take_shared(DecodedRequest& request);

  // What changes the server (http_admin.cc).
  io::Task<net::HttpResponse> load(Call call);
  io::Task<net::HttpResponse> unload(Call call);
  Answer index(const Call& call);
  Answer list_runtimes(const Call& call);
  io::Task<net::HttpResponse> add_runtime(Call call);
  io::Task<net::HttpResponse> remove_runtime(Call call);
  Result<void> check_runtimes() const;
  Answer policy(const Call& call);
  io::Task<net::HttpResponse> set_policy(Call call);
  Answer shared_status(const Call& call);
  Answer register_shared(const Call& call);
  Answer unregister_shared(const Call& call);
  Answer no_gpu(const Call& call);
  Answer no_gpu_memory(const Call& call);
  Answer trace(const Call& call);
  Answer set_trace(const Call& call);
  Answer logging(const Call& call);
  Answer set_logging(const Call& call);
  io::Task<net::HttpResponse> after_bringing_back(const Endpoint* endpoint, Call call);

  io::Loop& loop_;
  io::Clock& clock_;
  io::Pool& codec_;
  ModelRepository& repository_;
  Scheduler& scheduler_;
  Options options_;
  Access access_{clock_, options_.repository_over_tcp};
  SharedMemory shared_memory_{options_.max_shared_bytes};
  Trace trace_;
  Ledger ledger_{clock_, trace_, options_.summaries};
  Rings rings_{{loop_, codec_, repository_, scheduler_, access_, ledger_},
               kRingsOfBodies* options_.max_shared_bytes};
  bool ready_ = false;
};

// {"error": MESSAGE}, the form of every error of this protocol.
// 200 with a document.
net::HttpResponse json_response(const nlohmann::json& document);
net::HttpResponse error_response(int status, std::string_view message);
net::HttpResponse error_response(const Error& error);

// The status that stands for an error: 4xx for the caller's, 503 for "try later", 500 otherwise.
int http_status(Code code);

}  // namespace skerry::serve
