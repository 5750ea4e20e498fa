// Where components find the nucleus's socket.
#pragma once

#include <string>

#include "base/error.h"

namespace skerry::nucleus {

// `socket` itself, or where that is longer than the address of a Unix socket can be (107 bytes) a
// link to it in a folder that only this user can write to: /run for root, `runtime_directory` else.
// kFailedPrecondition where there is none.
Result<std::string> ipc_address(const std::string& socket, const std::string& runtime_directory);

}  // namespace skerry::nucleus
