// skerry fleet topics: which application topics the things of a fleet on this machine may use. The
// permissions are lines of DIR/topics (docs/data/topic-policy.md), which people may edit as well:
// what they wrote, comments and order, stays.
#include <fcntl.h>
#include <sys/file.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/local_files.h"
#include "io/fd.h"
#include "io/files.h"
#include "net/topic_policy.h"

namespace skerry::cli {
namespace {

using net::TopicPermission;
using nlohmann::json;

struct TopicLine {
  std::string text;
  std::optional<TopicPermission> permission;  // nothing in a comment
};

class TopicsFile {
 public:
  // For reading, or (`changes`) for a change that nobody else makes meanwhile.
  static Result<TopicsFile> open(const Session& session, bool changes) {
    if (!session.connection.endpoint.empty()) {
      return fail(Code::kInvalidArgument,
                  "the topics are a file in the fleet's directory: run this on its machine, with "
                  "--dir instead of --endpoint");
    }
    TopicsFile file;
    const std::string directory = directory_of(session.connection);
    file.path_ = directory + "/topics";
    if (changes) {
      SKERRY_TRY(make_private_directory(directory));
      file.lock_ = io::Fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      while (file.lock_ && ::flock(file.lock_.get(), LOCK_EX) != 0 && errno == EINTR) {
      }
    }
    SKERRY_TRY(file.read());
    return file;
  }

  const std::string& path() const { return path_; }
  std::vector<TopicLine>& lines() { return lines_; }

  Result<void> write() {
    std::string text;
    for (const TopicLine& line : lines_) text += line.text + "\n";
    return io::write_file_atomic(files_, path_, text, 0644);
  }

 private:
  Result<void> read() {
    auto text = io::read_file(files_, path_);
    if (!text && text.error().code() == Code::kNotFound) return {};  // nothing is open
    if (!text) return fail(text.error());
    for (std::string_view rest = *text; !rest.empty();) {
      const std::string_view line = net::take_line(rest);
      auto permission = net::parse_topic_line(line);
      if (!permission) {
        return fail(
            permission.error().with_context(path_ + " line " + std::to_string(lines_.size() + 1)));
      }
      lines_.push_back({std::string(line), std::move(*permission)});
    }
    return {};
  }

  std::string path_;
  std::vector<TopicLine> lines_;
  io::Fd lock_;
  io::RealFiles files_;
};

json to_json(const TopicPermission& permission) {
  return {{"permission", net::topic_permission_name(permission.kind)},
          {"filter", permission.filter}};
}

Result<void> list_topics(const Session& session) {
  SKERRY_ASSIGN(TopicsFile file, TopicsFile::open(session, false));
  json topics = json::array();
  Table table{{"THINGS MAY", "TOPICS"}, {}};
  for (const auto& [text, permission] : file.lines()) {
    if (!permission) continue;
    topics.push_back(to_json(*permission));
    table.rows.push_back(
        {std::string(net::topic_permission_name(permission->kind)), permission->filter});
  }
  if (session.output.json) {
    session.output.print_json(json{{"file", file.path()}, {"topics", topics}});
    return {};
  }
  session.output.print_table(table);
  if (table.rows.empty())
    session.output.hint("nothing is open: each thing has THING and THING/… to itself");
  return {};
}

// Opens or closes; what is so already is fine to open and a mistake to close. Nothing changes
// unless all of it can.
Result<void> change_topics(const Session& session, bool opens, const std::string& kind,
                           const std::vector<std::string>& filters) {
  SKERRY_ASSIGN(TopicsFile file, TopicsFile::open(session, true));
  json changed = json::array();
  for (const std::string& filter : filters) {
    SKERRY_ASSIGN(const TopicPermission wanted, net::parse_topic_permission(kind, filter));
    std::vector<TopicLine>& lines = file.lines();
    const auto is_wanted = [&](const TopicLine& line) { return line.permission == wanted; };
    const bool is_open = std::ranges::any_of(lines, is_wanted);
    if (!opens && !is_open) {
      return fail(Code::kNotFound, "'" + kind + " " + filter + "' is not open in " + file.path() +
                                       ": `skerry fleet topics` shows what is");
    }
    if (opens && is_open) continue;
    if (opens) lines.push_back({kind + " " + filter, wanted});
    if (!opens) std::erase_if(lines, is_wanted);
    changed.push_back(to_json(wanted));
  }
  if (!changed.empty()) SKERRY_TRY(file.write());
  if (session.output.json) {
    session.output.print_json(json{{"file", file.path()}, {opens ? "opened" : "closed", changed}});
  }
  session.output.hint("the broker follows within two seconds");
  return {};
}

void add_change(CLI::App& topics, Session& session, bool opens) {
  CLI::App* change = topics.add_subcommand(
      opens ? "open" : "close",
      opens ? "Let every thing use what these filters match" : "Take lines back");
  auto kind = std::make_shared<std::string>();
  auto filters = std::make_shared<std::vector<std::string>>();
  change->add_option("PERMISSION", *kind, "publish, subscribe or retain")
      ->required()
      ->check(CLI::IsMember({"publish", "subscribe", "retain"}));
  change->add_option("FILTER", *filters, "Topic filters; {thing} is the name of whoever asks")
      ->required();
  change->footer(opens ? R"(
Things publish and subscribe to THING and THING/… anyway. `retain` lets messages stay in the broker.
Examples:
  skerry fleet topics open publish 'plant/{thing}/alarm'
  skerry fleet topics open subscribe 'plant/#' '$share/workers/orders/#')"
                       : "\nExample:\n  skerry fleet topics close subscribe 'plant/#'");
  change->callback([&session, opens, kind, filters] {
    session.action = [&session, opens, kind, filters] {
      return change_topics(session, opens, *kind, *filters);
    };
  });
}

}  // namespace

void add_topics_command(CLI::App& app, Session& session) {
  CLI::App* fleet = app.add_subcommand("fleet", "What holds for a whole fleet of this machine");
  fleet->footer(R"(
Example:
  skerry fleet topics open publish 'plant/{thing}/alarm')");
  CLI::App* topics = fleet->add_subcommand(
      "topics", "Application topics that are open to all things; alone it lists them");
  topics->footer(R"(
They are lines of DIR/topics, which may be edited by hand as well.
Examples:
  skerry fleet topics
  skerry fleet topics open publish plant/alarm)");
  topics->callback([&session, topics] {
    if (topics->get_subcommands().empty())
      session.action = [&session] { return list_topics(session); };
  });
  add_change(*topics, session, true);
  add_change(*topics, session, false);
}

}  // namespace skerry::cli
