// Over what the store can do already: opening has cut torn ends off, reading goes on behind damage.
#include "streams/repair.h"

#include <nlohmann/json.hpp>

namespace skerry::streams {
namespace {

constexpr size_t kMessages = 1'000;
constexpr size_t kBytes = 4 << 20;

}  // namespace

Result<std::vector<StreamHealth>> check_streams(StreamStore& store) {
  std::vector<StreamHealth> all;
  for (const std::string& name : store.list()) {
    SKERRY_ASSIGN(const StreamInfo info, store.describe(name));
    StreamHealth health{name};
    int64_t next = info.range.oldest;
    while (next <= info.range.newest) {
      SKERRY_ASSIGN(const auto messages, store.read(name, next, kMessages, kBytes));
      if (messages.empty()) break;
      health.messages += static_cast<int64_t>(messages.size());
      next = messages.back().sequence + 1;
    }
    health.missing = info.range.newest - info.range.oldest + 1 - health.messages;
    all.push_back(health);
  }
  return all;
}

Result<void> renew_definition(io::Files& files, const std::string& directory,
                              const std::string& stream, const std::string& id) {
  SKERRY_TRY(check_stream_name(stream));
  const std::string folder = directory + "/" + StreamStore::folder_of(stream);
  const std::string path = folder + "/definition.json";
  const auto text = io::read_file(files, path, 1 << 20);
  if (!text) {
    return fail(text.error().code(), "there is no stream " + stream + " in " + directory);
  }
  const auto definition = parse_definition(nlohmann::json::parse(*text, nullptr, false));
  if (definition && definition->name == stream) {
    return fail(Code::kAlreadyExists, "the definition of " + stream + " is not damaged");
  }
  SKERRY_TRY(io::write_file_atomic(files, path + ".damaged", *text));
  nlohmann::json document = to_json(Definition{.name = stream});
  document["id"] = id;
  return io::write_file_atomic(files, path, document.dump(2) + "\n");
}

}  // namespace skerry::streams
