// Whether a client of the stream manager is a component of this device: its token is shown to the
// nucleus (ValidateAuthorizationToken), which alone knows them.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "io/loop.h"
#include "io/task.h"
#include "rpc/nucleus_client.h"

namespace skerry::streams {

class Authenticator {
 public:
  Authenticator(io::Loop& loop, rpc::NucleusAddress nucleus)
      : loop_(loop), nucleus_(std::move(nucleus)) {}

  // kPermissionDenied where no running component has the token; kUnavailable or kTimeout where the
  // nucleus does not say. However many clients ask, the nucleus has one connection.
  io::Task<Result<void>> check(std::string token);

 private:
  struct Question {
    std::string token;
    io::Completion<Result<void>> answer;
  };
  io::Task<void> ask_all();
  static io::Task<Result<void>> ask(rpc::NucleusClient& nucleus, std::string token);

  io::Loop& loop_;
  const rpc::NucleusAddress nucleus_;
  std::vector<Question> questions_;
  bool asking_ = false;
  io::TaskScope tasks_;
};

}  // namespace skerry::streams
