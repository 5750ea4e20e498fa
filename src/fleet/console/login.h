// Logging in at the console: passwords are tried a few times, sessions last half a day.
#pragma once

#include <optional>
#include <string>

#include "fleet/access/access_store.h"
#include "fleet/store_pool.h"
#include "fleet/thing_budget.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

struct OpenSession {
  std::string token;  // the cookie's value
  std::string csrf_token;
  Identity who;
};

class ConsoleLogin {
 public:
  static constexpr int64_t kSessionMs = int64_t{12} * 3'600'000;

  ConsoleLogin(io::Env& env, StorePool& stores);

  // kPermissionDenied says nothing of whether the name or the password is wrong. kResourceExhausted
  // after five wrong ones of a name, or 20 of a source (an address): one more every ten seconds.
  io::Task<Result<OpenSession>> log_in(std::string name, std::string password, std::string source);
  // The session of a cookie; kPermissionDenied where it has ended.
  io::Task<Result<OpenSession>> find(std::string token);
  // Each of these is in the audit log, as is who was refused.
  io::Task<Result<void>> log_out(std::string token, std::string source);

 private:
  io::Task<void> note(Operator person, const char* operation, std::string source);

  io::Env& env_;
  StorePool& stores_;
  ThingBudget names_;
  ThingBudget sources_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
