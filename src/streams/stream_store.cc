// A stream's directory is there once its definition is: made last and removed first. Its name is a
// digest of the stream's, which may hold what a file name may not.
#include "streams/stream_store.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"
#include "base/sha256.h"
#include "io/crc32c.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

constexpr std::string_view kDefinition = "/definition.json";
constexpr std::string_view kExports = "/exports";
constexpr size_t kChecksumLine = 9;  // eight digits and the end of the line
constexpr size_t kDigestDigits = 32;

// A line with the checksum of the rest: a digit that has flipped must not skip messages.
std::string to_text(const Progress& exports) {
  json all = json::object();
  for (const auto& [identifier, progress] : exports) {
    all[identifier] = {{"next", progress.next},
                       {"messages", progress.messages},
                       {"bytes", progress.bytes},
                       {"last_ms", progress.last_ms},
                       {"error", progress.error}};
  }
  const std::string body = all.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
  char head[16];
  std::snprintf(head, sizeof head, "%08x\n", io::crc32c(body));
  return head + body;
}

Result<Progress> parse_progress(const std::string& text) {
  const std::string body = text.size() > kChecksumLine ? text.substr(kChecksumLine) : "";
  char head[16];
  std::snprintf(head, sizeof head, "%08x\n", io::crc32c(body));
  const json all = json::parse(body, nullptr, false);
  if (!text.starts_with(head) || !all.is_object()) {
    return fail(Code::kCorrupt, std::string(kExports.substr(1)) + " is damaged");
  }
  Progress exports;
  for (const auto& [identifier, each] : all.items()) {
    if (!each.is_object()) return fail(Code::kCorrupt, identifier + " is no map");
    ExportProgress& progress = exports[identifier];
    SKERRY_TRY(read_integer(each, "next", 0, INT64_MAX, progress.next));
    SKERRY_TRY(read_integer(each, "messages", 0, INT64_MAX, progress.messages));
    SKERRY_TRY(read_integer(each, "bytes", 0, INT64_MAX, progress.bytes));
    SKERRY_TRY(read_integer(each, "last_ms", INT64_MIN, INT64_MAX, progress.last_ms));
    progress.error = text_member(each, "error");
  }
  return exports;
}

std::string missing(const std::string& name) {
  return "the stream " + name + " does not exist";
}

}  // namespace

std::string StreamStore::folder_of(const std::string& stream) {
  return hex_encode(sha256(stream)).substr(0, kDigestDigits);
}

Result<std::unique_ptr<StreamStore>> StreamStore::open(io::Files& files, std::string directory,
                                                       const StoreLimits& limits) {
  SKERRY_TRY(io::make_directories(files, directory, 0700));
  SKERRY_ASSIGN(const std::vector<std::string> names, files.list(directory));
  auto store = std::unique_ptr<StreamStore>(new StreamStore(files, std::move(directory), limits));
  for (const std::string& name : names) {
    if (name.size() != kDigestDigits) continue;
    SKERRY_TRY(store->load(store->directory_ + "/" + name));
  }
  store->count_bytes();
  return store;
}

Result<void> StreamStore::load(const std::string& directory) {
  const std::string path = directory + std::string(kDefinition);
  if (!io::exists(files_, path)) return io::remove_all(files_, directory);  // half made or removed
  SKERRY_ASSIGN(const std::string text, io::read_file(files_, path, 1 << 20));
  const json document = json::parse(text, nullptr, false);
  const auto cannot = [&](const std::string& name, const Error& error) {
    broken_.insert(directory);
    recoveries_.push_back({name, "cannot be opened: " + error.message()});
    return Result<void>();
  };
  auto definition = parse_definition(document);
  if (!definition) return cannot(path, definition.error());
  const std::string name = definition->name;
  auto log = FileLog::open(files_, directory, definition->limits());
  if (!log) return cannot(name, log.error());
  const FileLog::Recovery& found = (*log)->recovery();
  if (found.torn_bytes > 0) {
    recoveries_.push_back(
        {name, std::to_string(found.torn_bytes) + " bytes of an unfinished append were dropped"});
  }
  if (found.damaged_bytes > 0) {
    recoveries_.push_back({name, std::to_string(found.damaged_bytes) +
                                     " bytes are damaged; the messages in them are lost"});
  }
  std::string id = text_member(document, "id");
  if (id.empty()) id = folder_of(name);
  Stream stream{std::move(*definition), std::move(id), directory, nullptr};
  load_exports(stream, **log);
  stream.log = std::move(*log);
  streams_.emplace(name, std::move(stream));
  return {};
}

// Where it is damaged the exports begin again: the receivers know what they have.
void StreamStore::load_exports(Stream& stream, FileLog& log) {
  const auto text = io::read_file(files_, stream.directory + std::string(kExports), 1 << 20);
  const bool is_absent = !text && text.error().code() == Code::kNotFound;
  auto progress = text ? parse_progress(*text) : fail(text.error());
  if (progress) {
    stream.exports = *std::move(progress);
  } else if (!is_absent) {
    recoveries_.push_back({stream.definition.name,
                           "how far its exports had come is not known, "
                           "they begin again: " +
                               progress.error().message()});
  }
  stream.match_exports();
  for (const auto& [identifier, each] : stream.exports) {
    const int64_t lost = each.next - log.range().newest - 1;
    // A start that lies ahead is no sign of loss.
    if (lost <= 0 || each.messages == 0) continue;
    recoveries_.push_back({stream.definition.name, std::to_string(lost) +
                                                       " messages are lost here, " + identifier +
                                                       " had brought them away"});
    if (const auto skipped = log.skip_to(each.next); !skipped) {
      recoveries_.push_back({stream.definition.name, skipped.error().message()});
    }
  }
}

void StreamStore::Stream::match_exports() {
  Progress matched;
  for (const ExportConfig& config : definition.exports) {
    const auto before = exports.find(config.identifier);
    matched[config.identifier] =
        before == exports.end() ? ExportProgress{.next = config.start} : before->second;
  }
  exports = std::move(matched);
}

Result<void> StreamStore::write_definition(const Stream& stream) {
  if (stream.directory.empty()) return {};
  json document = to_json(stream.definition);
  document["id"] = stream.id;
  return io::write_file_atomic(files_, stream.directory + std::string(kDefinition),
                               document.dump(2) + "\n");
}

Result<void> StreamStore::create(const Definition& definition, std::string id) {
  const std::string& name = definition.name;
  const std::string directory = directory_ + "/" + folder_of(name);
  if (streams_.contains(name)) {
    return fail(Code::kAlreadyExists, "the stream " + name + " exists already");
  }
  if (broken_.contains(directory)) {
    return fail(Code::kAlreadyExists,
                "the stream " + name + " exists and cannot be opened: move " + directory + " away");
  }
  if (streams_.size() >= limits_.max_streams) {
    return fail(Code::kResourceExhausted, "there are " + std::to_string(limits_.max_streams) +
                                              " streams, which is the limit");
  }
  if (definition.persistence == Persistence::kMemory) {
    Stream stream{definition, std::move(id), "", std::make_unique<MemoryLog>(definition.limits())};
    stream.match_exports();
    streams_.emplace(name, std::move(stream));
    return {};
  }
  SKERRY_TRY(io::remove_all(files_, directory));
  SKERRY_TRY(io::make_directories(files_, directory, 0700));
  SKERRY_ASSIGN(auto log, FileLog::create(files_, directory, definition.limits()));
  if (id.empty()) id = folder_of(name);
  Stream stream{definition, std::move(id), directory, std::move(log)};
  stream.match_exports();
  SKERRY_TRY(write_definition(stream));
  streams_.emplace(name, std::move(stream));
  return {};
}

Result<void> StreamStore::update(const Definition& definition) {
  SKERRY_ASSIGN(Stream* const stream, find(definition.name));
  if (definition.persistence != stream->definition.persistence) {
    return fail(Code::kFailedPrecondition,
                "persistence cannot be changed: delete the stream and create it again");
  }
  const Definition before = std::exchange(stream->definition, definition);
  if (auto written = write_definition(*stream); !written) {
    stream->definition = before;
    return written;
  }
  stream->match_exports();
  stream->log->set_limits(definition.limits());
  return {};
}

Result<void> StreamStore::remove(const std::string& name) {
  SKERRY_ASSIGN(const Stream* const stream, find(name));
  if (!stream->directory.empty()) {
    SKERRY_TRY(files_.remove(stream->directory + std::string(kDefinition)));
    SKERRY_TRY(files_.sync_directory(stream->directory));
    (void)io::remove_all(files_, stream->directory);  // what is left goes at the next start
  }
  streams_.erase(name);
  appended_.erase(name);
  count_bytes();
  return {};
}

std::vector<std::string> StreamStore::list() const {
  std::vector<std::string> names;
  for (const auto& [name, stream] : streams_) names.push_back(name);
  return names;
}

Result<StreamInfo> StreamStore::describe(const std::string& name) const {
  const auto found = streams_.find(name);
  if (found == streams_.end()) return fail(Code::kNotFound, missing(name));
  return StreamInfo{found->second.definition, found->second.log->range(), found->second.exports};
}

Result<int64_t> StreamStore::append(const std::string& name, std::string_view payload,
                                    int64_t now_ms) {
  SKERRY_ASSIGN(Stream* const stream, find(name));
  const int64_t size = io::log_record::size_of(payload.size());
  SKERRY_TRY(check_room(*stream, size));
  SKERRY_ASSIGN(const int64_t sequence, stream->log->append(payload, now_ms));
  appended_.insert(name);
  (stream->directory.empty() ? in_memory_ : in_files_) += size;
  if (!stream->directory.empty()) free_ -= size;
  return sequence;
}

// What the streams together may take. One that drops its oldest messages needs no more than before
// once it is full.
Result<void> StreamStore::check_room(const Stream& stream, int64_t bytes) {
  const bool in_memory = stream.directory.empty();
  const bool replaces = stream.definition.on_full == StrategyOnFull::kOverwriteOldestData &&
                        stream.log->range().bytes + bytes > stream.definition.max_bytes;
  if (replaces) return {};
  const int64_t most = in_memory ? limits_.max_memory_bytes : limits_.max_bytes;
  if (most > 0 && (in_memory ? in_memory_ : in_files_) + bytes > most) {
    return fail(Code::kResourceExhausted,
                std::string("all streams ") + (in_memory ? "in memory " : "") +
                    "together have reached their limit of " + std::to_string(most) + " bytes");
  }
  if (!in_memory && free_ - bytes < limits_.reserve_bytes) {
    return fail(Code::kResourceExhausted, "the disk is full but for " +
                                              std::to_string(limits_.reserve_bytes) +
                                              " bytes that are kept for others");
  }
  return {};
}

void StreamStore::count_bytes() {
  in_files_ = in_memory_ = 0;
  for (const auto& [name, stream] : streams_) {
    (stream.directory.empty() ? in_memory_ : in_files_) += stream.log->range().bytes;
  }
  const uint64_t free = files_.free_bytes(directory_).value_or(0);
  free_ = static_cast<int64_t>(std::min<uint64_t>(free, INT64_MAX));
}

std::map<std::string, Error> StreamStore::commit() {
  std::map<std::string, Error> failed;
  for (const std::string& name : appended_) {
    const Stream& stream = streams_.at(name);
    const auto finished = stream.log->finish(stream.definition.flush_on_write);
    if (!finished) failed.emplace(name, finished.error());
  }
  appended_.clear();
  count_bytes();
  return failed;
}

Result<std::vector<Message>> StreamStore::read(const std::string& name, int64_t from,
                                               size_t max_count, size_t max_bytes) {
  SKERRY_ASSIGN(const Stream* const stream, find(name));
  return stream->log->read(from, max_count, max_bytes);
}

Result<ExportRead> StreamStore::read_for_export(const std::string& name,
                                                const std::string& identifier, size_t max_count,
                                                size_t max_bytes) {
  SKERRY_ASSIGN(Stream* const stream, find(name));
  const auto found = stream->exports.find(identifier);
  if (found == stream->exports.end()) return fail(Code::kNotFound, "no export " + identifier);
  SKERRY_TRY(stream->log->sync());
  const LogRange range = stream->log->range();
  ExportRead read{stream->id, found->second, 0, {}};
  read.waiting = range.newest + 1 - std::max(read.progress.next, range.oldest);
  SKERRY_ASSIGN(read.messages, stream->log->read(read.progress.next, max_count, max_bytes));
  return read;
}

Result<void> StreamStore::record_export(const std::string& name, const std::string& identifier,
                                        const ExportProgress& progress) {
  SKERRY_ASSIGN(Stream* const stream, find(name));
  const auto found = stream->exports.find(identifier);
  if (found == stream->exports.end()) return fail(Code::kNotFound, "no export " + identifier);
  const ExportProgress before = std::exchange(found->second, progress);
  if (before.next == progress.next || stream->directory.empty()) return {};
  auto written = io::write_file_atomic(files_, stream->directory + std::string(kExports),
                                       to_text(stream->exports));
  if (!written) found->second = before;
  return written;
}

Result<void> StreamStore::sync() {
  Result<void> outcome;
  for (auto& [name, stream] : streams_) {
    if (auto synced = stream.log->sync(); !synced)
      outcome = fail(synced.error().with_context(name));
  }
  return outcome;
}

Result<void> StreamStore::expire(int64_t now_ms) {
  Result<void> outcome;
  for (auto& [name, stream] : streams_) {
    if (!stream.definition.time_to_live_ms) continue;
    const auto dropped = stream.log->expire(now_ms - *stream.definition.time_to_live_ms);
    if (!dropped) outcome = fail(dropped.error().with_context(name));
  }
  count_bytes();
  return outcome;
}

Result<StreamStore::Stream*> StreamStore::find(const std::string& name) {
  const auto found = streams_.find(name);
  if (found == streams_.end()) return fail(Code::kNotFound, missing(name));
  return &found->second;
}

}  // namespace skerry::streams
