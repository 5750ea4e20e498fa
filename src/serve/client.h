// What skerry-infer's load, unload, list and runtime ask of a running server through its Unix
// socket.
#pragma once

#include <string>

#include "io/task.h"
#include "net/http_client.h"

namespace skerry::serve {

class InferClient {
 public:
  // `http` outlives the client. `wait_ms`: how long to try to reach a server that is still
  // starting.
  InferClient(io::Loop& loop, net::HttpClient& http, std::string socket_path, int64_t wait_ms)
      : loop_(loop), http_(http), socket_path_(std::move(socket_path)), wait_ms_(wait_ms) {}

  // The server's JSON answer. kUnavailable where no server is reached; a refusal carries the
  // server's reason.
  io::Task<Result<std::string>> load(std::string name, std::string directory, bool retry,
                                     std::string label, int64_t timeout_ms);
  io::Task<Result<std::string>> unload(std::string name, std::string version);
  // `changes`: as set_policy() of the repository takes them; "" only asks.
  io::Task<Result<std::string>> policy(std::string name, std::string changes);
  io::Task<Result<std::string>> add_runtime(std::string name, std::string library,
                                            std::string component, int64_t timeout_ms);
  io::Task<Result<std::string>> remove_runtime(std::string name);
  io::Task<Result<std::string>> runtimes();
  // Until the watchdog finds the model at fault, which is the error, or the server does not let
  // this client look. While the server or the version is away there is nothing to find.
  io::Task<Result<void>> watch(std::string name, std::string version);
  // With "memory_bytes" of each model where it is known.
  io::Task<Result<std::string>> index();

 private:
  io::Task<Result<std::string>> post(std::string target, std::string body, int64_t timeout_ms);
  io::Task<Result<std::string>> ask(std::string method, std::string target, std::string body,
                                    int64_t timeout_ms);

  io::Loop& loop_;
  net::HttpClient& http_;
  std::string socket_path_;
  int64_t wait_ms_;
};

}  // namespace skerry::serve
