// What bench/ipc/run measures from C++: round trips on the IPC socket, and the configuration tree
// alone.
//
//   ipc_bench_client SOCKET get|publish|tree COUNT
//
// prints the COUNT latencies in nanoseconds, one a line, after a tenth as many to warm up.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nucleus/config_tree.h"
#include "rpc/ipc_client.h"

namespace {

using namespace skerry;
using namespace skerry::nucleus;

// Takes the value, or ends the program with the reason.
template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "ipc_bench_client: %s\n", result.error().message().c_str());
    std::exit(1);
  }
  return std::move(*result);
}

rpc::IpcClient::Message answer_of(rpc::IpcClient& client, const char* operation,
                                  const char* request) {
  rpc::IpcClient::Message message = must(client.call(operation, request));
  if (message.is_error) {
    std::fprintf(stderr, "ipc_bench_client: %s\n", message.payload.c_str());
    std::exit(1);
  }
  return message;
}

void measure(int count, const std::function<void()>& step) {
  for (int i = 0; i < count / 10; ++i) step();
  std::vector<int64_t> latencies;
  latencies.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step();
    const auto took = std::chrono::steady_clock::now() - start;
    latencies.push_back(std::chrono::duration_cast<std::chrono::nanoseconds>(took).count());
  }
  for (const int64_t latency : latencies) std::printf("%lld\n", static_cast<long long>(latency));
}

void measure_get(const std::string& socket, int count) {
  rpc::IpcClient client = must(rpc::IpcClient::connect(socket, "TOKEN-APP"));
  measure(count, [&] {
    answer_of(client, "aws.greengrass#GetConfiguration", R"({"keyPath":["mqtt","port"]})");
  });
}

// From before the call of PublishToTopic to the event at a subscriber on another connection.
void measure_publish(const std::string& socket, int count) {
  rpc::IpcClient publisher = must(rpc::IpcClient::connect(socket, "TOKEN-APP"));
  rpc::IpcClient subscriber = must(rpc::IpcClient::connect(socket, "TOKEN-OTHER"));
  const int32_t stream =
      must(subscriber.open("aws.greengrass#SubscribeToTopic", R"({"topic":"bench"})"));
  must(subscriber.next(stream));
  measure(count, [&] {
    answer_of(publisher, "aws.greengrass#PublishToTopic",
              R"({"topic":"bench","publishMessage":{"jsonMessage":{"message":{"n":1}}}})");
    must(subscriber.next(stream));
  });
}

void measure_tree(int count) {
  ConfigTree tree;
  const ComponentName component("com.example.App");
  must(tree.merge(component, {}, nlohmann::json::parse(R"({"mqtt":{"port":8883},"k":"v"})"), 1));
  const KeyPath path = {"mqtt", "port"};
  measure(count, [&] { must(tree.get(component, path)); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 || std::atoi(argv[3]) <= 0) {
    std::fprintf(stderr, "usage: ipc_bench_client SOCKET get|publish|tree COUNT\n");
    return 2;
  }
  const std::string what = argv[2];
  const int count = std::atoi(argv[3]);
  if (what == "get") {
    measure_get(argv[1], count);
  } else if (what == "publish") {
    measure_publish(argv[1], count);
  } else {
    measure_tree(count);
  }
  return 0;
}
