// The service's methods, each one question to the inference service, and the server around them.
#include "gateway/gateway.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <expected>
#include <thread>

#include "gateway/backend.h"
#include "gateway/inference.grpc.pb.h"
#include "gateway/translate.h"

namespace skerry::gateway {
namespace {

using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;

constexpr int64_t kAnswerMs = 300'000;  // the longest that is waited for, as a load may take
constexpr int64_t kHealthMs = 1'000;
constexpr auto kDrain = std::chrono::seconds(10);

StatusCode status_code(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kCorrupt:
      return StatusCode::INVALID_ARGUMENT;
    case Code::kNotFound:
      return StatusCode::NOT_FOUND;
    case Code::kAlreadyExists:
      return StatusCode::ALREADY_EXISTS;
    case Code::kPermissionDenied:
      return StatusCode::PERMISSION_DENIED;
    case Code::kFailedPrecondition:
      return StatusCode::FAILED_PRECONDITION;
    case Code::kUnsupported:
      return StatusCode::UNIMPLEMENTED;
    case Code::kResourceExhausted:
      return StatusCode::RESOURCE_EXHAUSTED;
    case Code::kUnavailable:
      return StatusCode::UNAVAILABLE;
    case Code::kTimeout:
      return StatusCode::DEADLINE_EXCEEDED;
    case Code::kCancelled:
      return StatusCode::CANCELLED;
    case Code::kInternal:
      return StatusCode::INTERNAL;
  }
  return StatusCode::UNKNOWN;
}

// What a call ends with that is refused.
struct Refusal {
  Status status;
  std::string retry_after_s;  // "" where trying again would not help, or nobody knows when

  explicit Refusal(const Error& error) : status(status_code(error.code()), error.message()) {}
  explicit Refusal(const net::HttpResponse& response) : Refusal(error_of(response)) {
    retry_after_s = response.headers.get("Retry-After");
    if (response.status == 401) {
      status = Status(StatusCode::UNAUTHENTICATED, status.error_message());
    }
  }
};

template <class T>
using Answer = std::expected<T, Refusal>;

Status refused(ServerContext& context, const Refusal& refusal) {
  if (!refusal.retry_after_s.empty()) {
    context.AddTrailingMetadata("retry-after", refusal.retry_after_s);
  }
  return refusal.status;
}

Status status_of(const Result<void>& result) {
  return result ? Status::OK : Refusal(result.error()).status;
}

// Whom the service is asked for, as RFC 7239 has it: "ipv4:10.0.0.7:4711" → for="10.0.0.7".
std::string forwarded(const ServerContext& context) {
  const std::string peer = context.peer();
  const size_t begin = peer.find(':') + 1;
  const size_t end = std::max(begin, peer.rfind(':'));
  const auto address = net::percent_decode(peer.substr(begin, end - begin));
  return fmt::format("for=\"{}\"", address && !address->empty() ? *address : "unknown");
}

// The service says what the caller may do: by the caller's token and address, not by ours.
void speak_for(const ServerContext& context, net::HttpRequest& request) {
  request.headers.add("Forwarded", forwarded(context));
  const auto& metadata = context.client_metadata();
  if (const auto found = metadata.find("authorization"); found != metadata.end()) {
    request.headers.add("Authorization", std::string(found->second.data(), found->second.size()));
  }
}

// What the caller still waits.
int64_t time_left_ms(const ServerContext& context) {
  const auto left = context.deadline() - std::chrono::system_clock::now();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
  return std::clamp<int64_t>(ms, 1, kAnswerMs);
}

// The library of gRPC tells a thread that serves a call nothing: it has to be asked.
std::function<bool()> cancellation_of(const ServerContext& context) {
  return [&context] { return context.IsCancelled(); };
}

// "/v2/models/NAME[/versions/VERSION]REST"
std::string model_path(const std::string& name, const std::string& version, std::string_view rest) {
  std::string path = "/v2/models/" + net::percent_encode(name);
  if (!version.empty()) path += "/versions/" + net::percent_encode(version);
  return path.append(rest);
}

std::string json_string(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) quoted += c;
  }
  return quoted + '"';
}

class Service final : public inference::GRPCInferenceService::Service {
 public:
  explicit Service(const Backend& backend) : backend_(backend) {}

  Status ServerLive(ServerContext* context, const inference::ServerLiveRequest*,
                    inference::ServerLiveResponse* out) override {
    out->set_live(is_true(*context, "/v2/health/live"));
    return Status::OK;
  }
  Status ServerReady(ServerContext* context, const inference::ServerReadyRequest*,
                     inference::ServerReadyResponse* out) override {
    out->set_ready(is_true(*context, "/v2/health/ready"));
    return Status::OK;
  }
  Status ModelReady(ServerContext* context, const inference::ModelReadyRequest* in,
                    inference::ModelReadyResponse* out) override {
    out->set_ready(is_true(*context, model_path(in->name(), in->version(), "/ready")));
    return Status::OK;
  }
  Status ServerMetadata(ServerContext* context, const inference::ServerMetadataRequest*,
                        inference::ServerMetadataResponse* out) override {
    return get(*context, "/v2", "", *out);
  }
  Status ModelMetadata(ServerContext* context, const inference::ModelMetadataRequest* in,
                       inference::ModelMetadataResponse* out) override {
    return get(*context, model_path(in->name(), in->version(), ""), "", *out);
  }
  Status ModelConfig(ServerContext* context, const inference::ModelConfigRequest* in,
                     inference::ModelConfigResponse* out) override {
    return get(*context, model_path(in->name(), in->version(), "/config"), "config", *out);
  }
  Status ModelStatistics(ServerContext* context, const inference::ModelStatisticsRequest* in,
                         inference::ModelStatisticsResponse* out) override {
    const std::string path =
        in->name().empty() ? "/v2/models/stats" : model_path(in->name(), in->version(), "/stats");
    return get(*context, path, "", *out);
  }

  Status ModelInfer(ServerContext* context, const inference::ModelInferRequest* in,
                    inference::ModelInferResponse* out) override {
    const auto answered = infer(*context, *in, *out);
    return answered ? Status::OK : refused(*context, answered.error());
  }
  // One answer for each request, in their order. A refused one says so and the stream goes on.
  Status ModelStreamInfer(ServerContext* context,
                          grpc::ServerReaderWriter<inference::ModelStreamInferResponse,
                                                   inference::ModelInferRequest>* stream) override {
    for (inference::ModelInferRequest request; stream->Read(&request);) {
      inference::ModelStreamInferResponse response;
      auto answered = infer(*context, request, *response.mutable_infer_response());
      if (!answered) {
        response.mutable_infer_response()->Clear();
        response.mutable_infer_response()->set_id(request.id());
        response.set_error_message(answered.error().status.error_message());
      }
      if (!stream->Write(response)) break;
    }
    return Status::OK;
  }

  Status RepositoryIndex(ServerContext* context, const inference::RepositoryIndexRequest* in,
                         inference::RepositoryIndexResponse* out) override {
    auto body = ask(*context, "POST", "/v2/repository/index",
                    in->ready() ? R"({"ready":true})" : R"({"ready":false})");
    return body ? status_of(read_json(*body, "models", *out)) : refused(*context, body.error());
  }
  Status RepositoryModelLoad(ServerContext* context,
                             const inference::RepositoryModelLoadRequest* in,
                             inference::RepositoryModelLoadResponse*) override {
    return post(*context, repository_path(in->model_name(), "load"),
                parameters_of(in->parameters()));
  }
  Status RepositoryModelUnload(ServerContext* context,
                               const inference::RepositoryModelUnloadRequest* in,
                               inference::RepositoryModelUnloadResponse*) override {
    return post(*context, repository_path(in->model_name(), "unload"),
                parameters_of(in->parameters()));
  }

  Status SystemSharedMemoryStatus(ServerContext* context,
                                  const inference::SystemSharedMemoryStatusRequest* in,
                                  inference::SystemSharedMemoryStatusResponse* out) override {
    auto body = ask(*context, "GET", region_path("system", in->name(), "status"), "");
    return body ? status_of(read_regions(*body, *out)) : refused(*context, body.error());
  }
  Status SystemSharedMemoryRegister(ServerContext* context,
                                    const inference::SystemSharedMemoryRegisterRequest* in,
                                    inference::SystemSharedMemoryRegisterResponse*) override {
    return post(*context, region_path("system", in->name(), "register"),
                fmt::format(R"({{"key":{},"offset":{},"byte_size":{}}})", json_string(in->key()),
                            in->offset(), in->byte_size()));
  }
  Status SystemSharedMemoryUnregister(ServerContext* context,
                                      const inference::SystemSharedMemoryUnregisterRequest* in,
                                      inference::SystemSharedMemoryUnregisterResponse*) override {
    return post(*context, region_path("system", in->name(), "unregister"), "{}");
  }
  Status CudaSharedMemoryStatus(ServerContext* context,
                                const inference::CudaSharedMemoryStatusRequest* in,
                                inference::CudaSharedMemoryStatusResponse* out) override {
    auto body = ask(*context, "GET", region_path("cuda", in->name(), "status"), "");
    return body ? status_of(read_regions(*body, *out)) : refused(*context, body.error());
  }
  Status CudaSharedMemoryRegister(ServerContext* context,
                                  const inference::CudaSharedMemoryRegisterRequest* in,
                                  inference::CudaSharedMemoryRegisterResponse*) override {
    return post(*context, region_path("cuda", in->name(), "register"), "{}");
  }
  Status CudaSharedMemoryUnregister(ServerContext* context,
                                    const inference::CudaSharedMemoryUnregisterRequest* in,
                                    inference::CudaSharedMemoryUnregisterResponse*) override {
    return post(*context, region_path("cuda", in->name(), "unregister"), "{}");
  }

  Status TraceSetting(ServerContext* context, const inference::TraceSettingRequest* in,
                      inference::TraceSettingResponse* out) override {
    const std::string path = in->model_name().empty()
                                 ? "/v2/trace/setting"
                                 : model_path(in->model_name(), "", "/trace/setting");
    auto body = in->settings().empty() ? ask(*context, "GET", path, "")
                                       : ask(*context, "POST", path, json_of(*in));
    return body ? status_of(read_settings(*body, true, *out)) : refused(*context, body.error());
  }
  Status LogSettings(ServerContext* context, const inference::LogSettingsRequest* in,
                     inference::LogSettingsResponse* out) override {
    auto body = in->settings().empty() ? ask(*context, "GET", "/v2/logging", "")
                                       : ask(*context, "POST", "/v2/logging", json_of(*in));
    return body ? status_of(read_settings(*body, false, *out)) : refused(*context, body.error());
  }

 private:
  static std::string repository_path(const std::string& model, std::string_view what) {
    return fmt::format("/v2/repository/models/{}/{}", net::percent_encode(model), what);
  }
  static std::string region_path(std::string_view kind, const std::string& region,
                                 std::string_view what) {
    return region.empty() ? fmt::format("/v2/{}sharedmemory/{}", kind, what)
                          : fmt::format("/v2/{}sharedmemory/region/{}/{}", kind,
                                        net::percent_encode(region), what);
  }
  template <class Parameters>
  static std::string parameters_of(const Parameters& parameters) {
    std::string members;
    for (const auto& [name, value] : parameters) {
      const std::string text = value.has_bool_param()    ? (value.bool_param() ? "true" : "false")
                               : value.has_int64_param() ? std::to_string(value.int64_param())
                                                         : json_string(value.string_param());
      members += fmt::format("{}{}:{}", members.empty() ? "" : ",", json_string(name), text);
    }
    return fmt::format(R"({{"parameters":{{{}}}}})", members);
  }

  Answer<net::HttpResponse> send(const ServerContext& context, net::HttpRequest request) const {
    speak_for(context, request);
    auto response =
        backend_.ask(std::move(request), time_left_ms(context), cancellation_of(context));
    if (!response) return std::unexpected(Refusal(response.error()));
    if (response->status / 100 != 2) return std::unexpected(Refusal(*response));
    return std::move(*response);
  }
  // The body of an answer that is a success.
  Answer<std::string> ask(const ServerContext& context, std::string method, std::string target,
                          std::string body) const {
    auto response =
        send(context,
             {.method = std::move(method), .target = std::move(target), .body = std::move(body)});
    if (!response) return std::unexpected(std::move(response.error()));
    return std::move(response->body);
  }
  Status get(ServerContext& context, std::string path, const std::string& wrapped_in,
             google::protobuf::Message& out) const {
    auto body = ask(context, "GET", std::move(path), "");
    return body ? status_of(read_json(*body, wrapped_in, out)) : refused(context, body.error());
  }
  Status post(ServerContext& context, std::string path, std::string body) const {
    auto answer = ask(context, "POST", std::move(path), std::move(body));
    return answer ? Status::OK : refused(context, answer.error());
  }
  bool is_true(const ServerContext& context, std::string path) const {
    return ask(context, "GET", std::move(path), "").has_value();
  }
  Answer<void> infer(const ServerContext& context, const inference::ModelInferRequest& in,
                     inference::ModelInferResponse& out) const {
    auto request = http_of(in);
    if (!request) return std::unexpected(Refusal(request.error()));
    const auto response = send(context, std::move(*request));
    if (!response) return std::unexpected(response.error());
    const auto read = read_answer(*response, out);
    if (!read) return std::unexpected(Refusal(read.error()));
    return {};
  }

  const Backend& backend_;
};

// Until one of the signals, which are blocked; tells grpc.health.v1 meanwhile whether the inference
// service is ready.
void wait_for_signal(const sigset_t& signals, const Backend& backend, grpc::Server& server) {
  const timespec pause = {.tv_sec = kHealthMs / 1000, .tv_nsec = 0};
  do {
    const auto ready = backend.ask({.target = "/v2/health/ready"}, kHealthMs, [] { return false; });
    if (auto* health = server.GetHealthCheckService()) {
      health->SetServingStatus(ready && ready->status == 200);
    }
  } while (::sigtimedwait(&signals, nullptr, &pause) < 0);
}

}  // namespace

Result<void> run_gateway(const GatewayOptions& options,
                         const std::function<void(uint16_t port)>& on_ready) {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT}) ::sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before gRPC has threads

  const Backend backend(options.service);
  Service service(backend);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(fmt::format("{}:{}", options.address, options.port),
                           grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(options.max_message_mb << 20);
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  grpc::ResourceQuota quota("skerry");
  quota.SetMaxThreads(options.threads);
  builder.SetResourceQuota(quota);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) {
    return fail(Code::kUnavailable,
                fmt::format("{}:{} cannot be listened on; is it taken? give another --port",
                            options.address, options.port));
  }
  on_ready(static_cast<uint16_t>(port));
  wait_for_signal(signals, backend, *server);
  server->Shutdown(std::chrono::system_clock::now() + kDrain);
  server->Wait();
  return {};
}

}  // namespace skerry::gateway
