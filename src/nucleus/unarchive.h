// Unpacks ZIP artifacts: untrusted, so with limits on size and number, and nothing outside the
// target.
#pragma once

#include <cstdint>
#include <string>

#include "io/env.h"
#include "io/task.h"

namespace skerry::nucleus {

// Left free on the disk for the journal, logs and a roll-back, by everything that brings packages.
inline constexpr uint64_t kDiskReserveBytes = 16 << 20;

struct UnarchiveLimits {
  uint64_t total_bytes = uint64_t{8} << 30;
  uint64_t entries = 100'000;
  uint64_t keep_free_bytes = kDiskReserveBytes;
};

// Replaces `target` (a directory) by the files of `archive`, synced. Links and special files,
// absolute names and ".." are refused (kInvalidArgument). Files that were executable stay so; the
// rest get `file_mode`. Gives the loop a turn after each piece. kCorrupt: not a ZIP, or damaged;
// kResourceExhausted: above a limit.
io::Task<Result<void>> unarchive_zip(io::Env* env, std::string archive, std::string target,
                                     uint32_t file_mode, UnarchiveLimits limits = {});

}  // namespace skerry::nucleus
