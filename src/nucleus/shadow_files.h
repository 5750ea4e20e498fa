// The device's shadows on its disk, one file each, which holds the old or the new document whatever
// happens (docs/data/shadows.md). Blocking: run it on the pool for records.
#pragma once

#include <string>
#include <vector>

#include "base/named_type.h"
#include "formats/shadow.h"
#include "io/files.h"

namespace skerry::nucleus {

using formats::ShadowKey;

struct ShadowChange {
  formats::Shadow before, after;
};

class ShadowFiles {
 public:
  struct Limits {
    size_t shadows_of_a_thing = 128;  // deleted ones, whose versions go on, included
    size_t things = 512;
    formats::ShadowLimits document;
  };
  // Makes `directory` with the first shadow. `files` must outlive it.
  ShadowFiles(io::Files& files, std::string directory)
      : ShadowFiles(files, std::move(directory), Limits()) {}
  ShadowFiles(io::Files& files, std::string directory, Limits limits)
      : files_(files), directory_(std::move(directory)), limits_(limits) {}

  const Limits& limits() const { return limits_; }
  // Names are checked by the caller. 404 where there is no such shadow; 500 where the disk fails.
  formats::ShadowResult<formats::Shadow> get(const ShadowKey& key);
  formats::ShadowResult<ShadowChange> update(const ShadowKey& key,
                                             const formats::ShadowUpdate& update, int64_t now_s);
  // What was deleted.
  formats::ShadowResult<formats::Shadow> remove(const ShadowKey& key);
  // Names of the thing's named shadows, in order.
  Result<std::vector<std::string>> names(const ThingName& thing);

  // What the device and the fleet have last agreed on, for the next merge (shadow_merge.h); version
  // 0 where there is nothing, which is also how it is forgotten.
  Result<formats::Shadow> agreed(const ShadowKey& key);
  Result<void> set_agreed(const ShadowKey& key, const formats::Shadow& shadow);

 private:
  std::string folder_of(const ThingName& thing) const;
  std::string path_of(const ShadowKey& key, std::string_view suffix) const;
  Result<formats::Shadow> read(const std::string& path);
  Result<void> write(const ShadowKey& key, std::string_view suffix, const formats::Shadow& shadow);
  formats::ShadowResult<void> check_room(const ShadowKey& key);

  io::Files& files_;
  const std::string directory_;
  const Limits limits_;
};

}  // namespace skerry::nucleus
