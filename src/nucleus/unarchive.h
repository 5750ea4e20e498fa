// Unpacks ZIP artifacts: untrusted, so in pieces, within limits, and nothing outside the target.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "formats/zip.h"
#include "io/files.h"
#include "nucleus/part_file.h"

namespace skerry::nucleus {

struct UnarchiveLimits {
  formats::ZipLimits zip;
  uint64_t keep_free_bytes = kDiskReserveBytes;
};

struct UnpackedFile {
  std::string path;    // below the target
  std::string sha256;  // in hex
};

// Makes `target` (a directory that is not there yet) from the files of an archive, under the rules
// of formats/zip.h (kInvalidArgument). Files that were executable become so for
// whoever may read them; the rest get `file_mode`.
class ZipUnpacker {
 public:
  // kCorrupt: not a ZIP.
  static Result<std::unique_ptr<ZipUnpacker>> open(io::Files& files, const std::string& archive,
                                                   std::string target, uint32_t file_mode,
                                                   UnarchiveLimits limits = {});
  virtual ~ZipUnpacker() = default;

  // Unpacks the next piece, some MiB at most; false once all is there, synced. kCorrupt: damaged.
  virtual Result<bool> step() = 0;
  virtual const std::vector<UnpackedFile>& unpacked() const = 0;
};

}  // namespace skerry::nucleus
