// Temporary AWS credentials of the device's role alias (iotRoleAlias at iotCredEndpoint), for the
// nucleus itself and for AWS SDKs in components. Who asks without pause does not ask the fleet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "io/env.h"
#include "io/task.h"
#include "net/http_client.h"
#include "net/sigv4.h"

namespace skerry::nucleus {

struct RoleCredentialsOptions {
  std::string url;  // https://HOST:PORT/role-aliases/ALIAS/credentials
  ThingName thing;
};

class RoleCredentials {
 public:
  // `client` and `env` must outlive it.
  RoleCredentials(io::Env& env, net::HttpClient& client, RoleCredentialsOptions options)
      : env_(env), client_(client), options_(std::move(options)) {}

  struct Answer {
    int status = 0;      // 200, or why there are none
    std::string reason;  // likewise
    net::AwsCredentials credentials;
    std::string expiration;  // as the fleet says it
  };
  // Answers are kept: credentials until five minutes before their end, refusals for some seconds.
  io::Task<Answer> ask();
  // The same as a result: kUnavailable where asking again later may help.
  io::Task<Result<net::AwsCredentials>> get();
  // They are good no more, whatever their end: the next question goes to the fleet.
  void drop() { kept_ = {}; }

 private:
  struct Kept {
    Answer answer;
    int64_t until_ms = 0;  // monotonic
  };
  io::Task<Kept> ask_fleet();
  io::Task<void> refresh();
  bool is_kept() const;

  io::Env& env_;
  net::HttpClient& client_;
  const RoleCredentialsOptions options_;
  Kept kept_;
  std::vector<io::Completion<bool>> waiting_;  // for the answer to one question
  io::TaskScope asking_;                       // that question: it outlives who asked it
};

}  // namespace skerry::nucleus
