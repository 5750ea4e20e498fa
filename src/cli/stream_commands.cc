// skerry stream: what the stream manager of this machine keeps, and how far it has come away.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/iso_time.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/local_files.h"
#include "cli/stream_client.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr int64_t kBatch = 1'000;
constexpr int64_t kFollowMs = 10'000;

struct StreamOptions {
  std::string directory = ".";
  std::string name;
  std::string out;
  int64_t lines = 10, from = 0, to = INT64_MAX;
  bool follow = false;
};

// What holds anything but text is Base64.
bool is_text(const std::string& payload) {
  return is_utf8(payload) && std::ranges::none_of(payload, [](unsigned char c) {
           return c < 0x20 && c != '\t' && c != '\n' && c != '\r';
         });
}

json message_json(const json& message) {
  const auto& bytes = message.at("payload").get_binary();
  const std::string payload(bytes.begin(), bytes.end());
  json line = {{"sequence", message.at("sequenceNumber")}, {"time_ms", message.at("ingestTime")}};
  if (is_text(payload)) {
    line["text"] = payload;
  } else {
    line["base64"] = base64_encode(payload);
  }
  return line;
}

std::string message_line(const json& line) {
  return line.at("sequence").dump() + "\t" + iso_time(line.at("time_ms")) + "\t" +
         (line.contains("text") ? line.at("text") : line.at("base64")).get<std::string>();
}

Result<json> describe(StreamClient& client, const std::string& name) {
  SKERRY_ASSIGN(const json answer, client.call(StreamCall::kDescribe, {{"name", name}}));
  return answer.at("messageStreamInfo");
}

// Messages that no export has brought away yet, of the export that is furthest behind.
int64_t waiting(const json& info) {
  const int64_t newest = info.at("storageStatus").at("newestSequenceNumber");
  const int64_t oldest = info.at("storageStatus").at("oldestSequenceNumber");
  int64_t most = 0;
  for (const json& each : info.at("exportStatuses")) {
    const int64_t gone = each.at("lastExportedSequenceNumber");
    most = std::max(most, newest - std::max(gone, oldest - 1));
  }
  return most;
}

Result<void> list(const Session& session, const StreamOptions& options) {
  SKERRY_ASSIGN(auto client, StreamClient::open(options.directory));
  SKERRY_ASSIGN(const json names, client.call(StreamCall::kList, json::object()));
  Table table{{"STREAM", "FROM", "TO", "BYTES", "EXPORTS", "WAITING"}, {}};
  json all = json::array();
  for (const json& name : names.at("streams")) {
    const auto info = describe(client, name.get<std::string>());
    if (!info && info.error().code() == Code::kNotFound) continue;  // removed meanwhile
    if (!info) return fail(info.error());
    const json& storage = info->at("storageStatus");
    table.rows.push_back(
        {name, storage.at("oldestSequenceNumber").dump(), storage.at("newestSequenceNumber").dump(),
         storage.at("totalBytes").dump(), std::to_string(info->at("exportStatuses").size()),
         std::to_string(waiting(*info))});
    all.push_back({{"name", name},
                   {"oldest", storage.at("oldestSequenceNumber")},
                   {"newest", storage.at("newestSequenceNumber")},
                   {"bytes", storage.at("totalBytes")},
                   {"exports", info->at("exportStatuses").size()},
                   {"waiting", waiting(*info)}});
  }
  if (session.output.json) {
    session.output.print_json(json{{"streams", all}});
  } else {
    session.output.print_table(table);
  }
  return {};
}

Result<void> show(const Session& session, const StreamOptions& options) {
  SKERRY_ASSIGN(auto client, StreamClient::open(options.directory));
  SKERRY_ASSIGN(const json info, describe(client, options.name));
  if (session.output.json) {
    session.output.print_json(info);
    return {};
  }
  for (const auto& [key, value] : info.at("definition").items()) {
    if (key != "exportDefinition") session.output.print_line(key + "\t" + value.dump());
  }
  for (const auto& [key, value] : info.at("storageStatus").items()) {
    session.output.print_line(key + "\t" + value.dump());
  }
  Table table{{"EXPORT", "LAST", "MESSAGES", "BYTES", "TRIED", "ERROR"}, {}};
  for (const json& each : info.at("exportStatuses")) {
    const int64_t tried_ms = each.value("lastExportTime", int64_t{0});
    table.rows.push_back(
        {each.at("exportConfigIdentifier").get<std::string>(),
         each.at("lastExportedSequenceNumber").dump(), each.at("exportedMessagesCount").dump(),
         each.at("exportedBytesFromStream").dump(), tried_ms == 0 ? "never" : iso_time(tried_ms),
         each.value("errorMessage", "")});
  }
  if (!table.rows.empty()) session.output.print_table(table);
  return {};
}

// Up to kBatch messages from `from` on, waiting `wait_ms` for the first; none where there is none.
Result<json> read(StreamClient& client, const std::string& name, int64_t from, int64_t wait_ms) {
  auto answer = client.call(StreamCall::kRead, {{"streamName", name},
                                                {"readMessagesOptions",
                                                 {{"desiredStartSequenceNumber", from},
                                                  {"minMessageCount", 1},
                                                  {"maxMessageCount", kBatch},
                                                  {"readTimeoutMillis", wait_ms}}}});
  if (!answer && answer.error().code() == Code::kUnavailable) return json::array();
  if (!answer) return fail(answer.error());
  return answer->at("messages");
}

Result<void> tail(const Session& session, const StreamOptions& options) {
  SKERRY_ASSIGN(auto client, StreamClient::open(options.directory));
  SKERRY_ASSIGN(const json info, describe(client, options.name));
  const int64_t newest = info.at("storageStatus").at("newestSequenceNumber");
  int64_t next = std::max<int64_t>(0, newest + 1 - options.lines);
  for (;;) {
    const bool waits = options.follow && next > newest;
    if (!waits && next > newest) return {};
    SKERRY_ASSIGN(const json messages, read(client, options.name, next, waits ? kFollowMs : 0));
    if (messages.empty() && !options.follow) return {};
    for (const json& message : messages) {
      const json line = message_json(message);
      if (session.output.json) {
        session.output.print_json(line);
      } else {
        session.output.print_line(message_line(line));
      }
      next = message.at("sequenceNumber").get<int64_t>() + 1;
    }
    std::fflush(stdout);
  }
}

// One JSON object a line, as tail --json prints them.
Result<void> export_messages(const Session& session, const StreamOptions& options) {
  SKERRY_ASSIGN(auto client, StreamClient::open(options.directory));
  std::ofstream file;
  if (!options.out.empty()) file.open(options.out, std::ios::binary | std::ios::trunc);
  if (!file) return fail(errno_error("open", options.out, errno));
  int64_t count = 0;
  for (int64_t next = options.from; next <= options.to;) {
    SKERRY_ASSIGN(const json messages, read(client, options.name, next, 0));
    if (messages.empty()) break;
    for (const json& message : messages) {
      next = message.at("sequenceNumber").get<int64_t>() + 1;
      if (next - 1 > options.to) break;
      const json line = message_json(message);
      if (options.out.empty()) {
        session.output.print_json(line);
      } else {
        file << line.dump() << '\n';
      }
      ++count;
    }
  }
  if (options.out.empty()) return {};
  file.close();
  if (!file) return fail(Code::kResourceExhausted, options.out + " cannot be written");
  if (session.output.json) {
    session.output.print_json(json{{"messages", count}, {"file", options.out}});
  } else {
    session.output.print_line(std::to_string(count) + " messages in " + options.out);
  }
  return {};
}

// The program that knows the files does it, while no other one uses them.
Result<void> repair(const Session& session, const StreamOptions& options) {
  SKERRY_ASSIGN(const std::string program, find_sibling("skerry-streams"));
  std::vector<std::string> words = {program, "--dir", options.directory, "--repair"};
  if (!options.name.empty()) words.insert(words.end(), {"--stream", options.name});
  if (session.output.json) words.emplace_back("--json");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  return fail(errno_error("execute", program, errno));
}

using Action = Result<void> (*)(const Session&, const StreamOptions&);

}  // namespace

void add_stream_commands(CLI::App& app, Session& session) {
  CLI::App* stream = app.add_subcommand("stream", "Streams that this machine keeps");
  stream->footer(R"(
Examples:
  skerry stream list --streams /var/lib/skerry/work/aws.greengrass.StreamManager
  skerry stream tail readings -f
  skerry stream export readings --from 1000 --out readings.jsonl

The folder is the stream manager's --dir; SKERRY_STREAMS_DIR names it, too.)");
  const auto options = std::make_shared<StreamOptions>();
  stream->add_option("--streams", options->directory, "Folder of the stream manager (default: .)")
      ->envname("SKERRY_STREAMS_DIR");
  const auto add = [&](const char* name, const char* help, const char* example, Action action) {
    CLI::App* command = stream->add_subcommand(name, help);
    command->footer(std::string("\nExample:\n  ") + example);
    command->callback([&session, options, action] {
      session.action = [&session, options, action] { return action(session, *options); };
    });
    return command;
  };
  add("list", "All streams", "skerry stream list --json", list);
  CLI::App* one = add("show", "One stream and its exports", "skerry stream show readings", show);
  one->add_option("STREAM", options->name)->required();
  CLI::App* last = add("tail", "The newest messages", "skerry stream tail readings -n 50 -f", tail);
  last->add_option("STREAM", options->name)->required();
  last->add_option("-n,--lines", options->lines, "How many")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  last->add_flag("-f,--follow", options->follow, "And those that come, until interrupted");
  CLI::App* out = add("export", "Messages as JSON lines",
                      "skerry stream export readings --out readings.jsonl", export_messages);
  out->add_option("STREAM", options->name)->required();
  out->add_option("--from", options->from, "Number of the first")->check(CLI::NonNegativeNumber);
  out->add_option("--to", options->to, "Number of the last")->check(CLI::NonNegativeNumber);
  out->add_option("--out", options->out, "File, instead of standard output");
  CLI::App* mend =
      add("repair", "Look at every byte, and mend what can be; the manager must not run",
          "skerry stream repair --streams ./streams", repair);
  mend->add_option("STREAM", options->name, "Whose damaged definition is made anew with defaults");
}

}  // namespace skerry::cli
