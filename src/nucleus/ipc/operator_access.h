// How programs of the device's operator find the IPC and prove who they are: a file that only the
// operator can read. It is the stock Greengrass CLI's convention, and it reads these files:
//
//   ROOT/cli_ipc_info/user-UID     {"cli_auth_token":"…","domain_socket_path":"…"}, mode 0600
#pragma once

#include "io/files.h"
#include "nucleus/nucleus_info.h"

namespace skerry::nucleus {

// Replaces what an earlier run has left there. `token`: Nucleus::operator_token().
Result<void> write_operator_access(io::Files& files, const NucleusInfo& info,
                                   const std::string& token);

}  // namespace skerry::nucleus
