// The allocation of user ids, and its file.
#include "nucleus/component_users.h"

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/json_ptr.h"
#include "formats/names.h"
#include "formats/node.h"

namespace skerry::nucleus {
namespace {

constexpr int64_t kVersion = 1;
constexpr uint64_t kMaxTableBytes = 8 << 20;

}  // namespace

Result<ComponentUsers> ComponentUsers::open(io::Files& files, Places places,
                                            std::function<bool(uint32_t)> taken) {
  ComponentUsers users(files, std::move(places), std::move(taken));
  auto read = users.read_table();
  if (!read && read.error().code() != Code::kNotFound) {
    log::warn("users", "the table is damaged and is made again from the owners of work folders",
              {{"reason", read.error().message()}});
  }
  if (!read) users.read_owners();
  return users;
}

Result<void> ComponentUsers::read_table() {
  SKERRY_ASSIGN(const std::string text, io::read_file(files_, places_.table, kMaxTableBytes));
  SKERRY_ASSIGN(const auto document, formats::parse_json(text, {.size_bytes = kMaxTableBytes}));
  const formats::Node root(document, "");
  SKERRY_ASSIGN(const auto version, root.require("version"));
  SKERRY_ASSIGN(const int64_t number, version.as_integer());
  if (number != kVersion) return version.wrong("is not one that this program knows");
  SKERRY_ASSIGN(const auto users, root.require("users"));
  SKERRY_ASSIGN(const auto entries, users.members());
  for (const auto& [name, entry] : entries) {
    SKERRY_ASSIGN(const int64_t uid, entry.as_integer());
    if (uid < kFirst || uid > kLast || !adopt(name, static_cast<uint32_t>(uid))) {
      users_.clear();
      used_.clear();
      return entry.wrong("is out of the range, or another component's");
    }
  }
  return {};
}

void ComponentUsers::read_owners() {
  auto names = files_.list(places_.work_folders);
  if (!names) return;  // nothing was ever installed
  for (const std::string& name : *names) {
    auto folder = files_.stat(places_.work_folders + "/" + name);
    if (!folder || !formats::parse_component_name(name)) continue;
    if (folder->uid >= kFirst && folder->uid <= kLast) adopt(name, folder->uid);
  }
}

bool ComponentUsers::adopt(const std::string& name, uint32_t uid) {
  if (!used_.insert(uid).second) return false;
  return users_.emplace(name, uid).second;
}

Result<uint32_t> ComponentUsers::uid_of(const ComponentName& name) {
  if (auto known = users_.find(name.str()); known != users_.end()) return known->second;
  // Always a higher one while there is one: an id that was lost with a damaged table may still own
  // files somewhere.
  uint32_t uid = used_.empty() ? kFirst : *used_.rbegin() + 1;
  while (uid <= kLast && taken_(uid)) ++uid;
  if (uid > kLast) {
    return fail(Code::kResourceExhausted,
                "no user id is left for " + name.str() + ": " + std::to_string(users_.size()) +
                    " components have one in " + places_.table +
                    "; name a runWith.posixUser, or remove entries of components whose files are "
                    "gone");
  }
  auto users = users_;
  users.emplace(name.str(), uid);
  SKERRY_TRY(save(users));
  adopt(name.str(), uid);
  return uid;
}

Result<void> ComponentUsers::save(const std::map<std::string, uint32_t>& users) const {
  const nlohmann::json table = {{"version", kVersion}, {"users", users}};
  SKERRY_TRY(io::make_directories(files_, io::parent_of(places_.table), 0700));
  return io::write_file_atomic(files_, places_.table, table.dump(1) + "\n");
}

}  // namespace skerry::nucleus
