// skerry logs: the fleet's log, or a component's log of a device on this machine.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/command.h"
#include "cli/local_files.h"
#include "formats/names.h"

namespace skerry::cli {
namespace {

constexpr int64_t kLogFollowMs = 100;

struct LogsOptions {
  std::string component;
  std::string root;
  bool follow = false;
  size_t lines = 100;
};

Result<std::string> log_path(const Session& session, const LogsOptions& options) {
  if (options.component.empty()) return directory_of(session.connection) + "/skerry-fleet.log";
  SKERRY_ASSIGN(const auto name, formats::parse_component_name(options.component));
  return absolute_path(options.root) + "/logs/" + name.str() + ".log";
}

void print_line(const Output& output, const std::string& line) {
  if (output.json) {
    output.print_json(nlohmann::json{{"line", line}});
  } else {
    output.print_line(line);
  }
}

ino_t inode_of(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

// Prints what is added to `path`, also when it is replaced by a new file. Until interrupted.
void follow(const Output& output, const std::string& path, std::ifstream file) {
  ino_t inode = inode_of(path);
  std::string partial;
  while (true) {
    for (std::string piece; std::getline(file, piece);) {
      partial += piece;
      if (file.eof()) break;  // the line has no end yet
      print_line(output, std::exchange(partial, {}));
    }
    std::fflush(stdout);
    file.clear();
    std::this_thread::sleep_for(std::chrono::milliseconds(kLogFollowMs));
    const ino_t current = inode_of(path);
    if (current == 0 || current == inode) continue;
    inode = current;
    file = std::ifstream(path);
  }
}

Result<void> show_logs(const Session& session, const LogsOptions& options) {
  SKERRY_ASSIGN(const std::string path, log_path(session, options));
  std::ifstream file(path);
  if (!file) {
    return fail(
        Code::kNotFound,
        "no log at " + path +
            (options.component.empty()
                 ? ": is a fleet's directory given with --dir?"
                 : ": --root must be the device's rootPath, and the component must have run"));
  }
  std::deque<std::string> last;
  for (std::string line; std::getline(file, line);) {
    last.push_back(std::move(line));
    if (last.size() > options.lines) last.pop_front();
  }
  for (const std::string& line : last) print_line(session.output, line);
  file.clear();
  if (options.follow) follow(session.output, path, std::move(file));
  return {};
}

}  // namespace

void add_logs_command(CLI::App& app, Session& session) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* command =
      app.add_subcommand("logs", "The fleet's log, or a component's on a device of this machine");
  auto* root = command
                   ->add_option("--root", options->root,
                                "rootPath of the device, for example ./press-7/root")
                   ->check(CLI::ExistingDirectory);
  command->add_option("COMPONENT", options->component, "Component; the fleet itself where absent")
      ->needs(root);
  command->add_flag("-f,--follow", options->follow, "Go on with what is added, until Ctrl-C");
  command->add_option("-n,--lines", options->lines, "Last lines to begin with")
      ->capture_default_str();
  command->footer(R"(
Examples:
  skerry logs -f
  skerry logs com.example.Hello --root ./press-7/root -n 20)");
  command->callback([&session, options] {
    session.action = [&session, options] { return show_logs(session, *options); };
  });
}

}  // namespace skerry::cli
