// Copies piece by piece on the pool, so that a large artifact does not keep others from it.
#include "nucleus/local_inbox.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/recipe.h"
#include "io/pool.h"
#include "nucleus/part_file.h"
#include "nucleus/s3_source.h"

namespace skerry::nucleus {
namespace {

constexpr size_t kPieceBytes = 4 << 20;
constexpr size_t kMaxRecipes = 1'000;
constexpr std::string_view kArn = "local/";  // in place of an ARN: "local/NAME/VERSION"

bool is_recipe(const std::string& file) {
  return file.ends_with(".json") || file.ends_with(".yaml") || file.ends_with(".yml");
}

Error not_a_directory(const std::string& path) {
  return Error(Code::kInvalidArgument, path + " is not a directory that the nucleus can read");
}

// One file on its way into the inbox; shared with the pool.
struct Copy {
  io::Files& files;
  std::unique_ptr<io::File> from, to;
  uint64_t offset = 0;
  Sha256 hash;

  Result<void> open(const std::string& source, const std::string& target, uint64_t size_bytes) {
    SKERRY_ASSIGN(from, files.open(source, io::OpenMode::kRead));
    SKERRY_TRY(io::make_directories(files, io::parent_of(target), 0700));
    SKERRY_ASSIGN(const uint64_t free, files.free_bytes(io::parent_of(target)));
    if (free < kDiskReserveBytes || size_bytes > free - kDiskReserveBytes) {
      return fail(Code::kResourceExhausted,
                  "no space for " + std::to_string(size_bytes) + " bytes of " + source + ": " +
                      std::to_string(free) + " are free and " + std::to_string(kDiskReserveBytes) +
                      " are kept for roll-back");
    }
    SKERRY_ASSIGN(to, files.open(target, io::OpenMode::kTruncate, 0600));
    return {};
  }
  // False once all of it is there, synced.
  Result<bool> step() {
    SKERRY_ASSIGN(const std::string bytes, from->read_at(offset, kPieceBytes));
    hash.update(bytes);
    offset += bytes.size();
    if (!bytes.empty()) SKERRY_TRY(to->write(bytes));
    if (bytes.size() == kPieceBytes) return true;
    SKERRY_TRY(to->sync());
    return false;
  }
};

Result<Candidate> candidate_of(std::string text) {
  SKERRY_ASSIGN(const auto recipe, formats::parse_recipe(text));
  const std::string version = recipe.version.str();
  return Candidate{std::string(kArn) + recipe.name.str() + "/" + version, recipe.name, version,
                   std::move(text)};
}

std::string folder_of(const Candidate& candidate) {
  return candidate.name.str() + "/" + candidate.version;
}

// The files that a recipe's artifacts are called.
Result<std::vector<std::string>> artifacts_of(const std::string& text) {
  std::vector<std::string> names;
  SKERRY_ASSIGN(const auto recipe, formats::parse_recipe(text));
  for (const auto& manifest : recipe.manifests) {
    SKERRY_TRY(formats::check_artifacts_apart(manifest));
    for (const auto& artifact : manifest.artifacts) names.push_back(artifact.file_name());
  }
  return names;
}

using FileNames = std::vector<std::string>;

}  // namespace

bool LocalInbox::brought(const Candidate& candidate) {
  return candidate.arn.starts_with(kArn);
}

io::Task<Result<void>> LocalInbox::take(LocalFolders folders, Folder* which) {
  *which = Folder::kArtifacts;
  if (!folders.artifacts.empty()) {
    const auto info = env_.files.stat(folders.artifacts);
    if (!info || !info->is_directory) co_return fail(not_a_directory(folders.artifacts));
  }
  *which = Folder::kRecipes;
  if (folders.recipes.empty()) co_return Result<void>();
  auto listed =
      co_await on_pool([&files = env_.files, path = folders.recipes] { return files.list(path); });
  if (!listed) co_return fail(not_a_directory(folders.recipes));
  std::erase_if(*listed, [](const std::string& name) { return !is_recipe(name); });
  if (listed->size() > kMaxRecipes) {
    co_return fail(Code::kInvalidArgument,
                   folders.recipes + " has more than " + std::to_string(kMaxRecipes) + " recipes");
  }
  for (const std::string& name : *listed) {
    auto taken = co_await take_recipe(folders.recipes + "/" + name, folders.artifacts, which);
    if (!taken) co_return fail(taken.error().with_context(name));
  }
  co_return Result<void>();
}

io::Task<Result<void>> LocalInbox::take_recipe(std::string path, std::string artifacts,
                                               Folder* which) {
  *which = Folder::kRecipes;
  const auto info = env_.files.stat(path);
  if (!info || !info->is_regular) {
    co_return fail(Code::kInvalidArgument, path + " is not a regular file that can be read");
  }
  SKERRY_CO_ASSIGN(std::string text, co_await on_pool([&files = env_.files, path] {
                     return io::read_file(files, path, formats::kMaxRecipeBytes);
                   }));
  SKERRY_CO_ASSIGN(Candidate candidate, candidate_of(text));
  auto& versions = candidates_[candidate.name];
  if (versions.contains(candidate.version)) {
    co_return fail(Code::kInvalidArgument,
                   "a second recipe of " + candidate.name.str() + " " + candidate.version);
  }
  SKERRY_CO_ASSIGN(const FileNames names, artifacts_of(text));
  *which = Folder::kArtifacts;
  Digests digests;
  for (const std::string& name : names) {
    if (artifacts.empty() || digests.contains(name)) continue;
    const std::string below = folder_of(candidate) + "/" + name;
    SKERRY_CO_ASSIGN(auto digest, co_await take_file(artifacts + "/" + below,
                                                     directory_ + "/artifacts/" + below));
    if (digest) digests[name] = std::move(*digest);
  }
  SKERRY_CO_ASSIGN(
      candidate.recipe,
      formats::rewrite_artifacts(
          text,
          [&](const formats::Artifact& artifact) -> Result<std::optional<formats::ArtifactPlace>> {
            const auto digest = digests.find(artifact.file_name());
            if (digest == digests.end()) return std::optional<formats::ArtifactPlace>();
            return formats::ArtifactPlace{"greengrass:" + artifact.file_name(), digest->second};
          }));
  SKERRY_CO_TRY(co_await on_pool(
      [&files = env_.files, text = candidate.recipe, recipes = directory_ + "/recipes",
       name = candidate.name.str() + "@" + candidate.version]() -> Result<void> {
        SKERRY_TRY(io::make_directories(files, recipes, 0700));
        return io::write_file_atomic(files, recipes + "/" + name, text);
      }));
  versions.emplace(candidate.version, candidate);
  co_return Result<void>();
}

// The digest of what was copied; nothing where there is no such file.
io::Task<Result<std::optional<std::string>>> LocalInbox::take_file(std::string from,
                                                                   std::string to) {
  const auto info = env_.files.stat(from);
  if (!info && info.error().code() == Code::kNotFound) co_return std::optional<std::string>();
  if (!info) co_return fail(info.error());
  if (!info->is_regular) co_return fail(Code::kInvalidArgument, from + " is not a regular file");
  auto copy = std::make_shared<Copy>(Copy{env_.files, {}, {}, 0, {}});
  SKERRY_CO_TRY(co_await on_pool(
      [copy, from, to, size = info->size_bytes] { return copy->open(from, to, size); }));
  for (bool more = true; more;) {
    SKERRY_CO_ASSIGN(more, co_await on_pool([copy] { return copy->step(); }));
  }
  SKERRY_CO_TRY(co_await on_pool(
      [&files = env_.files, folder = io::parent_of(to)] { return files.sync_directory(folder); }));
  co_return std::optional(base64_encode(copy->hash.finish()));
}

io::Task<Result<void>> LocalInbox::open() {
  candidates_.clear();
  using Texts = std::vector<std::string>;
  SKERRY_CO_ASSIGN(
      Texts texts,
      co_await on_pool([&files = env_.files, recipes = directory_ + "/recipes"]() -> Result<Texts> {
        Texts found;
        auto names = files.list(recipes);
        if (!names) return found;
        for (const std::string& name : *names) {
          if (name.ends_with(".tmp")) continue;
          SKERRY_ASSIGN(std::string text,
                        io::read_file(files, recipes + "/" + name, formats::kMaxRecipeBytes));
          found.push_back(std::move(text));
        }
        return found;
      }));
  for (std::string& text : texts) {
    SKERRY_CO_ASSIGN(Candidate candidate, candidate_of(std::move(text)));
    candidates_[candidate.name].emplace(candidate.version, candidate);
  }
  co_return Result<void>();
}

Result<std::optional<Candidate>> LocalInbox::find(
    const ComponentName& name, const std::map<std::string, std::string>& wants) const {
  const auto found = candidates_.find(name);
  if (found == candidates_.end()) return std::optional<Candidate>();
  std::optional<formats::Version> best;
  for (const auto& [text, candidate] : found->second) {
    SKERRY_ASSIGN(const auto version, formats::Version::parse(text));
    bool fits = true;
    for (const auto& [who, range_text] : wants) {
      SKERRY_ASSIGN(const auto range, formats::VersionRange::parse(range_text));
      fits &= range.matches(version);
    }
    if (fits && (!best || *best < version)) best = version;
  }
  if (!best) return std::optional<Candidate>();
  return found->second.at(best->str());
}

io::Task<Result<std::vector<std::string>>> LocalInbox::thing_groups() {
  co_return fail(Code::kPermissionDenied, "folders know no groups");
}

io::Task<Result<Candidate>> LocalInbox::resolve(ComponentName name,
                                                std::map<std::string, std::string> requirements) {
  SKERRY_CO_ASSIGN(auto found, find(name, requirements));
  if (found) co_return std::move(*found);
  co_return fail(Code::kNotFound, "not among the recipes of the deployment");
}

io::Task<Result<std::string>> LocalInbox::artifact_url(std::string component_arn,
                                                       std::string artifact) {
  co_return directory_ + "/artifacts/" + component_arn.substr(kArn.size()) + "/" + artifact;
}

io::Task<Result<void>> LocalInbox::download(std::string url, uint64_t offset, DownloadSink* sink) {
  if (beyond_ && url.starts_with(S3Source::kScheme))
    co_return co_await beyond_->download(std::move(url), offset, sink);
  auto file = co_await on_pool([&files = env_.files, url]() -> Result<std::shared_ptr<io::File>> {
    SKERRY_ASSIGN(auto opened, files.open(url, io::OpenMode::kRead));
    return std::shared_ptr<io::File>(std::move(opened));
  });
  if (!file) co_return fail(file.error());
  SKERRY_CO_ASSIGN(const uint64_t size, co_await on_pool([f = *file] { return f->size(); }));
  if (offset > size) offset = 0;
  SKERRY_CO_TRY(co_await sink->begin(offset, size - offset));
  while (offset < size) {
    SKERRY_CO_ASSIGN(std::string bytes, co_await on_pool([f = *file, offset] {
                       return f->read_at(offset, kPieceBytes);
                     }));
    if (bytes.empty()) co_return fail(Code::kCorrupt, url + " became shorter while it was read");
    offset += bytes.size();
    SKERRY_CO_TRY(co_await sink->write(std::move(bytes)));
  }
  co_return Result<void>();
}

}  // namespace skerry::nucleus
