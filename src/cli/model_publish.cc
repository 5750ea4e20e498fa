// skerry model publish: a model file becomes a component that loads itself into the inference
// service, with where it comes from.
#include <CLI/CLI.hpp>
#include <array>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/local_files.h"
#include "cli/model_commands.h"
#include "cli/publisher.h"
#include "formats/json_ptr.h"
#include "formats/model_package.h"
#include "formats/model_provenance.h"
#include "formats/names.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr const char* kService = "skerry.Infer";

// What runs a model file, by its extension.
struct ModelKind {
  std::string_view extension;
  std::string_view runtime;
};
constexpr std::array<ModelKind, 4> kModelKinds = {{{".onnx", "onnxruntime"},
                                                   {".tflite", "litert"},
                                                   {".so", "compiled"},
                                                   {".pipeline.json", "pipeline"}}};

struct ModelOptions {
  std::string file;
  std::vector<std::string> more_files;  // beside it in the package
  std::string name;
  std::string version;
  std::string component;
  std::vector<std::string> inputs;  // NAME:DATATYPE:SHAPE
  std::vector<std::string> outputs;
  std::string contract;           // JSON file with inputs, outputs, scores and warmup
  std::string scores;             // OUTPUT[:ACTIVATION]
  std::string runtime;            // "": by the file's name
  std::string runtime_component;  // "": the inference service has the runtime
  bool component_per_release = false;
  std::vector<std::string> metrics;  // NAME=VALUE; the first one names the release
  std::vector<std::string> optimiser;
  std::string source;  // file
  std::string report;  // of `skerry model optimise`
  formats::ModelProvenance provenance;
  ModelKind kind = kModelKinds[0];  // of the file
  std::string model_file;           // its name in the package
};

std::pair<std::string, std::string> name_and_value(const std::string& text) {
  const size_t equals = text.find('=');
  return {text.substr(0, equals), equals == std::string::npos ? "" : text.substr(equals + 1)};
}

std::string default_component(const std::string& name) {
  return "com.example." + name;
}

// By the file's name; without an extension that is known it is taken for ONNX, as it always was.
ModelKind kind_of(const std::string& file) {
  const auto known = std::ranges::find_if(
      kModelKinds, [&](const ModelKind& kind) { return file.ends_with(kind.extension); });
  return known == kModelKinds.end() ? kModelKinds[0] : *known;
}

// What `skerry model optimise` did to the model. Another file than its choice is refused.
Result<void> take_report(ModelOptions& options, const std::string& sha256_hex) {
  SKERRY_ASSIGN(const std::string text, read_local_file(options.report));
  const json report = json::parse(text, nullptr, false);
  const auto part = [&](const char* name) {
    const auto found = report.find(name);
    if (found == report.end()) return std::string();
    return found->is_string() ? found->get<std::string>() : found->dump();
  };
  if (!report.is_object() || part("format") != "1") {
    return fail(Code::kInvalidArgument, options.report + " is no report of skerry model optimise");
  }
  if (part("artifactSha256") != sha256_hex) {
    return fail(Code::kFailedPrecondition,
                options.report + " is about another model than " + options.file);
  }
  formats::ModelProvenance& from = options.provenance;
  if (from.source_sha256.empty()) from.source_sha256 = part("sourceSha256");
  for (const char* name : {"goal", "candidate", "engine", "accuracyDrop", "maxAccuracyDrop",
                           "dataSha256", "calibrationRows", "seed"}) {
    if (!part(name).empty()) from.optimiser.emplace(name, part(name));
  }
  // What was chosen in an engine is served by that engine; the reference executor serves nobody.
  const std::string engine = part("engine");
  if (options.runtime.empty() && !engine.empty() && engine != "reference" &&
      engine != kind_of(options.file).runtime) {
    options.runtime = engine;
  }
  return {};
}

// Fills in what the options say between them.
Result<void> complete(ModelOptions& options, const std::string& sha256_hex) {
  formats::ModelProvenance& from = options.provenance;
  from.model = options.name;
  from.artifact_sha256 = sha256_hex;
  for (const std::string& text : options.metrics) {
    const auto [name, value] = name_and_value(text);
    double number = 0;
    if (!CLI::detail::lexical_cast(value, number)) {
      return fail(Code::kInvalidArgument, "--metric '" + text + "' is not NAME=NUMBER");
    }
    from.metrics[name] = number;
    if (from.metric.empty()) from.metric = name;
  }
  for (const std::string& text : options.optimiser) {
    const auto [name, value] = name_and_value(text);
    from.optimiser[name] = value;
  }
  if (!options.source.empty()) {
    SKERRY_ASSIGN(const UploadContent source, UploadContent::of_file(options.source));
    SKERRY_ASSIGN(from.source_sha256, source.sha256_hex());
  }
  if (!options.report.empty()) SKERRY_TRY(take_report(options, sha256_hex));
  const std::string release = formats::release_name_of(from);
  options.kind = kind_of(options.file);
  options.model_file = release.empty() ? "model" : release;
  const std::string own = std::filesystem::path(options.file).extension();
  options.model_file += options.runtime.empty() || own.empty() ? options.kind.extension : own;
  // A graph of Neo is JSON as well.
  if (options.model_file == formats::kModelManifestFile) {
    options.model_file = std::filesystem::path(options.file).filename();
  }
  from.artifact = options.model_file;
  if (options.component_per_release) {
    if (release.empty()) {
      return fail(Code::kInvalidArgument,
                  "--component-per-release needs --trained, --dataset and --metric");
    }
    options.component = default_component(release);
  }
  if (options.component.empty()) options.component = default_component(options.name);
  if (!options.runtime_component.empty()) {
    SKERRY_TRY(formats::parse_component_name(options.runtime_component));
  }
  SKERRY_TRY(formats::parse_model_provenance(formats::to_json(from)));
  return formats::check_component_name(options.component, from);
}

// What stands beside the model, by its name in the package.
Result<std::map<std::string, UploadContent>> further_files(const ModelOptions& options) {
  std::map<std::string, UploadContent> files;
  for (const std::string& path : options.more_files) {
    const std::string name = std::filesystem::path(path).filename();
    SKERRY_ASSIGN(UploadContent content, UploadContent::of_file(path));
    const bool is_taken = name == options.model_file || name == formats::kModelManifestFile;
    if (is_taken || !files.emplace(name, std::move(content)).second) {
      return fail(Code::kInvalidArgument,
                  "--file " + path + ": the package has a file '" + name + "' already");
    }
  }
  return files;
}

// "input:FP32:1,576" → {"name","datatype","shape"}; no shape is a scalar.
Result<json> tensor_of(const std::string& text) {
  const size_t datatype = text.rfind(':', text.rfind(':') - 1);
  const size_t shape = text.rfind(':');
  const auto wrong = [&] {
    return fail(Code::kInvalidArgument,
                "'" + text + "' is not NAME:DATATYPE:SHAPE, for example input:FP32:-1,576");
  };
  if (datatype == std::string::npos || shape == datatype || datatype == 0) return wrong();
  json dimensions = json::array();
  for (const std::string& dimension : CLI::detail::split(text.substr(shape + 1), ',')) {
    if (dimension.empty()) continue;
    int64_t value = 0;
    if (!CLI::detail::lexical_cast(dimension, value) || value < -1) return wrong();
    dimensions.push_back(value);
  }
  return json{{"name", text.substr(0, datatype)},
              {"datatype", text.substr(datatype + 1, shape - datatype - 1)},
              {"shape", dimensions}};
}

// What callers may rely on, as the package says it.
Result<json> manifest_of_options(const ModelOptions& options) {
  json contract = {{"inputs", json::array()}, {"outputs", json::array()}};
  if (!options.contract.empty()) {
    SKERRY_ASSIGN(const std::string text, read_local_file(options.contract));
    auto given = formats::parse_json(text);
    if (!given) return fail(given.error().with_context(options.contract));
    if (!given->is_object())
      return fail(Code::kInvalidArgument, options.contract + ": must be a JSON object");
    contract.update(*given);
  }
  for (const std::string& text : options.inputs) {
    SKERRY_ASSIGN(json tensor, tensor_of(text));
    contract["inputs"].push_back(std::move(tensor));
  }
  for (const std::string& text : options.outputs) {
    SKERRY_ASSIGN(json tensor, tensor_of(text));
    contract["outputs"].push_back(std::move(tensor));
  }
  if (!options.scores.empty()) {
    const size_t colon = options.scores.find(':');
    contract["scores"] = {{"output", options.scores.substr(0, colon)}};
    if (colon != std::string::npos) {
      contract["scores"]["activation"] = options.scores.substr(colon + 1);
    }
  }
  return contract;
}

Result<std::string> manifest_of(const ModelOptions& options, const std::string& sha256_hex,
                                const std::map<std::string, UploadContent>& files) {
  SKERRY_ASSIGN(json manifest, manifest_of_options(options));
  manifest.update(
      {{"format", 1},
       {"name", options.name},
       {"version", options.version},
       {"runtime", options.runtime.empty() ? std::string(options.kind.runtime) : options.runtime},
       {"file", options.model_file},
       {"sha256", sha256_hex}});
  if (!options.runtime_component.empty()) {
    manifest["runtime_component"] = options.runtime_component;
  }
  for (const auto& [name, content] : files) {
    SKERRY_ASSIGN(manifest["files"][name], content.sha256_hex());
  }
  SKERRY_ASSIGN(const auto package, formats::parse_model_package(manifest.dump()));
  return formats::to_text(package);
}

// Startup loads the version; where the service refuses it, the deployment fails and the former
// version, which still serves, stays. It goes on as long as the model does what it did: where the
// service's watchdog finds it at fault, the component is ERRORED with the reason, and started
// again, which loads the model again. There is no Shutdown that unloads: the next version replaces
// it in place.
std::string recipe_of(const ModelOptions& options,
                      const std::map<std::string, UploadContent>& more) {
  const std::string service = std::string("{") + kService + ":artifacts:path}/skerry-infer";
  const std::string socket = std::string("{") + kService + ":work:path}/infer.sock";
  json files = json::array();
  std::vector<std::string> names = {options.model_file, std::string(formats::kModelManifestFile)};
  for (const auto& [name, content] : more) names.push_back(name);
  for (const std::string& name : names) {
    files.push_back({{"URI", "file:" + name}, {"Permission", {{"Read", "ALL"}}}});
  }
  const json manifest = {{"Platform", {{"os", "linux"}, {"runtime", "*"}}},
                         {"Lifecycle",
                          {{"Startup", service + " load --watch --socket " + socket + " " +
                                           options.name + " {artifacts:path}"}}},
                         {"Artifacts", files}};
  json dependencies = {{kService, {{"VersionRequirement", ">=0.1.0"}, {"DependencyType", "HARD"}}}};
  if (!options.runtime_component.empty()) {
    dependencies[options.runtime_component] = {{"VersionRequirement", ">=0.0.0"},
                                               {"DependencyType", "HARD"}};
  }
  const json recipe = {
      {"RecipeFormatVersion", "2020-01-25"},
      {"ComponentName", options.component},
      {"ComponentVersion", options.version},
      {"ComponentDescription", "Model " + options.name + " for the inference service."},
      {"ComponentDependencies", dependencies},
      {"Manifests", json::array({manifest})}};
  return recipe.dump();
}

// The description first: a version is never published without one. Where publishing fails, the next
// try may describe it otherwise.
Result<void> publish_model(const Session& session, ModelOptions options) {
  SKERRY_ASSIGN(const UploadContent model, UploadContent::of_file(options.file));
  SKERRY_ASSIGN(const std::string digest, model.sha256_hex());
  SKERRY_TRY(complete(options, digest));
  SKERRY_ASSIGN(const auto more, further_files(options));
  SKERRY_ASSIGN(const std::string manifest, manifest_of(options, digest, more));
  SKERRY_ASSIGN(auto fleet, session.connect());
  const json description = {{"provenance", formats::to_json(options.provenance)}};
  SKERRY_TRY(fleet.call({.service = "skerry",
                         .method = "PUT",
                         .path = model_path(options.component, options.version),
                         .body = description.dump()}));
  const auto source = [&](const std::string& file) -> Result<UploadContent> {
    if (const auto found = more.find(file); found != more.end()) return found->second;
    return file == options.model_file ? model : UploadContent::of_bytes(manifest);
  };
  SKERRY_ASSIGN(const json created,
                publish(fleet, session.output, recipe_of(options, more), source));
  if (session.output.json) {
    session.output.print_json(created);
  } else {
    session.output.print_line("published model " + options.name + " as " +
                              created.value("componentName", "") + " " +
                              created.value("componentVersion", ""));
  }
  return {};
}

void add_provenance_options(CLI::App& command, ModelOptions& options) {
  formats::ModelProvenance& from = options.provenance;
  command.add_option("--trained", from.trained_on, "Date of the training, YYYY-MM-DD");
  command.add_option("--dataset", from.dataset, "Data set that it was trained on");
  command.add_option("--dataset-version", from.dataset_version, "The data set's version");
  command.add_option("--metric", options.metrics,
                     "NAME=NUMBER that the training reached; repeatable, the first one is in the "
                     "artifact's name");
  command.add_option("--training-run", from.training_run, "Id or address of the training run");
  command
      .add_option("--source", options.source,
                  "File that it was made from; its SHA-256 is kept, to find the model by")
      ->check(CLI::ExistingFile);
  command.add_option("--source-sha256", from.source_sha256, "That digest")->excludes("--source");
  command.add_option("--optimiser", options.optimiser,
                     "NAME=VALUE of the optimiser's settings; repeatable");
  command
      .add_option("--report", options.report,
                  "report.json of skerry model optimise: its settings and the source's SHA-256")
      ->check(CLI::ExistingFile);
  command.add_option("--licence", from.licence, "SPDX identifier, such as MIT");
  command
      .add_flag("--component-per-release", options.component_per_release,
                "The component is named com.example.NAME-YYYYMMDD-DATASET-METRIC")
      ->excludes("--component");
}

}  // namespace

void add_model_publish(CLI::App& model, Session& session) {
  auto options = std::make_shared<ModelOptions>();
  CLI::App* command =
      model.add_subcommand("publish", "Publish a model or a pipeline as a component version");
  command
      ->add_option("FILE", options->file,
                   "The model, *.onnx, *.tflite, *.so (compiled) or *.pipeline.json")
      ->required()
      ->check(CLI::ExistingFile);
  command
      ->add_option("--file", options->more_files,
                   "One more file of the package, such as a pipeline's model; repeatable")
      ->check(CLI::ExistingFile);
  command->add_option("--name", options->name, "Name under which it is served")->required();
  command->add_option("--version", options->version, "Version of model and component")->required();
  command->add_option("--component", options->component,
                      "Component name (default: com.example.NAME)");
  command->add_option("--runtime", options->runtime,
                      "What runs it, where that is a plugin (default: by the file's name)");
  command->add_option(
      "--runtime-component", options->runtime_component,
      "The component that brings and registers the runtime; the model depends on it");
  command->add_option("--input", options->inputs,
                      "NAME:DATATYPE:SHAPE that callers may rely on, -1 = any size; repeatable");
  command->add_option("--output", options->outputs, "The same of an output; one at least");
  command
      ->add_option(
          "--contract", options->contract,
          "JSON file with inputs, outputs and the rest of what model.json may hold (scores, "
          "warmup, finite, max_inference_ms, …) instead")
      ->check(CLI::ExistingFile);
  command->add_option(
      "--scores", options->scores,
      "OUTPUT[:softmax|sigmoid] that says how likely each class is: predictions and "
      "confidences are counted by it");
  add_provenance_options(*command, *options);
  command->footer(R"(
With --trained, --dataset and --metric the model's file is named NAME-YYYYMMDD-DATASET-METRIC.
The component depends on skerry.Infer and loads itself into it. A version that does not keep the contract is refused
on the device, and the former one goes on serving.
Examples:
  skerry model publish vad.onnx --name vad --version 1.0.0 --input input:FP32:-1,576 --input sr:INT64: --output output:FP32:-1,1
  skerry model publish vad.onnx --name vad --version 1.1.0 --component com.example.VadModel --contract contract.json \
      --trained 2026-11-27 --dataset librispeech --dataset-version 3 --metric auc=0.9731 --source train.py --licence MIT
  skerry model publish echo.copy --name echo --version 1.0.0 --input x:FP32:-1 --output y:FP32:-1 \
      --runtime copy --runtime-component com.example.CopyRuntime
  skerry model publish shoes.pipeline.json --file shoes.onnx --file labels.txt --file sample.png --name shoes \
      --version 1.0.0 --contract contract.json)");
  command->callback([&session, options] {
    session.action = [&session, options] { return publish_model(session, *options); };
  });
}

}  // namespace skerry::cli
