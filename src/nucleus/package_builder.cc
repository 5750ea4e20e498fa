// Order matters: content, its sync, the list of contents, the rename, the sync of the rename.
#include "nucleus/package_builder.h"

#include "base/encoding.h"

namespace skerry::nucleus {
namespace {

std::string base_name(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

std::string hex_of(const formats::Artifact& artifact) {
  return hex_encode(base64_decode(artifact.digest).value_or(""));
}

// Files belong to the nucleus, who may always read them; the component's group gets what the recipe
// gives to its owner. Nobody may write.
uint32_t mode_of(const formats::Artifact& artifact) {
  uint32_t mode = 0400;
  if (artifact.read != formats::Access::kNone) mode |= 0440;
  if (artifact.read == formats::Access::kAll) mode |= 0444;
  if (artifact.execute != formats::Access::kNone) mode |= 0110;
  if (artifact.execute == formats::Access::kAll) mode |= 0111;
  return mode;
}

}  // namespace

PackageBuilder::PackageBuilder(io::Files& files, Plan plan)
    : files_(files),
      plan_(std::move(plan)),
      work_(plan_.staging + "/" + base_name(io::parent_of(plan_.place)) + "@" +
            base_name(plan_.place)) {}

std::string PackageBuilder::part_path(const formats::Artifact& artifact) const {
  return plan_.staging + "/" + hex_of(artifact) + ".part";
}

std::string PackageBuilder::file_path(const formats::Artifact& artifact) const {
  return std::string(formats::kPackageArtifacts) + "/" + artifact.file_name();
}

Result<void> PackageBuilder::begin() {
  contents_ = {};
  SKERRY_TRY(io::make_directories(files_, plan_.staging, 0700));
  SKERRY_TRY(take_back(work_ + "/" + formats::kPackageArtifacts));
  SKERRY_TRY(io::remove_all(files_, work_));
  if (io::exists(files_, plan_.place)) {
    SKERRY_TRY(files_.rename(plan_.place, work_));
    SKERRY_TRY(files_.sync_directory(io::parent_of(plan_.place)));
    SKERRY_TRY(take_back(work_ + "/" + formats::kPackageArtifacts));
    SKERRY_TRY(io::remove_all(files_, work_));
  }
  if (!plan_.old_artifacts.empty()) SKERRY_TRY(take_back(plan_.old_artifacts));
  SKERRY_TRY(io::make_directories(files_, work_ + "/" + formats::kPackageArtifacts));
  SKERRY_ASSIGN(auto recipe,
                files_.open(work_ + "/" + formats::kPackageRecipe, io::OpenMode::kTruncate, 0444));
  SKERRY_TRY(recipe->write(plan_.recipe));
  SKERRY_TRY(recipe->sync());
  return list(formats::kPackageRecipe, hex_encode(sha256(plan_.recipe)));
}

Result<void> PackageBuilder::take_back(const std::string& artifacts) {
  for (const formats::Artifact& artifact : plan_.manifest.artifacts) {
    const std::string from = artifacts + "/" + artifact.file_name();
    auto info = files_.stat(from);
    // A file with another name could be changed by it after it was checked.
    if (!info || !info->is_regular || info->links > 1) continue;
    const std::string part = part_path(artifact);
    SKERRY_TRY(files_.rename(from, part));
    if (plan_.privileged) SKERRY_TRY(files_.set_owner(part, 0, 0));
    SKERRY_TRY(files_.set_mode(part, 0600));
  }
  return {};
}

Result<void> PackageBuilder::list(const std::string& path, std::string sha256) {
  SKERRY_ASSIGN(const io::FileInfo info, files_.stat(work_ + "/" + path));
  contents_.files[path] = {std::move(sha256), info.size_bytes, info.modified_ns, info.inode};
  return {};
}

Result<void> PackageBuilder::add(const formats::Artifact& artifact) {
  const std::string part = part_path(artifact);
  SKERRY_TRY(files_.set_mode(part, mode_of(artifact)));
  SKERRY_TRY(files_.rename(part, work_ + "/" + file_path(artifact)));
  return list(file_path(artifact), hex_of(artifact));
}

Result<std::unique_ptr<ZipUnpacker>> PackageBuilder::unpacker(const formats::Artifact& artifact) {
  if (artifact.unarchive != formats::Unarchive::kZip) return nullptr;
  return ZipUnpacker::open(
      files_, work_ + "/" + file_path(artifact),
      work_ + "/" + formats::kPackageUnarchived + "/" + artifact.unarchived_name(),
      mode_of(artifact));
}

Result<void> PackageBuilder::add_unpacked(const formats::Artifact& artifact,
                                          const ZipUnpacker& unpacker) {
  const std::string below =
      std::string(formats::kPackageUnarchived) + "/" + artifact.unarchived_name() + "/";
  for (const UnpackedFile& file : unpacker.unpacked())
    SKERRY_TRY(list(below + file.path, file.sha256));
  return {};
}

Result<void> PackageBuilder::publish() {
  SKERRY_TRY(files_.sync_directory(work_ + "/" + formats::kPackageArtifacts));
  SKERRY_TRY(io::write_file_atomic(files_, work_ + "/" + formats::kPackageContents,
                                   contents_.text(), 0644));  // and syncs the folder
  SKERRY_TRY(io::make_directories(files_, io::parent_of(plan_.place)));
  SKERRY_TRY(files_.rename(work_, plan_.place));
  SKERRY_TRY(files_.sync_directory(io::parent_of(plan_.place)));
  return files_.sync_directory(plan_.staging);
}

}  // namespace skerry::nucleus
