// Reading and replacing whole files; a damaged one is set aside and is no shadow any more.
#include "nucleus/shadow_files.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/log.h"
#include "io/crc32c.h"

namespace skerry::nucleus {
namespace {

using formats::Shadow;
using formats::ShadowError;
using formats::ShadowResult;

constexpr std::string_view kSuffix = ".shadow";
constexpr std::string_view kAgreedSuffix = ".agreed";
constexpr uint64_t kMaxFileBytes = 1 << 20;

std::string checksum_of(std::string_view text) {
  const uint32_t crc = io::crc32c(text);
  const char bytes[] = {static_cast<char>(crc >> 24), static_cast<char>(crc >> 16),
                        static_cast<char>(crc >> 8), static_cast<char>(crc)};
  return hex_encode({bytes, sizeof bytes});
}

std::unexpected<ShadowError> disk_error(const Error& error) {
  return std::unexpected(ShadowError{500, error.message()});
}

// "CHECKSUM RECORD\n"
Result<Shadow> parse_file(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || !text.ends_with('\n')) {
    return fail(Code::kCorrupt, "the file is cut short");
  }
  const std::string_view record = text.substr(space + 1, text.size() - space - 2);
  if (text.substr(0, space) != checksum_of(record)) {
    return fail(Code::kCorrupt, "its checksum does not match");
  }
  return formats::parse_shadow_record(record);
}

}  // namespace

std::string ShadowFiles::folder_of(const ThingName& thing) const {
  return directory_ + "/" + thing.str();
}

std::string ShadowFiles::path_of(const ShadowKey& key, std::string_view suffix) const {
  return folder_of(key.thing) + "/" + key.name + std::string(suffix);
}

// One that there never was has version 0.
Result<Shadow> ShadowFiles::read(const std::string& path) {
  auto text = io::read_file(files_, path, kMaxFileBytes);
  if (!text && text.error().code() == Code::kNotFound) return Shadow();
  if (!text) return fail(text.error());
  auto shadow = parse_file(*text);
  if (shadow) return shadow;
  log::error("shadows", "a shadow is damaged and set aside",
             {{"path", path}, {"reason", shadow.error().message()}});
  SKERRY_TRY(files_.rename(path, path + ".damaged"));
  return Shadow();
}

Result<void> ShadowFiles::write(const ShadowKey& key, std::string_view suffix,
                                const Shadow& shadow) {
  SKERRY_TRY(io::make_directories(files_, folder_of(key.thing), 0700));
  const std::string record = formats::shadow_record(shadow);
  return io::write_file_atomic(files_, path_of(key, suffix),
                               checksum_of(record) + " " + record + "\n");
}

// Only a shadow that is new here needs room.
ShadowResult<void> ShadowFiles::check_room(const ShadowKey& key) {
  const auto of_thing = files_.list(folder_of(key.thing));
  const auto things = files_.list(directory_);
  const bool too_many_things = !of_thing && things && things->size() >= limits_.things;
  const auto is_agreed = [](const std::string& file) { return file.ends_with(kAgreedSuffix); };
  const size_t files = of_thing ? of_thing->size() : 0;
  const size_t others =
      of_thing ? static_cast<size_t>(std::ranges::count_if(*of_thing, is_agreed)) : 0;
  if (too_many_things || files - others >= limits_.shadows_of_a_thing) {
    return std::unexpected(ShadowError{400, "This device keeps no more shadows"});
  }
  return {};
}

ShadowResult<Shadow> ShadowFiles::get(const ShadowKey& key) {
  auto shadow = read(path_of(key, kSuffix));
  if (!shadow) return disk_error(shadow.error());
  if (!shadow->exists()) return std::unexpected(formats::no_shadow(key.name));
  return *shadow;
}

ShadowResult<ShadowChange> ShadowFiles::update(const ShadowKey& key,
                                               const formats::ShadowUpdate& update, int64_t now_s) {
  auto before = read(path_of(key, kSuffix));
  if (!before) return disk_error(before.error());
  if (before->version == 0) {
    if (auto room = check_room(key); !room) return std::unexpected(room.error());
  }
  auto after = formats::apply_shadow_update(*before, update, now_s, limits_.document);
  if (!after) return std::unexpected(after.error());
  if (auto written = write(key, kSuffix, *after); !written) return disk_error(written.error());
  return ShadowChange{*before, *after};
}

ShadowResult<Shadow> ShadowFiles::remove(const ShadowKey& key) {
  auto shadow = get(key);
  if (!shadow) return shadow;
  Shadow deleted;
  deleted.version = shadow->version;
  deleted.deleted = true;
  if (auto written = write(key, kSuffix, deleted); !written) return disk_error(written.error());
  return shadow;
}

Result<std::vector<std::string>> ShadowFiles::names(const ThingName& thing) {
  auto files = files_.list(folder_of(thing));
  if (!files && files.error().code() == Code::kNotFound) return std::vector<std::string>();
  if (!files) return fail(files.error());
  std::vector<std::string> names;
  for (const std::string& file : *files) {
    if (!file.ends_with(kSuffix) || file.size() == kSuffix.size()) continue;
    std::string name = file.substr(0, file.size() - kSuffix.size());
    SKERRY_ASSIGN(const Shadow shadow, read(path_of({thing, name}, kSuffix)));
    if (shadow.exists()) names.push_back(std::move(name));
  }
  return names;
}

Result<Shadow> ShadowFiles::agreed(const ShadowKey& key) {
  return read(path_of(key, kAgreedSuffix));
}

Result<void> ShadowFiles::set_agreed(const ShadowKey& key, const Shadow& shadow) {
  if (shadow.version > 0) return write(key, kAgreedSuffix, shadow);
  const std::string path = path_of(key, kAgreedSuffix);
  if (!io::exists(files_, path)) return {};
  SKERRY_TRY(files_.remove(path));
  return files_.sync_directory(folder_of(key.thing));
}

}  // namespace skerry::nucleus
