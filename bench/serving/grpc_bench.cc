// Round trips of gRPC, and what they cost where a server does nothing else.
//
//   grpc_bench floor                                     serves on a free port, and prints it
//   grpc_bench ask HOST:PORT OUTSTANDING REQUESTS        of 16 floats to model "bench"
//
// Both sides are the library's asynchronous interface on one completion queue and one thread, the
// fastest that it has. `ask` prints one JSON object: p50_us, min_us, p99_us, requests_per_s,
// failures.
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "gateway/inference.grpc.pb.h"

namespace {

using Clock = std::chrono::steady_clock;
using Service = inference::GRPCInferenceService;

constexpr int kFloats = 16;
constexpr int kPosted = 64;  // calls that the floor waits for at once

inference::ModelInferRequest request_of_floats() {
  inference::ModelInferRequest request;
  request.set_model_name("bench");
  auto* const input = request.add_inputs();
  input->set_name("x");
  input->set_datatype("FP32");
  input->add_shape(1);
  input->add_shape(kFloats);
  request.add_raw_input_contents(std::string(kFloats * sizeof(float), '\1'));
  return request;
}

// One call after the other, each with the same answer.
struct Posted {
  Posted(Service::AsyncService& service, grpc::ServerCompletionQueue& queue) : writer(&context) {
    service.RequestModelInfer(&context, &request, &writer, &queue, &queue, this);
  }

  grpc::ServerContext context;
  inference::ModelInferRequest request;
  grpc::ServerAsyncResponseWriter<inference::ModelInferResponse> writer;
  bool is_answered = false;
};

int serve_floor() {
  Service::AsyncService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  fmt::print("{}\n", port);
  std::fflush(stdout);
  inference::ModelInferResponse answer;
  answer.set_model_name("bench");
  answer.set_model_version("1");
  auto* const output = answer.add_outputs();
  output->set_name("y");
  output->set_datatype("FP32");
  output->add_shape(1);
  output->add_shape(kFloats);
  answer.add_raw_output_contents(std::string(kFloats * sizeof(float), '\1'));
  for (int i = 0; i < kPosted; ++i) std::make_unique<Posted>(service, *queue).release();
  void* tag = nullptr;
  bool is_good = false;
  while (queue->Next(&tag, &is_good)) {
    std::unique_ptr<Posted> call(static_cast<Posted*>(tag));
    if (!is_good || call->is_answered) continue;
    std::make_unique<Posted>(service, *queue).release();
    call->is_answered = true;
    Posted* const going = call.release();
    going->writer.Finish(answer, grpc::Status::OK, going);
  }
  return 0;
}

struct Asked {
  grpc::ClientContext context;
  inference::ModelInferResponse answer;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<inference::ModelInferResponse>> reader;
  Clock::time_point started;
};

int ask(const std::string& address, size_t outstanding, size_t requests) {
  const auto stub =
      Service::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::CompletionQueue queue;
  const inference::ModelInferRequest request = request_of_floats();
  const auto send = [&] {
    auto call = std::make_unique<Asked>();
    call->started = Clock::now();
    call->reader = stub->AsyncModelInfer(&call->context, request, &queue);
    Asked* const going = call.release();
    going->reader->Finish(&going->answer, &going->status, going);
  };
  const size_t warm_up = requests / 10;
  std::vector<double> micros;
  size_t failures = 0;
  auto started = Clock::now();
  for (size_t i = 0; i < outstanding; ++i) send();
  for (size_t done = 0, sent = outstanding; done < warm_up + requests; ++done) {
    void* tag = nullptr;
    bool is_good = false;
    if (!queue.Next(&tag, &is_good)) return 1;
    const std::unique_ptr<Asked> call(static_cast<Asked*>(tag));
    const std::chrono::duration<double, std::micro> took = Clock::now() - call->started;
    if (done == warm_up) started = Clock::now();
    if (done >= warm_up) micros.push_back(took.count());
    if (!call->status.ok() && failures++ == 0) {
      fmt::print(stderr, "grpc_bench: {}\n", call->status.error_message());
    }
    if (sent++ < warm_up + requests) send();
  }
  const std::chrono::duration<double> took = Clock::now() - started;
  std::ranges::sort(micros);
  const auto at = [&](double q) {
    return micros[static_cast<size_t>(q * static_cast<double>(micros.size() - 1))];
  };
  fmt::print(
      "{{\"p50_us\":{:.1f},\"min_us\":{:.1f},\"p99_us\":{:.1f},\"requests_per_s\":{:.0f},"
      "\"failures\":{}}}\n",
      at(0.5), at(0), at(0.99), static_cast<double>(requests) / took.count(), failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && argv[1] == std::string("floor")) return serve_floor();
  if (argc == 5 && argv[1] == std::string("ask")) {
    return ask(argv[2], std::stoul(argv[3]), std::max(10UL, std::stoul(argv[4])));
  }
  std::fputs("usage: grpc_bench floor | ask HOST:PORT OUTSTANDING REQUESTS\n", stderr);
  return 2;
}
