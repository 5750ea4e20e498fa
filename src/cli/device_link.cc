// The device says where its socket is in a file that its operator can read.
#include "cli/device_link.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/local_files.h"
#include "io/files.h"
#include "rpc/ipc_client.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

// The folder with what `skerryd` wrote for the operator: of the device's root, or of the directory
// of `device provision` around it.
Result<std::string> access_folder(io::Files& files, const std::string& root) {
  for (const char* below : {"/cli_ipc_info", "/root/cli_ipc_info"}) {
    if (io::exists(files, root + below)) return root + below;
  }
  return fail(Code::kNotFound,
              "no device has run in " + root +
                  ": name its root folder, or what `device provision` wrote, and start it with "
                  "`skerry device run`");
}

// What the file says that this user may read: its own, then those of groups.
Result<json> read_access(const std::string& root) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string folder, access_folder(files, root));
  // Of whom the operator has given a password to: `skerry device debug-password`.
  if (const char* password = std::getenv("SKERRY_DEBUG_PASSWORD"))
    return json{{"cli_auth_token", password},
                {"domain_socket_path", io::parent_of(folder) + "/ipc.socket"}};
  SKERRY_ASSIGN(auto names, files.list(folder));
  const std::string own = "user-" + std::to_string(::geteuid());
  std::ranges::sort(names, {}, [&](const std::string& name) { return name != own; });
  for (const std::string& name : names) {
    const auto text = io::read_file(files, folder + "/" + name, 64 << 10);
    if (!text) continue;
    json access = json::parse(*text, nullptr, false);
    if (access.is_object() && access.value("cli_auth_token", json()).is_string() &&
        access.value("domain_socket_path", json()).is_string()) {
      return access;
    }
  }
  return fail(
      Code::kPermissionDenied,
      "you may not control this device: run this as the user that runs skerryd (" + folder + ")");
}

}  // namespace

Result<json> ask_device(const std::string& root, const std::string& operation,
                        const json& request) {
  SKERRY_ASSIGN(const json access, read_access(absolute_path(root)));
  auto client = rpc::IpcClient::connect(access["domain_socket_path"].get<std::string>(),
                                        access["cli_auth_token"].get_ref<const std::string&>());
  if (!client) return fail(client.error().with_context("is the device running?"));
  SKERRY_ASSIGN(
      const auto answer,
      client->call((operation.find('#') == std::string::npos ? "aws.greengrass#" : "") + operation,
                   request.dump()));
  json body = json::parse(answer.payload, nullptr, false);
  if (!answer.is_error && body.is_object()) return body;
  const bool is_absent = answer.shape.ends_with("NotFoundError");
  return fail(is_absent ? Code::kNotFound : Code::kFailedPrecondition,
              body.is_object() ? body.value("message", answer.shape) : answer.payload);
}

}  // namespace skerry::cli
