// Writing the file; its format is in the header.
#include "nucleus/ipc/operator_access.h"
#include "formats/json_ptr.h"

#include <nlohmann/json.hpp>

namespace skerry::nucleus {

Result<void> write_operator_access(io::Files& files, const NucleusInfo& info,
                                   const std::string& token) {
  const std::string directory = info.root + "/cli_ipc_info";
  SKERRY_TRY(io::make_directories(files, directory, 0755));
  const nlohmann::json content = {{"cli_auth_token", token},
                                  {"domain_socket_path", info.ipc_socket()}};
  return io::write_file_atomic(files, directory + "/user-" + std::to_string(info.own_user.first),
                               formats::json_text(content));
}

}  // namespace skerry::nucleus
