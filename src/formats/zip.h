// ZIP artifacts under the rules that the device unpacks them by, for whoever looks at them: the
// device when it unpacks, the command line and the fleet when they are published.
//
// Plain files and folders below one folder, each once, by names that a file system takes; "./x" and
// "a//b" are what they mean, and an archive without entries is an empty folder. Links, special
// files, absolute names, "..", encrypted entries and what is above the limits is refused.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/files.h"

namespace skerry::formats {

struct ZipLimits {
  uint64_t total_bytes = uint64_t{8} << 30;  // unpacked
  uint64_t entries = 100'000;
  // Content that is more than so many times larger than its archive is made to do harm; from where
  // that counts.
  uint64_t ratio = 200;
  uint64_t ratio_from_bytes = uint64_t{256} << 20;
};

struct ZipEntry {
  std::string path;  // below the archive's folder, "" for itself
  bool is_directory = false;
  bool is_executable = false;
};

// Some bytes of an archive from `offset`, at most `size`; "" at its end only.
using ZipSource = std::function<Result<std::string>(uint64_t offset, size_t size)>;

class ZipReader {
 public:
  // `name` is what messages call the archive. kCorrupt: not a ZIP.
  static Result<std::unique_ptr<ZipReader>> open(ZipSource source, uint64_t size_bytes,
                                                 std::string name, ZipLimits limits = {});
  virtual ~ZipReader() = default;

  // The next entry, nothing at the end; what is left of the one before is skipped.
  // kInvalidArgument: against the rules or above a limit; kCorrupt: damaged.
  virtual Result<std::optional<ZipEntry>> next() = 0;
  // The next bytes of the entry's content, valid until the next call; "" at its end.
  virtual Result<std::string_view> read() = 0;
};

enum class ZipCheck {
  kNames,    // names, kinds and the sizes that the archive claims: reads little
  kContent,  // everything, as unpacking does
};
Result<void> check_zip(ZipReader& reader, ZipCheck how);

}  // namespace skerry::formats
