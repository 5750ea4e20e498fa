// The folder that a component may write to, in which its scripts start.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "io/files.h"
#include "nucleus/nucleus_info.h"

namespace skerry::nucleus {

// Makes it where it is missing, and its own again where it is not: a folder and no link, of `user`
// (unset: the nucleus), closed to everyone else: 0700. A component may let others pass through to
// what it opens to them, say a socket (`chmod 0710 .`): that stays. None may look.
Result<void> prepare_work_folder(io::Files& files, const std::string& path,
                                 const std::optional<UserId>& user);

}  // namespace skerry::nucleus
