// A client of the stream manager on this machine, over the Unix socket in its folder: whoever may
// open that may see the streams.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/error.h"

namespace skerry::cli {

// Operations of the Stream Manager protocol.
enum class StreamCall : uint8_t { kConnect = 1, kRead = 5, kList = 11, kDescribe = 13 };

class StreamClient {
 public:
  // Of the skerry-streams that runs in `directory`. kUnavailable where none does.
  static Result<StreamClient> open(const std::string& directory);
  StreamClient(StreamClient&&) noexcept;
  StreamClient& operator=(StreamClient&&) noexcept;
  ~StreamClient();

  // The answer. Errors are the stream manager's; kUnavailable where a read found too few messages.
  Result<nlohmann::json> call(StreamCall operation, nlohmann::json request);

 private:
  struct Impl;
  explicit StreamClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry::cli
