// A component version on a device's disk, which device and command line read alike:
//
//   packages/NAME/VERSION@DIGEST/
//     recipe               the recipe's text
//     artifacts/FILE
//     unarchived/STEM/…    of artifacts with Unarchive: ZIP
//     contents             what stands in these, see PackageContents
//
// A package that is there is whole, and never changes: it is made elsewhere and renamed into place.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/sha256.h"
#include "io/files.h"

namespace skerry::formats {

// The start of the SHA-256 of the recipe's text, in hex. The recipe holds its artifacts' digests,
// so this names all of a package's content.
std::string package_digest(std::string_view recipe);

inline constexpr const char* kPackageRecipe = "recipe";
inline constexpr const char* kPackageArtifacts = "artifacts";
inline constexpr const char* kPackageUnarchived = "unarchived";
inline constexpr const char* kPackageContents = "contents";

struct PackageFile {
  std::string sha256;  // 64 hex digits
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;
  uint64_t inode = 0;
};

// The files of a package by their path in it. As text: "skerry package 1", then a line for each
// file: SHA256 SIZE MODIFIED_NS INODE PATH.
struct PackageContents {
  std::map<std::string, PackageFile> files;

  std::string text() const;
  static Result<PackageContents> parse(std::string_view text);
};

// A package whose file is not what its contents say.
struct PackageFault {
  std::string path;     // in the package
  std::string problem;  // "is missing", "has 4 bytes instead of 10", …
};

// Compares a package with its contents, piece by piece, so that a large one can be looked at
// between other work.
class PackageChecker {
 public:
  enum class How {
    kQuick,  // size, time and inode: finds what damaged, replaced or restored files have in common
    kFull,   // the bytes; other times and inodes are fine
  };
  PackageChecker(io::Files& files, std::string directory, How how);
  PackageChecker(const PackageChecker&) = delete;
  PackageChecker& operator=(const PackageChecker&) = delete;

  // Looks at the next piece; false once all is done. An error: it could not be read.
  Result<bool> step();
  // What has been found so far; at most kMaxFaults.
  const std::vector<PackageFault>& faults() const { return faults_; }
  // After a full look without faults: the contents with the times and inodes of now.
  const PackageContents& contents() const { return contents_; }

  static constexpr size_t kMaxFaults = 20;

 private:
  Result<bool> begin();
  Result<void> look_at_next();
  Result<bool> hash_piece();
  void add(std::string path, std::string problem);

  io::Files& files_;
  std::string directory_;
  How how_;
  bool begun_ = false;
  PackageContents contents_;
  std::map<std::string, PackageFile>::iterator next_;
  std::unique_ptr<io::File> file_;  // of `next_`, while it is hashed
  uint64_t hashed_bytes_ = 0;
  Sha256 hash_;
  std::vector<PackageFault> faults_;
};

}  // namespace skerry::formats
