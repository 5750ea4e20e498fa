// Unpacks ZIP artifacts: untrusted, so with limits on size and number, and nothing outside the
// target.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/files.h"
#include "nucleus/part_file.h"

namespace skerry::nucleus {

struct UnarchiveLimits {
  uint64_t total_bytes = uint64_t{8} << 30;
  uint64_t entries = 100'000;
  uint64_t keep_free_bytes = kDiskReserveBytes;
};

struct UnpackedFile {
  std::string path;    // below the target
  std::string sha256;  // in hex
};

// Makes `target` (a directory that is not there yet) from the files of an archive. Links and
// special files, absolute names and ".." are refused (kInvalidArgument); "./x" and "a//b" are what
// they mean. Files that were executable become so for whoever may read them; the rest get
// `file_mode`.
class ZipUnpacker {
 public:
  // kCorrupt: not a ZIP.
  static Result<std::unique_ptr<ZipUnpacker>> open(io::Files& files, const std::string& archive,
                                                   std::string target, uint32_t file_mode,
                                                   UnarchiveLimits limits = {});
  virtual ~ZipUnpacker() = default;

  // Unpacks the next piece, some MiB at most; false once all is there, synced. kCorrupt: damaged;
  // kResourceExhausted: above a limit.
  virtual Result<bool> step() = 0;
  virtual const std::vector<UnpackedFile>& unpacked() const = 0;
};

}  // namespace skerry::nucleus
