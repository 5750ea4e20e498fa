// A blocking client of the IPC socket, one thread, one thing at a time: for command-line tools,
// tests and benchmarks. Components use the public SDKs.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::rpc {

class IpcClient {
 public:
  struct Message {
    std::string shape;  // "aws.greengrass#GetConfigurationResponse"
    std::string payload;
    bool is_error = false;
    bool last = false;  // the stream has ended with it
  };

  // kPermissionDenied where the server does not know the token.
  static Result<IpcClient> connect(const std::string& socket_path, std::string_view token,
                                   int64_t timeout_ms = 10'000);
  IpcClient(IpcClient&&) noexcept;
  IpcClient& operator=(IpcClient&&) noexcept;
  ~IpcClient();

  // Sends a request and waits for its response; `operation` in full,
  // "aws.greengrass#GetConfiguration". An application error is a Message too. kTimeout, or
  // kUnavailable where the server has gone.
  Result<Message> call(std::string_view operation, std::string_view json);
  // The same for a streaming operation: the response first, then events from next().
  Result<int32_t> open(std::string_view operation, std::string_view json);
  Result<Message> next(int32_t stream);

 private:
  struct Impl;
  explicit IpcClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry::rpc
