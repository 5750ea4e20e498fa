// Unpacks ZIP artifacts: untrusted, so with limits on size and number, and nothing outside the
// target.
#pragma once

#include <cstdint>
#include <string>

#include "io/env.h"
#include "io/task.h"

namespace skerry::nucleus {

struct UnarchiveLimits {
  uint64_t total_bytes = uint64_t{8} << 30;
  uint64_t entries = 100'000;
};

// Replaces `target` (a directory) by the files of `archive`, synced. Links and special files,
// absolute names and ".." are refused (kInvalidArgument). Files that were executable stay so; the
// rest get `file_mode`. Gives the loop a turn between files.
io::Task<Result<void>> unarchive_zip(io::Env* env, std::string archive, std::string target,
                                     uint32_t file_mode, UnarchiveLimits limits = {});

}  // namespace skerry::nucleus
