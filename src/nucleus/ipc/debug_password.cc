// CreateDebugPassword: a password that is good for some hours, with which its holder is the
// device's operator. So only the operator may make one, and components whose access control says
// so.
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

constexpr std::string_view kDebugUser = "debug";

}  // namespace

// There is no HTTPS console in the nucleus, so no hashes of a certificate: the model leaves them
// optional.
IpcOutcome create_debug_password(const IpcCall& call) {
  SKERRY_IPC_TRY(call.authorize(kCliService, "*"));
  io::Env& env = call.context.host.env();
  const auto made = call.context.debug_passwords.create(env.random, env.clock.wall_ms(),
                                                        env.clock.monotonic_ms());
  call.stream.respond("aws.greengrass#CreateDebugPasswordResponse",
                      formats::json_text(nlohmann::json{
                          {"username", kDebugUser},
                          {"password", made.text},
                          {"passwordExpiration", static_cast<double>(made.expires_ms) / 1000}}));
  return {};
}

}  // namespace skerry::nucleus
