// skerry model list|show|trace|promote|rollback: versions of models, where they come from and where
// they run.
#include "cli/model_commands.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/deploy.h"
#include "cli/handed_on.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr const char* kProduction = "production";

struct ModelQuestion {
  std::string component;
  std::string version;  // or a tag
  std::string thing;
  std::string dataset;
  std::string dataset_version;
  std::string source;
  std::string tag = kProduction;
};

std::string component_path(const std::string& component) {
  return "/skerry/v1/models/" + net::percent_encode(component);
}

ApiCall ask(std::string path, const ModelQuestion& question = {}) {
  ApiCall call{.service = "skerry", .method = "GET", .path = std::move(path)};
  for (const auto& [name, value] : {std::pair("component", question.component),
                                    {"version", question.version},
                                    {"thing", question.thing},
                                    {"dataset", question.dataset},
                                    {"datasetVersion", question.dataset_version},
                                    {"sourceSha256", question.source}}) {
    if (!value.empty()) call.query.emplace_back(name, value);
  }
  return call;
}

std::string joined(const json& texts) {
  std::string line;
  for (const json& text : texts)
    line.append(line.empty() ? "" : ", ").append(text.get<std::string>());
  return line;
}

std::string data_set_of(const json& model) {
  const std::string version = model.value("datasetVersion", "");
  return model.value("dataset", "-") + (version.empty() ? "" : " " + version);
}

std::string metric_of(const json& model) {
  const std::string name = model.value("metric", "");
  if (name.empty()) return "-";
  return name + "=" + model["metrics"][name].dump();
}

Result<json> promotions_of(FleetClient& fleet, const std::string& component,
                           const std::string& tag) {
  ApiCall call = ask(component_path(component) + "/promotions");
  if (!tag.empty()) call.query.emplace_back("tag", tag);
  return fleet.list(std::move(call), "promotions");
}

// A version as it is, or the one that a tag points at.
Result<std::string> resolve(FleetClient& fleet, const std::string& component,
                            const std::string& version_or_tag) {
  const bool is_version = version_or_tag.front() >= '0' && version_or_tag.front() <= '9';
  if (is_version) return version_or_tag;
  SKERRY_ASSIGN(const json promotions, promotions_of(fleet, component, version_or_tag));
  if (!promotions.empty()) return promotions[0].value("version", "");
  return fail(Code::kNotFound,
              component + " has no tag '" + version_or_tag + "': skerry model promote sets one");
}

Result<void> list(const Session& session, const ModelQuestion& question) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const json models, fleet.list(ask("/skerry/v1/models", question), "models"));
  if (session.output.json) {
    session.output.print_json(models);
    return {};
  }
  Table table{{"COMPONENT", "VERSION", "TAGS", "TRAINED", "DATA SET", "METRIC"}, {}};
  for (const json& model : models) {
    table.rows.push_back({model.value("component", ""), model.value("version", ""),
                          joined(model["tags"]), model.value("trainedOn", "-"), data_set_of(model),
                          metric_of(model)});
  }
  session.output.print_table(table);
  if (models.empty()) session.output.hint("no such model; skerry model publish makes one");
  return {};
}

Result<void> show(const Session& session, const ModelQuestion& question) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const std::string version, resolve(fleet, question.component, question.version));
  SKERRY_ASSIGN(json model, fleet.call(ask(model_path(question.component, version))));
  SKERRY_ASSIGN(model["promotions"], promotions_of(fleet, question.component, ""));
  SKERRY_ASSIGN(model["use"], fleet.call(ask("/skerry/v1/modelMetrics/" +
                                             net::percent_encode(model.value("model", "")) +
                                             "/versions/" + net::percent_encode(version))));
  if (session.output.json) {
    session.output.print_json(model);
    return {};
  }
  Table table{{"FIELD", "VALUE"}, {}};
  for (const auto& [name, value] : model.items()) {
    if (name == "promotions" || name == "use") continue;
    table.rows.push_back({name, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  for (const auto& [name, value] : model["use"].items()) {
    table.rows.push_back({"use: " + name, value.dump()});
  }
  for (const json& one : model["promotions"]) {
    table.rows.push_back({"promotion: " + one.value("tag", ""), one.value("previous", "") + " -> " +
                                                                    one.value("version", "") +
                                                                    " by " + one.value("by", "")});
  }
  session.output.print_table(table);
  return {};
}

Result<void> trace(const Session& session, const ModelQuestion& question) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  ApiCall call = ask("/skerry/v1/runningModels", question);
  call.query.emplace_back("maxResults", "1000");
  SKERRY_ASSIGN(const json running, fleet.list(std::move(call), "running"));
  if (session.output.json) {
    session.output.print_json(running);
    return {};
  }
  Table table{{"DEVICE", "COMPONENT", "VERSION", "STATE", "TRAINED", "DATA SET", "RUN", "SOURCE"},
              {}};
  for (const json& one : running) {
    const json& model = one["model"];
    table.rows.push_back(
        {one.value("thing", ""), model.value("component", ""), model.value("version", ""),
         one.value("state", ""), model.value("trainedOn", "-"), data_set_of(model),
         model.value("trainingRun", "-"), model.value("sourceSha256", "-").substr(0, 12)});
  }
  session.output.print_table(table);
  if (running.empty()) session.output.hint("no device runs such a model");
  return {};
}

Result<json> set_tag(FleetClient& fleet, const std::string& component, const std::string& tag,
                     const std::string& version) {
  return fleet.call({.service = "skerry",
                     .method = "PUT",
                     .path = component_path(component) + "/tags/" + net::percent_encode(tag),
                     .body = json{{"version", version}}.dump()});
}

Result<void> promote(const Session& session, const ModelQuestion& question) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  SKERRY_ASSIGN(const std::string version, resolve(fleet, question.component, question.version));
  SKERRY_ASSIGN(const json promotion, set_tag(fleet, question.component, question.tag, version));
  if (session.output.json) {
    session.output.print_json(promotion);
    return {};
  }
  const std::string previous = promotion.value("previous", "");
  session.output.print_line(question.component + " " + question.tag + " is " + version +
                            (previous.empty() ? "" : ", was " + previous));
  return {};
}

// Without --to: what the tag pointed at before, and the tag goes back with it.
Result<void> roll_back(const Session& session, const ModelQuestion& question,
                       DeployOptions deployment) {
  SKERRY_ASSIGN(auto fleet, session.connect());
  std::string version;
  if (question.version.empty()) {
    SKERRY_ASSIGN(const json promotions, promotions_of(fleet, question.component, question.tag));
    version = promotions.empty() ? "" : promotions[0].value("previous", "");
    if (version.empty()) {
      return fail(Code::kFailedPrecondition, question.component +
                                                 " has no version before its tag '" + question.tag +
                                                 "': name one with --to");
    }
  } else {
    SKERRY_ASSIGN(version, resolve(fleet, question.component, question.version));
  }
  SKERRY_TRY(fleet.call(ask(model_path(question.component, version))));
  deployment.components = {question.component + "=" + version};
  deployment.keep = true;
  if (deployment.name.empty()) deployment.name = "model rollback to " + version;
  if (question.version.empty()) {
    SKERRY_TRY(set_tag(fleet, question.component, question.tag, version));
  }
  return deploy(session, deployment);
}

void add_filters(CLI::App& command, ModelQuestion& question) {
  command.add_option("--component", question.component, "Of this component");
  command.add_option("--dataset", question.dataset, "Trained on this data set");
  command.add_option("--dataset-version", question.dataset_version, "In this version");
  command.add_option("--source-sha256", question.source, "Made from the file with this digest");
}

void add_questions(CLI::App& model, Session& session) {
  auto listed = std::make_shared<ModelQuestion>();
  CLI::App* list_command = model.add_subcommand("list", "Show versions of models and their tags");
  add_filters(*list_command, *listed);
  list_command->footer(
      "\nExamples:\n  skerry model list\n  skerry model list --dataset librispeech");
  list_command->callback([&session, listed] {
    session.action = [&session, listed] { return list(session, *listed); };
  });

  auto shown = std::make_shared<ModelQuestion>();
  CLI::App* show_command =
      model.add_subcommand("show", "Show where a version comes from and what it does on devices");
  show_command->add_option("COMPONENT", shown->component)->required();
  show_command->add_option("VERSION", shown->version, "A version, or a tag such as production")
      ->required();
  show_command->footer("\nExample:\n  skerry model show com.example.VadModel production");
  show_command->callback(
      [&session, shown] { session.action = [&session, shown] { return show(session, *shown); }; });

  auto traced = std::make_shared<ModelQuestion>();
  CLI::App* trace_command = model.add_subcommand(
      "trace", "From a device back to data sets, or from a data set or a source to devices");
  trace_command->add_option("--thing", traced->thing, "What runs on this device");
  add_filters(*trace_command, *traced);
  trace_command->add_option("--version", traced->version, "This version");
  trace_command->footer(R"(
Examples:
  skerry model trace --thing press-7
  skerry model trace --dataset librispeech --dataset-version 3
  skerry model trace --source-sha256 $(sha256sum train.py | cut -d' ' -f1))");
  trace_command->callback([&session, traced] {
    session.action = [&session, traced] { return trace(session, *traced); };
  });
}

void add_changes(CLI::App& model, Session& session) {
  auto promoted = std::make_shared<ModelQuestion>();
  CLI::App* promote_command =
      model.add_subcommand("promote", "Let a tag such as production point at a version");
  promote_command->add_option("COMPONENT", promoted->component)->required();
  promote_command->add_option("VERSION", promoted->version, "A version, or another tag")
      ->required();
  promote_command->add_option("--tag", promoted->tag, "The tag")->capture_default_str();
  promote_command->footer(R"(
Examples:
  skerry model promote com.example.VadModel 1.2.0
  skerry model promote com.example.VadModel production --tag known-good)");
  promote_command->callback([&session, promoted] {
    session.action = [&session, promoted] { return promote(session, *promoted); };
  });

  auto question = std::make_shared<ModelQuestion>();
  auto options = std::make_shared<DeployOptions>();
  CLI::App* command =
      model.add_subcommand("rollback", "Deploy a former version; everything else stays");
  command->add_option("COMPONENT", question->component)->required();
  command->add_option("--to", question->version,
                      "A version or a tag (default: what the tag pointed at before; the tag goes "
                      "back with it)");
  command->add_option("--tag", question->tag, "The tag")->capture_default_str();
  auto* group = command->add_option("--group", options->group, "Target: every device of a group");
  auto* thing =
      command->add_option("--thing", options->thing, "Target: one device")->excludes(group);
  command->add_flag("--wait", options->wait, "Wait until every device of the target has ended it");
  command->add_option("--timeout", options->timeout_s, "Seconds to wait")
      ->capture_default_str()
      ->needs("--wait");
  command->footer(R"(
Examples:
  skerry model rollback com.example.VadModel --group plant --wait
  skerry model rollback com.example.VadModel --to 1.1.0 --thing press-7)");
  command->callback([&session, question, options, group, thing] {
    if (group->empty() && thing->empty()) throw CLI::RequiredError("one of --group and --thing");
    session.action = [&session, question, options] {
      return roll_back(session, *question, *options);
    };
  });
}

}  // namespace

std::string model_path(const std::string& component, const std::string& version) {
  return component_path(component) + "/versions/" + net::percent_encode(version);
}

void add_model_commands(CLI::App& app, Session& session) {
  CLI::App* model = app.add_subcommand("model", "Models as components, and where they come from");
  model->footer(R"(
Examples:
  skerry model publish vad.onnx --name vad --component com.example.VadModel --version 1.2.0 --contract contract.json
  skerry model promote com.example.VadModel 1.2.0
  skerry model trace --thing press-7
  skerry model rollback com.example.VadModel --group plant)");
  list_handed_on_model_commands(*model);
  add_model_publish(*model, session);
  add_questions(*model, session);
  add_changes(*model, session);
}

}  // namespace skerry::cli
