// skerry-learn: a device takes part in the trainings of its fleet, and its rows stay where they
// are.
#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>

#include "base/log.h"
#include "io/instance_lock.h"
#include "io/pool.h"
#include "learner/client.h"
#include "log_options.h"
#include "nucleus/device_config.h"

namespace skerry::learner {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

constexpr const char* kFooter = R"(
Examples:
  skerry-learn --config /etc/skerry/config.yaml --dir /var/lib/skerry-learn \
      --data parts=/data/images.npy,/data/labels.npy --divide 255 --engine onnxruntime=/usr/lib/libonnxruntime.so
  skerry-learn --config config.yaml --dir learn --data parts=images.npy,labels.npy --engine reference \
      --min-rows 200 --max-load 0.5 --only-on-mains --longest-update 1 --only-secure --no-counts

Rows and labels are .npy, .npz or IDX files and are read anew for each round; what leaves the device is how the model
changed, never a row. config.yaml is the device's own (skerry device provision): the control plane is asked with the
device's certificate, so that this program must be allowed to read its key (docs/learning.md has a recipe).
Exit codes: 0 stopped on request, 1 failed (the reason is the last line of the log), 2 wrong command line.)";

struct Options {
  std::string config;
  std::vector<std::string> data;  // NAME=ROWS,LABELS
  std::string engine = "reference";
  ClientOptions client;
  double most_model_mb = 256;
  bool no_counts = false;
  LogOptions log;
};

Result<void> complete(Options& options) {
  for (const std::string& text : options.data) {
    const size_t equals = text.find('=');
    const size_t comma = text.find(',', equals == std::string::npos ? 0 : equals);
    if (equals == 0 || equals == std::string::npos || comma == std::string::npos) {
      return fail(Code::kInvalidArgument, "--data '" + text +
                                              "' is not NAME=ROWS,LABELS, for example "
                                              "parts=/data/images.npy,/data/labels.npy");
    }
    options.client.data.push_back({text.substr(0, equals),
                                   text.substr(equals + 1, comma - equals - 1),
                                   text.substr(comma + 1)});
  }
  options.client.engine = optimise::parse_engine(options.engine);
  options.client.policy.most_model_bytes = static_cast<uint64_t>(options.most_model_mb * (1 << 20));
  options.client.policy.tells_counts = !options.no_counts;
  return {};
}

Result<nucleus::DeviceConfig> read_config(io::Files& files, const std::string& path) {
  SKERRY_ASSIGN(const std::string text, io::read_file(files, path, 1 << 20));
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  auto config = nucleus::parse_device_config(text, io::parent_of(absolute.string()));
  if (!config) return fail(config.error().with_context(path));
  if (config->has_fleet) return config;
  return fail(Code::kFailedPrecondition,
              path + " has no fleet: provision the device with skerry device provision");
}

Result<void> run(Options& options) {
  SKERRY_TRY(complete(options));
  io::RealFiles files;
  SKERRY_ASSIGN(const auto config, read_config(files, options.config));
  SKERRY_TRY(io::make_directories(files, options.client.directory, 0700));
  SKERRY_ASSIGN(const auto lock,
                io::InstanceLock::acquire(options.client.directory + "/lock",
                                          {"skerry-learn", "choose another --dir"}));
  auto tls = net::TlsContext::client({config.ca_file, config.certificate_file, config.key_file});
  if (!tls) {
    return fail(tls.error().with_context(
        "the device's identity (run where its key may be read, docs/learning.md)"));
  }
  io::RealLoop loop;
  io::RealClock clock;
  io::RealProcesses processes(loop);
  io::RealRandom random;
  const auto http = net::make_http_client(loop, std::move(*tls));
  io::ThreadPool pool("train", 1);
  io::Env env{loop, clock, files, processes, random, pool, pool};
  FleetLink fleet(*http, config.data_plane_url);
  auto identity = Identity::read(files, config.ca_file, config.certificate_file, config.key_file);
  if (!identity) return fail(std::move(identity.error()));
  Client client(env, fleet, pool, options.client, &*identity);
  log::info("learn", "ready to learn",
            {{"thing", config.thing.str()}, {"control_plane", config.data_plane_url}});
  io::TaskScope tasks;
  tasks.spawn(client.run());
  loop.on_signals({SIGTERM, SIGINT}, [&](int) { loop.stop(); });
  loop.run();
  tasks.cancel_all();
  pool.stop();
  return {};
}

void add_policy(CLI::App& app, Options& options) {
  LocalPolicy& policy = options.client.policy;
  app.add_option("--min-rows", policy.fewest_rows, "With fewer to train on it takes no part")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--longest-update", policy.longest_update,
                 "Updates are clipped to that length, whatever is asked; 0: as is asked")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--min-noise", policy.least_noise,
                 "Takes part only where the training promises so much noise")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--only-secure", policy.only_secure,
               "Takes part only where updates are masked: nobody learns this device's alone");
  app.add_option("--min-peers", policy.fewest_peers,
                 "With secure aggregation: among fewer other devices it takes no part")
      ->check(CLI::Range(2, 64))
      ->capture_default_str();
  app.add_flag("--no-counts", options.no_counts,
               "Never tell how many rows there are, how many steps were done and with which loss");
  app.add_option("--max-model-mb", options.most_model_mb, "Larger models are refused")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-load", policy.most_load,
                 "Not while the machine's load (1 minute) is above; 0: always")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--only-on-mains", policy.only_on_mains, "Not on battery");
  app.add_option("--validation", options.client.validation,
                 "Share of the rows that is not trained on but tells how good a model is")
      ->check(CLI::Range(0.0, 0.9))
      ->capture_default_str();
}

int main_program(int argc, char** argv) {
  CLI::App app("A device that learns with others; its rows stay where they are.", "skerry-learn");
  app.footer(kFooter);
  Options options;
  app.add_option("--config", options.config, "The device's config.yaml")
      ->required()
      ->check(CLI::ExistingFile);
  app.add_option("--dir", options.client.directory, "Where it keeps models and updates")
      ->required();
  app.add_option("--data", options.data, "NAME=ROWS,LABELS: what trainings call it, and files")
      ->required();
  app.add_option("--engine", options.engine,
                 "NAME=PATH of a runtime's library (onnxruntime=…/libonnxruntime.so), or reference")
      ->capture_default_str();
  app.add_option("--divide", options.client.preprocess.divide, "Rows of floats are divided by it")
      ->check(CLI::PositiveNumber);
  app.add_option("--mean", options.client.preprocess.mean, "And this is taken away");
  app.add_option("--deviation", options.client.preprocess.deviation, "And divided by this")
      ->check(CLI::PositiveNumber);
  add_policy(app, options);
  options.log.add_to(app);
  app.set_version_flag("--version", "skerry-learn " SKERRY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  options.log.apply();
  std::signal(SIGPIPE, SIG_IGN);
  const auto done = run(options);
  if (done) return 0;
  log::error("learn", done.error().message());
  return kExitFailed;
}

}  // namespace
}  // namespace skerry::learner

int main(int argc, char** argv) {
  return skerry::learner::main_program(argc, argv);
}
