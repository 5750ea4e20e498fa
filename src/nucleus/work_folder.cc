// Making and repairing work folders.
#include "nucleus/work_folder.h"

#include "base/log.h"

namespace skerry::nucleus {

Result<void> prepare_work_folder(io::Files& files, const std::string& path,
                                 const std::optional<UserId>& user) {
  constexpr uint32_t kMode = 0700;
  constexpr uint32_t kPassThrough = 0710;  // for the group of all components
  auto info = files.stat(path);
  if (info && !info->is_directory) {
    // A link may lead anywhere, and root would give away what is there.
    log::warn("component", "its work folder is not a folder and is made anew", {{"path", path}});
    SKERRY_TRY(files.remove(path));
    info = fail(Code::kNotFound, "");
  }
  if (!info && info.error().code() != Code::kNotFound) return fail(info.error());
  if (!info) {
    SKERRY_TRY(io::make_directories(files, io::parent_of(path)));
    SKERRY_TRY(files.make_directory(path, kMode));
  }
  if (user) SKERRY_TRY(files.set_owner(path, user->first, user->second));
  if (!info || info->mode == kMode || info->mode == kPassThrough) return {};
  return files.set_mode(path, kMode);
}

}  // namespace skerry::nucleus
