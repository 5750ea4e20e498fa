// skerry-infer: the inference service, and the commands that load models into a running one.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/log.h"
#include "flow/stream_program.h"
#include "infer_answers.h"
#include "log_options.h"
#include "net/bearer_token.h"
#include "net/stream.h"
#include "rpc/nucleus_client.h"
#include "serve/client.h"
#include "serve/runtime_list.h"
#include "serve/server.h"
#include "serve/token.h"
#include "serve/trial_process.h"

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitUnreachable = 3;

constexpr const char* kFooter = R"(
Examples:
  skerry-infer serve --socket /run/infer.sock --http-port 8000 --runtime onnxruntime=/usr/lib/libonnxruntime.so
  skerry-infer load --socket /run/infer.sock vad ./vad-model
  skerry-infer list --socket /run/infer.sock
  skerry-infer runtime add --socket /run/infer.sock copy /opt/copy/libcopy_runtime.so --component com.example.CopyRuntime
  skerry-infer runtime list --socket /run/infer.sock
  skerry-infer load --socket /run/infer.sock vad ./vad-model-2 --label canary
  skerry-infer policy --socket /run/infer.sock vad --canary 10
  curl -s localhost:8000/v2/models/vad
  skerry-infer token
  skerry-infer serve --http-port 8000 --http-address 0.0.0.0 --access access.json --runtime null

Exit codes: 0 done, 1 refused or failed (the reason is on stderr), 2 wrong command line,
3 no server could be reached.)";

struct Arguments {
  ServerOptions server;
  std::vector<std::string> runtimes;
  std::string socket_mode = "0660";
  int drain_timeout_s = 10;
  int max_body_mb = 64;
  int max_model_mb = 4096;
  int trial_memory_mb = 0;
  int memory_mb = 0;
  int inference_timeout_s = 60;
  int load_timeout_s = 300;
  int summary_interval_s = 60;
  LogOptions log;

  std::string socket;
  std::string token_file;
  std::string model;  // or runtime
  std::string directory;
  std::string library;
  std::string component;
  bool retry = false;
  bool watch = false;
  std::string label;
  std::string version;
  int keep = 0;
  std::vector<std::string> labels;
  int canary_percent = -1;
  TrialRequest trial;
  flow::StreamOptions stream;
  int report_interval_s = 60;
  int wait_s = 10;
  int timeout_s = 300;
  bool as_json = false;
};

void add_memory_limits(CLI::App* serve, Arguments& arguments) {
  serve->add_option("--max-model-mb", arguments.max_model_mb, "Largest file of a model in MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  serve
      ->add_option("--trial-memory-mb", arguments.trial_memory_mb,
                   "MiB that a model may take in the trial before its first load (default: 8 times "
                   "its files, at least 1024)")
      ->check(CLI::Range(1, 1 << 24));
  serve
      ->add_option("--memory-mb", arguments.memory_mb,
                   "MiB that all models together may hold, as their trials have measured; a load "
                   "beyond is refused (default: no limit)")
      ->check(CLI::Range(1, 1 << 24));
  serve->add_flag(
      "--evict", arguments.server.evict,
      "A load beyond --memory-mb takes the room of the models that were used longest ago; "
      "a request brings them back");
  serve->add_option("--max-body-mb", arguments.max_body_mb, "Largest request body in MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
}

void add_serve(CLI::App& app, Arguments& arguments) {
  ServerOptions& server = arguments.server;
  CLI::App* serve = app.add_subcommand("serve", "Serve models until SIGTERM");
  serve->add_option("--socket", server.socket_path, "Unix socket to listen on");
  serve
      ->add_option("--socket-mode", arguments.socket_mode,
                   "Its permission bits; who can open it can load models")
      ->capture_default_str();
  serve->add_option("--http-port", server.http_port, "TCP port to listen on; 0 takes a free one")
      ->check(CLI::Range(0, 65'535));
  serve->add_option("--http-address", server.http_address, "Address for --http-port")
      ->capture_default_str();
  serve->add_option("--runtime", arguments.runtimes,
                    "NAME=PATH of a runtime's library (onnxruntime=…/libonnxruntime.so), or null");
  serve
      ->add_option("--threads", server.threads,
                   "Inferences of one model at once that are not short (default: cores)")
      ->check(CLI::Range(1, 1024));
  serve
      ->add_option("--threads-per-inference", server.threads_per_inference,
                   "Threads of one of them")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  serve
      ->add_option("--max-queue", server.max_queued,
                   "Inferences of one model that may wait for a thread; more get 503")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000'000));
  serve
      ->add_option("--inference-timeout", arguments.inference_timeout_s,
                   "Seconds after which an inference is ended; a model that cannot be ended is "
                   "refused until it is loaded again")
      ->capture_default_str()
      ->check(CLI::Range(1, 86'400));
  serve
      ->add_option("--load-timeout", arguments.load_timeout_s,
                   "Seconds after which loading a model is given up")
      ->capture_default_str()
      ->check(CLI::Range(1, 86'400));
  add_memory_limits(serve, arguments);
  serve->add_option("--state", server.state_file,
                    "File that remembers the models over restarts; what they did stands beside it");
  serve
      ->add_option("--drain-timeout", arguments.drain_timeout_s,
                   "Seconds that requests in flight get after SIGTERM")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
  serve
      ->add_option("--summary-interval", arguments.summary_interval_s,
                   "Seconds between summaries to the fleet, where a nucleus runs this; 0 for none")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
  serve->add_flag("--repository-over-tcp", server.repository_over_tcp,
                  "Allow loading, unloading and settings through TCP too");
  serve->add_option("--access", server.access_file,
                    "JSON file that says which tokens and users may do what, and how often "
                    "(docs/data/access.md); SIGHUP reads it again. Without it TCP may not change "
                    "the server, and the Unix socket may do everything");
  arguments.log.add_to(*serve);
  serve->add_flag("--json", arguments.as_json, "Print the ready line as JSON");
}

// What a command needs that asks a running server.
void add_server(CLI::App* command, Arguments& arguments) {
  command->add_option("--socket", arguments.socket, "The server's Unix socket")->required();
  command->add_option("--token-file", arguments.token_file, net::kTokenFileHelp);
  command->add_flag("--json", arguments.as_json, "Print the server's answer as JSON");
}

void add_client_commands(CLI::App& app, Arguments& arguments) {
  CLI::App* load = app.add_subcommand(
      "load", "Serve the model package in FOLDER; the version before it serves until then");
  CLI::App* unload = app.add_subcommand("unload", "Stop serving a model");
  CLI::App* list = app.add_subcommand("list", "Show the models");
  CLI::App* policy = app.add_subcommand(
      "policy", "Show or change which versions of a model are served side by side");
  for (CLI::App* command : {load, unload, list, policy}) add_server(command, arguments);
  for (CLI::App* command : {load, unload, policy}) {
    command->add_option("NAME", arguments.model, "The model's name")->required();
  }
  load->add_option("FOLDER", arguments.directory, "Holds model.json and the model file")
      ->required();
  load->add_option("--label", arguments.label,
                   "Serve it under this label beside the version before, which becomes 'stable' "
                   "where no version has a label yet");
  unload->add_option("--version", arguments.version, "This version only");
  policy
      ->add_option("--keep", arguments.keep,
                   "Versions without a label that are served, the last "
                   "ones to be loaded")
      ->check(CLI::Range(1, 16));
  policy->add_option("--label", arguments.labels,
                     "LABEL=VERSION, or LABEL= to take it away; repeatable. The one called stable "
                     "answers requests that name no version");
  policy
      ->add_option("--canary", arguments.canary_percent,
                   "Percent of those requests that go to the version called canary")
      ->check(CLI::Range(0, 100));
  load->add_flag("--retry", arguments.retry,
                 "Also a model that is not loaded any more because the service has died of it");
  load->add_flag(
      "--watch", arguments.watch,
      "Go on until the service's watchdog finds the model at fault (it hangs, gives NaN, is "
      "ten times slower), and fail with the reason. In a component's Startup: the nucleus "
      "is told that it runs");
  load->add_option("--wait", arguments.wait_s, "Seconds to wait for a server that is starting")
      ->capture_default_str()
      ->check(CLI::Range(0, 3600));
  load->add_option("--timeout", arguments.timeout_s, "Seconds that loading may take")
      ->capture_default_str()
      ->check(CLI::Range(1, 86'400));
}

void add_registry_commands(CLI::App& app, Arguments& arguments) {
  CLI::App* runtime =
      app.add_subcommand("runtime", "The runtimes of a running server: show, add, remove");
  runtime->require_subcommand(1);
  CLI::App* add = runtime->add_subcommand(
      "add", "Register a runtime's library, for the models that are loaded from now on");
  CLI::App* remove = runtime->add_subcommand(
      "remove", "Forget a registered runtime; models that it serves stay until they are unloaded");
  CLI::App* list = runtime->add_subcommand("list", "Show the runtimes and the models they serve");
  for (CLI::App* command : {add, remove, list}) add_server(command, arguments);
  for (CLI::App* command : {add, remove}) {
    command->add_option("NAME", arguments.model, "What model.json calls it")->required();
  }
  add->add_option(
         "PATH", arguments.library,
         "The library; it and the folders above it belong to root or the server's user and "
         "nobody else can write them")
      ->required();
  add->add_option("--component", arguments.component,
                  "The component that brings it, to be named where it is missing");
  for (CLI::App* command : {add, remove}) {
    command->add_option("--wait", arguments.wait_s, "Seconds to wait for a server that is starting")
        ->capture_default_str()
        ->check(CLI::Range(0, 3600));
  }
  add->footer(R"(
The server remembers it over restarts (--state). A library that is replaced is registered again.
Example, in a component's Startup:
  skerry-infer runtime add --socket {skerry.Infer:work:path}/infer.sock copy {artifacts:path}/libcopy_runtime.so --component com.example.CopyRuntime)");
}

void add_runtime_commands(CLI::App& app, Arguments& arguments) {
  CLI::App* runtimes = app.add_subcommand(
      "runtimes", "Show what this program can run models with, and what each can do");
  runtimes->add_flag("--json", arguments.as_json, "Print as JSON");
  // What `serve` starts for the first load of a package.
  CLI::App* trial =
      app.add_subcommand("trial", "Load and try a package, and print what came of it");
  trial->group("");
  trial->add_option("--threads-per-inference", arguments.trial.load.threads);
  trial->add_option("--max-file-bytes", arguments.trial.load.max_file_bytes);
  trial->add_option("NAME", arguments.trial.model);
  trial->add_option("FOLDER", arguments.trial.directory);
  for (CLI::App* command : {runtimes, trial}) {
    command->add_option("--runtime", arguments.runtimes, "NAME=PATH of a runtime's library");
  }
}

void add_token(CLI::App& app, Arguments& arguments) {
  CLI::App* token = app.add_subcommand(
      "token", "Make a token for a client, and its digest for the file of --access");
  token->add_flag("--json", arguments.as_json, "Print JSON");
  token->footer(R"(
The client sends the token with each request (clients of Skerry read it with --token-file or from SKERRY_INFER_TOKEN);
the server's file has the digest alone:
  {"format": 1, "clients": [{"name": "line-3", "token_sha256": "…", "allow": ["infer", "read"]}]})");
}

void add_stream(CLI::App& app, Arguments& arguments) {
  CLI::App* stream = app.add_subcommand(
      "stream",
      "Send recordings, audio pipes, files or messages through a model, window by window");
  auto* socket =
      stream->add_option("--socket", arguments.stream.socket, "The server's Unix socket");
  auto* server =
      stream->add_option("--server", arguments.stream.server, "Its HTTP address instead");
  server->excludes(socket);
  stream->add_option("--token-file", arguments.stream.token_file, net::kTokenFileHelp);
  stream
      ->add_option(
          "--config", arguments.stream.config_file,
          "JSON document that says what goes where (default: the configuration 'stream' of "
          "the component that this is)")
      ->check(CLI::ExistingFile);
  stream
      ->add_option("--report-interval", arguments.report_interval_s,
                   "Seconds between lines of JSON that count what was done; 0 for one at the end")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
  stream->footer(R"(
The document: docs/streams.md. Examples:
  skerry-infer stream --socket /run/infer.sock --config speech.json
  arecord -t raw -f S16_LE -r 16000 | skerry-infer stream --server http://127.0.0.1:8000 --config microphone.json
  ffmpeg -i rtsp://camera/1 -f rawvideo -pix_fmt rgb24 -s 640x480 - | skerry-infer stream --socket /run/infer.sock --config frames.json
In a component's recipe, which has no artifact of its own:
  Run: exec {skerry.Infer:artifacts:path}/skerry-infer stream --socket {skerry.Infer:work:path}/infer.sock)");
}

int complain(int exit_code, const std::string& message) {
  fmt::print(stderr, "skerry-infer: {}\n", message);
  return exit_code;
}

// "NAME=PATH" or "NAME".
std::pair<std::string, std::string> split_runtime(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, ""};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

// What the command line says in text; returns what is wrong with it.
std::optional<std::string> complete(Arguments& arguments) {
  ServerOptions& server = arguments.server;
  if (server.socket_path.empty() && !server.http_port) {
    return "nowhere to listen; give --socket PATH, --http-port N or both";
  }
  char* end = nullptr;
  server.socket_mode = static_cast<uint32_t>(std::strtoul(arguments.socket_mode.c_str(), &end, 8));
  if (arguments.socket_mode.empty() || *end != '\0' || server.socket_mode > 0777) {
    return fmt::format("--socket-mode '{}' is no octal mode such as 0660", arguments.socket_mode);
  }
  auto runtimes = std::make_shared<runtime::Runtimes>();
  for (const std::string& text : arguments.runtimes) {
    const auto [name, path] = split_runtime(text);
    if (auto added = runtimes->add(name, path); !added) return added.error().message();
  }
  server.runtimes = std::move(runtimes);
  server.drain_timeout_ms = int64_t{arguments.drain_timeout_s} * 1000;
  server.inference_timeout_ms = int64_t{arguments.inference_timeout_s} * 1000;
  server.load_timeout_ms = int64_t{arguments.load_timeout_s} * 1000;
  server.summary_interval_ms = int64_t{arguments.summary_interval_s} * 1000;
  server.nucleus = rpc::NucleusAddress::of_environment();
  server.max_body_bytes = static_cast<uint64_t>(arguments.max_body_mb) << 20;
  server.max_model_bytes = static_cast<uint64_t>(arguments.max_model_mb) << 20;
  server.trial_memory_bytes = static_cast<uint64_t>(arguments.trial_memory_mb) << 20;
  server.memory_bytes = static_cast<uint64_t>(arguments.memory_mb) << 20;
  server.version = SKERRY_VERSION;
  return std::nullopt;
}

void print_ready(const Arguments& arguments, std::optional<uint16_t> port) {
  const ServerOptions& server = arguments.server;
  if (arguments.as_json) {
    json line = {{"ready", true}};
    if (port) line["http_port"] = *port;
    if (port) line["http_address"] = server.http_address;
    if (!server.socket_path.empty()) line["socket"] = server.socket_path;
    fmt::print("{}\n", line.dump());
  } else {
    fmt::print("ready:{}{}\n", port ? fmt::format(" http://{}:{}", server.http_address, *port) : "",
               server.socket_path.empty() ? "" : " unix:" + server.socket_path);
  }
  std::fflush(stdout);
}

int serve_command(Arguments& arguments) {
  if (const auto wrong = complete(arguments)) return complain(kExitUsage, *wrong);
  arguments.log.apply();
  signal(SIGPIPE, SIG_IGN);
  io::RealLoop loop;
  io::RealFiles files;
  io::RealClock clock;
  auto served = run_server(loop, files, clock, arguments.server,
                           [&](std::optional<uint16_t> port) { print_ready(arguments, port); });
  if (!served) {
    const bool wrong = served.error().code() == Code::kInvalidArgument;
    return complain(wrong ? kExitUsage : kExitFailed, served.error().message());
  }
  // Not through exit(): a model that never ends may still run on a thread, on what static
  // destructors would take away.
  std::fflush(nullptr);
  std::_Exit(0);
}

std::string policy_changes(const Arguments& arguments) {
  json changes = json::object();
  if (arguments.keep > 0) changes["keep"] = arguments.keep;
  if (arguments.canary_percent >= 0) changes["canary_percent"] = arguments.canary_percent;
  for (const std::string& text : arguments.labels) {
    const auto [label, version] = split_runtime(text);
    changes["labels"][label] = version.empty() ? json() : json(version);
  }
  return changes.empty() ? "" : changes.dump();
}

void show(const std::string& command, const Arguments& arguments, const std::string& body) {
  if (arguments.as_json) {
    fmt::print("{}\n", body);
  } else {
    print_answer(command, arguments.model, body);
  }
  std::fflush(stdout);
}

// The nucleus would wait for the end of a component's Startup. Where it cannot be told, there is
// nobody to report to; and a client that may load but not look has loaded all the same.
io::Task<Result<void>> watch(io::RealLoop& loop, InferClient& client, std::string name,
                             std::string version) {
  constexpr std::string_view kNobody = "nobody watches this model";
  const auto address = rpc::NucleusAddress::of_environment();
  if (!address.empty()) {
    auto nucleus = co_await rpc::NucleusClient::connect(loop, address);
    const auto told = nucleus ? co_await (*nucleus)->update_state("RUNNING")
                              : Result<void>(fail(std::move(nucleus.error())));
    if (!told) {
      log::warn("watchdog", kNobody, {{"error", told.error().message()}});
      co_return Result<void>();
    }
  }
  auto ended = co_await client.watch(std::move(name), std::move(version));
  if (ended || ended.error().code() != Code::kPermissionDenied) co_return ended;
  log::warn("watchdog", kNobody, {{"error", ended.error().message()}});
  co_return Result<void>();
}

io::Task<void> ask(InferClient* client, std::string command, const Arguments* arguments,
                   std::optional<Result<std::string>>* answer, Result<void>* watched,
                   io::RealLoop* loop) {
  if (command == "load") {
    answer->emplace(co_await client->load(arguments->model, arguments->directory, arguments->retry,
                                          arguments->label, int64_t{arguments->timeout_s} * 1000));
  } else if (command == "unload") {
    answer->emplace(co_await client->unload(arguments->model, arguments->version));
  } else if (command == "policy") {
    answer->emplace(co_await client->policy(arguments->model, policy_changes(*arguments)));
  } else if (command == "runtime add") {
    answer->emplace(co_await client->add_runtime(arguments->model, arguments->library,
                                                 arguments->component,
                                                 int64_t{arguments->timeout_s} * 1000));
  } else if (command == "runtime remove") {
    answer->emplace(co_await client->remove_runtime(arguments->model));
  } else if (command == "runtime list") {
    answer->emplace(co_await client->runtimes());
  } else {
    answer->emplace(co_await client->index());
  }
  const Result<std::string>& body = **answer;
  if (body) show(command, *arguments, *body);
  if (body && arguments->watch) {
    const json loaded = json::parse(*body, nullptr, false);
    *watched = co_await watch(*loop, *client, arguments->model, loaded.value("version", ""));
  }
  loop->stop();
}

int client_command(const std::string& command, Arguments& arguments) {
  const bool waits = command == "load" || command == "runtime add" || command == "runtime remove";
  // The server may run in another folder.
  for (std::string* path : {&arguments.directory, &arguments.library}) {
    if (path->empty()) continue;
    std::error_code error;
    *path = std::filesystem::absolute(*path, error).lexically_normal();
    if (error) return complain(kExitFailed, "the current folder is gone: " + error.message());
  }
  io::RealLoop loop;
  auto token = net::BearerToken::open(arguments.token_file);
  if (!token) return complain(kExitUsage, token.error().message());
  const auto http = net::with_token(net::make_http_client(loop, nullptr), std::move(*token));
  const int64_t wait_ms = waits ? int64_t{arguments.wait_s} * 1000 : 0;
  InferClient client(loop, *http, arguments.socket, wait_ms);
  std::optional<Result<std::string>> answer;
  Result<void> watched;
  io::TaskScope scope;
  scope.spawn(ask(&client, command, &arguments, &answer, &watched, &loop));
  loop.run();

  if (*answer) return watched ? 0 : complain(kExitFailed, watched.error().message());
  const Error& error = answer->error();
  if (error.code() == Code::kUnavailable) {
    return complain(kExitUnreachable,
                    fmt::format("no server answers on {} ({}); start one with: skerry-infer serve "
                                "--socket {}",
                                arguments.socket, error.message(), arguments.socket));
  }
  const std::string what =
      arguments.model.empty() ? command : fmt::format("{} {}", command, arguments.model);
  return complain(kExitFailed, fmt::format("{}: {}", what, error.message()));
}

int runtimes_command(const Arguments& arguments) {
  std::vector<std::pair<std::string, std::string>> libraries;
  for (const std::string& text : arguments.runtimes) libraries.push_back(split_runtime(text));
  const std::string text = list_runtimes(libraries);
  if (arguments.as_json) {
    fmt::print("{}\n", text);
    return 0;
  }
  const json rows = json::parse(text);
  const auto line = [](const auto& key, const json& value) {
    if (value == "") return;
    fmt::print("  {:<14} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  };
  for (const json& row : rows) {
    fmt::print("{}\n", row.value("name", ""));
    for (const char* key : {"version", "formats", "component", "error"})
      line(key, row.value(key, ""));
    const json capabilities = row.value("capabilities", json::object());
    for (const auto& [key, value] : capabilities.items()) {
      line(key, value);
    }
  }
  return 0;
}

int trial_command(Arguments& arguments) {
  log::configure(log::Level::kWarn, log::Format::kText);
  const auto [name, path] = split_runtime(arguments.runtimes.empty() ? "" : arguments.runtimes[0]);
  arguments.trial.runtime = name;
  arguments.trial.library = path;
  for (size_t i = 1; i < arguments.runtimes.size(); ++i) {
    arguments.trial.more_runtimes.push_back(arguments.runtimes[i]);
  }
  const int exit_code = run_trial(arguments.trial);
  std::fflush(nullptr);
  std::_Exit(exit_code);  // as serve does
}

int stream_command(Arguments& arguments) {
  if (arguments.stream.socket.empty() && arguments.stream.server.empty()) {
    return complain(kExitUsage, "whom to ask? give --socket PATH or --server URL");
  }
  arguments.stream.report_ms = int64_t{arguments.report_interval_s} * 1000;
  signal(SIGPIPE, SIG_IGN);
  io::RealLoop loop;
  const auto ended = flow::run_stream(loop, arguments.stream);
  if (!ended) complain(kExitFailed, ended.error().message());
  std::fflush(nullptr);
  std::_Exit(ended ? 0 : kExitFailed);  // as serve does: a read of a pipe may never end
}

int main_program(int argc, char** argv) {
  skerry::net::raise_open_file_limit();
  Arguments arguments;
  arguments.server.threads = std::max(1u, std::thread::hardware_concurrency());
  CLI::App app("Skerry's inference service: serves models over the Open Inference Protocol v2.",
               "skerry-infer");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", "skerry-infer " SKERRY_VERSION);
  add_serve(app, arguments);
  add_client_commands(app, arguments);
  add_registry_commands(app, arguments);
  add_runtime_commands(app, arguments);
  add_stream(app, arguments);
  add_token(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  std::string command = app.get_subcommands().front()->get_name();
  if (command == "runtime") {
    command += " " + app.get_subcommands().front()->get_subcommands().front()->get_name();
  }
  if (command == "runtimes") return runtimes_command(arguments);
  if (command == "token") {
    fmt::print("{}\n", new_token(arguments.as_json));
    return 0;
  }
  if (command == "trial") return trial_command(arguments);
  if (command == "stream") return stream_command(arguments);
  return command == "serve" ? serve_command(arguments) : client_command(command, arguments);
}

}  // namespace
}  // namespace skerry::serve

int main(int argc, char** argv) {
  return skerry::serve::main_program(argc, argv);
}
