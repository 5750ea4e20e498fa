// Makes one package in the staging folder and puts it into place with one rename. Blocks: to be
// used on the pool. What a power cut or an error leaves in the staging folder is used again.
#pragma once

#include <memory>
#include <string>

#include "formats/package.h"
#include "formats/recipe.h"
#include "io/files.h"
#include "nucleus/unarchive.h"

namespace skerry::nucleus {

class PackageBuilder {
 public:
  struct Plan {
    std::string staging;
    std::string place;          // packages/NAME/VERSION@DIGEST
    std::string old_artifacts;  // the version's folder of the layout before this one, or ""
    std::string recipe;
    formats::Manifest manifest;
    bool privileged = false;
  };
  PackageBuilder(io::Files& files, Plan plan);

  // Starts over. Artifacts that an earlier try, a damaged package at `place` or the old layout has
  // become downloads again (part_path), to be checked like any other.
  Result<void> begin();
  std::string part_path(const formats::Artifact& artifact) const;
  // Takes the finished, verified download into the package.
  Result<void> add(const formats::Artifact& artifact);
  // To unpack what add() took, and to list what came of it. Null where there is nothing to unpack.
  Result<std::unique_ptr<ZipUnpacker>> unpacker(const formats::Artifact& artifact);
  Result<void> add_unpacked(const formats::Artifact& artifact, const ZipUnpacker& unpacker);
  // From here on the package is there, durably.
  Result<void> publish();

 private:
  Result<void> take_back(const std::string& artifacts);
  Result<void> list(const std::string& path, std::string sha256);
  std::string file_path(const formats::Artifact& artifact) const;

  io::Files& files_;
  const Plan plan_;
  const std::string work_;  // staging/NAME@VERSION@DIGEST
  formats::PackageContents contents_;
};

}  // namespace skerry::nucleus
