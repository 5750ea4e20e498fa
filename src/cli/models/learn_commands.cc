// skerry learn: federated learning, tried out with devices in one process; learn_fleet.cc has what
// runs on a fleet.
#include <sys/resource.h>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/models/learn_options.h"
#include "cli/models/media_rows.h"
#include "cli/models/model_graph.h"
#include "cli/models/model_optimise.h"
#include "cli/models/model_tools.h"
#include "graph/model_file.h"
#include "io/files.h"
#include "learner/simulation.h"
#include "optimise/names.h"
#include "train/adapt.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct LearnOptions {
  std::string model, out, engine = "reference", attack = "none";
  std::string test_data, test_labels;
  DataOptions data;
  bool fresh = false;
  federated::TrainingPlan plan;
  learner::Simulation simulation;
};

json to_json(const learner::SimulatedRound& one) {
  return {{"round", one.report.round},     {"asked", one.report.asked},
          {"updates", one.report.updates}, {"refused", one.report.refused},
          {"vanished", one.vanished},      {"trainingLoss", one.report.loss},
          {"accuracy", one.accuracy},      {"loss", one.loss},
          {"epsilon", one.report.epsilon}, {"clip", one.report.clip}};
}

json to_json(const learner::SimulationResult& result, const LearnOptions& options) {
  json rounds = json::array();
  for (const auto& one : result.rounds) rounds.push_back(to_json(one));
  rusage usage{};
  (void)getrusage(RUSAGE_SELF, &usage);
  return {{"devices", options.simulation.devices},
          {"strategy", options.plan.rounds.strategy.name},
          {"partition", options.simulation.partition},
          {"rounds", rounds},
          {"accuracyBefore", result.accuracy_before},
          {"accuracy", result.accuracy},
          {"epsilon", result.epsilon},
          {"delta", options.plan.rounds.delta},
          {"vanished", result.vanished},
          {"refused", result.refused},
          {"failedAttempts", result.failed_attempts},
          {"parameters", result.parameters},
          {"rows", result.rows},
          {"updateBytes", result.update_bytes},
          {"peakMb", static_cast<double>(usage.ru_maxrss) / 1024},
          {"out", options.out}};
}

Table round_table(const learner::SimulationResult& result) {
  Table table{{"ROUND", "ASKED", "UPDATES", "VANISHED", "REFUSED", "ACCURACY", "EPSILON"}, {}};
  for (const auto& one : result.rounds) {
    table.rows.push_back(
        {std::to_string(one.report.round), std::to_string(one.report.asked),
         std::to_string(one.report.updates), std::to_string(one.vanished),
         std::to_string(one.report.refused), fmt::format("{:.2f} %", 100 * one.accuracy),
         one.report.epsilon > 0 ? fmt::format("{:.3f}", one.report.epsilon) : "-"});
  }
  return table;
}

Result<learner::Attack> parse_attack(const std::string& name) {
  using enum learner::Attack;
  for (const auto& [known, attack] :
       {std::pair("none", kNone), {"nan", kNan}, {"scale", kScale}, {"flip", kFlip}}) {
    if (name == known) return attack;
  }
  return fail(Code::kInvalidArgument,
              "there is no attack '" + name + "'; there are none, nan, scale, flip");
}

Result<void> write_model(const LearnOptions& options, learner::SimulationResult& result,
                         const json& report) {
  io::RealFiles files;
  optimise::name_nodes_apart(*result.model);
  SKERRY_TRY(graph::write_model_file(*result.model, options.out + "/model.onnx"));
  SKERRY_TRY(io::write_file_atomic(files, options.out + "/contract.json",
                                   contract_of(*result.model), 0644));
  return io::write_file_atomic(files, options.out + "/report.json", report.dump(1) + "\n", 0644);
}

Result<void> run_simulation(const Session& session, LearnOptions& options) {
  SKERRY_ASSIGN(options.simulation.attack, parse_attack(options.attack));
  SKERRY_ASSIGN(options.simulation.coding, federated::parse_coding(options.plan.coding));
  SKERRY_ASSIGN(auto source, graph::read_model_file(options.model));
  graph::Graph& model = *source.graph;
  if (options.fresh) train::reinitialise(model, options.simulation.seed);
  SKERRY_ASSIGN(const auto training, read_rows(model, options.data));
  SKERRY_ASSIGN(const auto test,
                read_rows(model, {options.test_data, options.test_labels, options.data.pipeline,
                                  options.data.preprocess}));
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) return fail(Code::kInvalidArgument, options.out + ": " + error.message());
  options.plan.local.clip = options.plan.rounds.clip;
  options.plan.local.scaffold = options.plan.rounds.strategy.name == "scaffold";
  options.plan.rounds.strategy.devices = options.simulation.devices;
  const learner::SimulationInput input{.model = &model,
                                       .training = &training,
                                       .test = &test,
                                       .plan = options.plan.rounds,
                                       .local = options.plan.local,
                                       .engine = optimise::parse_engine(options.engine),
                                       .directory = options.out};
  io::RealFiles files;
  SKERRY_TRY(io::remove_all(files, options.out + "/rounds"));  // a simulation begins anew
  io::SeededRandom noise(options.simulation.seed);
  std::vector<double> accuracies;
  auto result =
      simulate(input, options.simulation, files, noise, [&](const learner::SimulatedRound& one) {
        accuracies.push_back(one.accuracy);
        session.output.progress_block(
            {"round " + std::to_string(one.report.round) + "/" +
                 std::to_string(options.plan.rounds.rounds),
             "accuracy " + fmt::format("{:6.2f} % ", 100 * one.accuracy) + bars(accuracies)});
      });
  session.output.progress_block({});
  if (!result) return fail(std::move(result.error()));
  const json report = to_json(*result, options);
  SKERRY_TRY(write_model(options, *result, report));
  if (session.output.json) {
    session.output.print_json(report);
    return {};
  }
  session.output.print_table(round_table(*result));
  session.output.print_line("\naccuracy " + fmt::format("{:.2f} %", 100 * result->accuracy_before) +
                            " to " + fmt::format("{:.2f} %", 100 * result->accuracy) +
                            (result->epsilon > 0
                                 ? ", epsilon " + fmt::format("{:.3f}", result->epsilon) +
                                       " at delta " + fmt::format("{:g}", options.plan.rounds.delta)
                                 : ", without noise: nothing is private but the rows themselves") +
                            "\n" + options.out + "/model.onnx");
  return {};
}

Result<void> list_strategies(const Session& session) {
  json all = json::array();
  Table table{{"STRATEGY", ""}, {}};
  for (const federated::StrategyKind& kind : federated::strategies()) {
    all.push_back({{"name", kind.name}, {"what", kind.what}});
    table.rows.push_back({std::string(kind.name), std::string(kind.what)});
  }
  session.output.json ? session.output.print_json(all) : session.output.print_table(table);
  return {};
}

void add_device_options(CLI::App& command, LearnOptions& options) {
  command.add_option("--devices", options.simulation.devices, "That there are")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--partition", options.simulation.partition,
                  "How rows are dealt: iid, shards=2, dirichlet=0.5")
      ->capture_default_str();
  command.add_option("--dropped", options.simulation.dropped, "Share of devices that vanish")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--malicious", options.simulation.malicious, "Devices that attack");
  command.add_option("--attack", options.attack, "Theirs: nan, scale, flip")->capture_default_str();
  command.add_option("--seed", options.simulation.seed, "The same seed, the same result")
      ->capture_default_str();
}

void add_simulate(CLI::App& learn, Session& session) {
  auto options = std::make_shared<LearnOptions>();
  CLI::App* command = learn.add_subcommand(
      "simulate", "Try a plan: devices in this process, each with its own rows of real data");
  command->add_option("MODEL", options->model, "The model")->required()->check(CLI::ExistingFile);
  command->add_option("-o,--out", options->out, "Folder for the model and the report")->required();
  add_data_options(*command, options->data);
  command->get_option("--data")->required();
  command->get_option("--labels")->required();
  command->add_option("--test-data", options->test_data, "Rows that tell how well it goes")
      ->required()
      ->check(CLI::ExistingPath);
  command->add_option("--test-labels", options->test_labels, "Their classes")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_flag("--fresh", options->fresh, "Begin with fresh weights");
  command->add_option("--engine", options->engine, kEngineHelp)->capture_default_str();
  add_plan_options(*command, options->plan);
  add_device_options(*command, *options);
  command->footer(R"(
What runs is what would run on devices and server but for the wire: the coordinator's rounds on its disk, training on
each device's own rows, encoded updates, clipping, noise and the count of what privacy is spent.
Example:
  skerry learn simulate net.onnx -o tried --data images.npy --labels labels.npy --test-data t.npy --test-labels tl.npy \
      --engine onnxruntime=/usr/lib/libonnxruntime.so --devices 100 --partition shards=2 --rounds 50 --updates 10 \
      --dropped 0.1 --malicious 5 --attack flip --strategy trimmed-mean)");
  command->callback([&session, options] {
    options->plan.rounds.population =
        options->plan.rounds.noise > 0 ? options->simulation.devices : 0;
    session.action = [&session, options] { return run_simulation(session, *options); };
  });
}

void add_local_options(CLI::App& command, federated::TrainingPlan& training) {
  command
      .add_option("--coding", training.coding,
                  "How updates are sent: none, int8, top=0.05, or int8,top=0.05")
      ->capture_default_str();
  command.add_option("--epochs", training.local.epochs, "On a device in a round")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--batch", training.local.batch, "Rows of a step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--rate", training.local.rate, "Learning rate on a device")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--proximal", training.local.proximal,
                  "Of fedprox: how strongly devices are held near the model they were given")
      ->check(CLI::NonNegativeNumber);
}

}  // namespace

void add_plan_options(CLI::App& command, federated::TrainingPlan& training) {
  federated::Plan& plan = training.rounds;
  command.add_option("--rounds", plan.rounds, "To be committed")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--updates", plan.wanted, "That end a round")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--quorum", plan.quorum, "Fewest updates that make a round at its deadline")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--over-selection", plan.over_selection, "So many times as many are asked")
      ->check(CLI::Range(1.0, 100.0))
      ->capture_default_str();
  command
      .add_option("--strategy", plan.strategy.name,
                  "How updates become a model; skerry learn strategies shows them")
      ->capture_default_str();
  command.add_option("--server-rate", plan.strategy.server_rate, "Of the mean update")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--trimmed", plan.strategy.trimmed, "Share left out at each end")
      ->check(CLI::Range(0.0, 0.5))
      ->capture_default_str();
  command.add_option("--clip", plan.clip, "Longest update; 0: any")->check(CLI::NonNegativeNumber);
  command
      .add_option(
          "--clip-quantile", plan.clip_quantile,
          "The longest update follows this quantile of their lengths, beginning with --clip")
      ->check(CLI::Range(0.0, 0.999));
  command
      .add_option("--noise", plan.noise,
                  "Times the longest update: makes rounds differentially private")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--delta", plan.delta, "Of the privacy that is shown")
      ->check(CLI::Range(1e-12, 0.1))
      ->capture_default_str();
  command
      .add_option("--epsilon-limit", plan.epsilon_limit,
                  "Training ends before it is spent; 0: none")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--most-stale", plan.most_stale,
                  "Of fedbuff: rounds that an update may be behind")
      ->capture_default_str();
  add_local_options(command, training);
}

void add_learn_commands(CLI::App& app, Session& session) {
  CLI::App* learn = app.add_subcommand("learn", "Federated learning: rounds on many devices");
  learn->require_subcommand(1);
  learn->footer(R"(
Examples:
  skerry learn simulate --help
  skerry learn start net.onnx --component com.example.parts --from 1.0.0 --group lab --data parts --rounds 20
  skerry learn watch 3f2c…)");
  add_simulate(*learn, session);
  add_fleet_learn_commands(*learn, session);
  CLI::App* list = learn->add_subcommand("strategies", "Show how updates can become a model");
  list->footer("\nExample:\n  skerry learn strategies");
  list->callback([&session] { session.action = [&session] { return list_strategies(session); }; });
}

}  // namespace skerry::cli
