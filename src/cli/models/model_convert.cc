// skerry model convert: the same model in another form.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/models/model_graph.h"
#include "cli/models/model_tools.h"
#include "graph/model_file.h"
#include "optimise/tflite_form.h"

namespace skerry::cli {
namespace {

struct ConvertOptions {
  std::string from, to;
  int64_t opset = 0;
  bool external = false;
};

Result<void> convert(const Session& session, const ConvertOptions& options) {
  SKERRY_ASSIGN(const auto model, graph::read_model_file(options.from));
  graph::onnx::ExportOptions exported;
  if (options.opset > 0) exported.opset = options.opset;
  if (options.to.ends_with(".tflite")) SKERRY_TRY(optimise::to_tflite_form(*model.graph));
  constexpr uint64_t kExternalFrom = 1024;
  if (options.external) exported.external_from = kExternalFrom;
  SKERRY_TRY(graph::write_model_file(*model.graph, options.to, exported));
  const size_t nodes = model.graph->nodes().size();
  if (session.output.json) {
    session.output.print_json(
        {{"from", options.from}, {"format", model.format}, {"to", options.to}, {"nodes", nodes}});
  } else {
    session.output.print_line(options.to + ": " + std::to_string(nodes) + " operators from " +
                              model.format);
  }
  return {};
}

}  // namespace

void add_model_convert(CLI::App& model, Session& session) {
  auto options = std::make_shared<ConvertOptions>();
  CLI::App* command = model.add_subcommand("convert", "Write a model in another form");
  command->add_option("FROM", options->from, "The model, *.onnx, *.tflite or *.graph")->required();
  command
      ->add_option("TO", options->to, "*.onnx, *.tflite (networks of images), or *.graph for text")
      ->required();
  command->add_option("--opset", options->opset, "Operator set of ONNX, 21 to 23");
  command->add_flag("--external-data", options->external,
                    "Weights go into a file beside the model, TO.data");
  command->footer(R"(
Every operator comes out in its newest form, with functions inlined.
Examples:
  skerry model convert old.onnx new.onnx --opset 21
  skerry model convert keywords.tflite keywords.onnx
  skerry model convert keywords-int8.onnx keywords.tflite
  skerry model convert vad.onnx vad.graph)");
  command->callback([&session, options] {
    session.action = [&session, options] { return convert(session, *options); };
  });
}

}  // namespace skerry::cli
