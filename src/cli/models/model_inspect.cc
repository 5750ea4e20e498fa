// skerry model inspect|run|diff: what a model is made of, what it computes, where two part ways.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/local_files.h"
#include "cli/models/model_graph.h"
#include "cli/models/model_tools.h"
#include "graph/executor.h"
#include "graph/model_file.h"
#include "graph/statistics.h"
#include "graph/text.h"
#include "tensor/npy.h"

namespace skerry::cli {
namespace {

using graph::Graph;
using nlohmann::json;

Result<void> write_file(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.flush();
  if (file) return {};
  return fail(Code::kInternal, path + ": cannot be written");
}

// --- inspect ------------------------------------------------------------------------------------

struct InspectOptions {
  std::string model;
  std::string svg;
  bool text = false;
  bool nodes = false;
  int64_t batch = 0;
};

json specs_of(const std::vector<const graph::Value*>& values) {
  json specs = json::array();
  for (const graph::Value* value : values) {
    specs.push_back({{"name", value->name()}, {"type", to_string(value->type())}});
  }
  return specs;
}

json number_or_null(const std::optional<int64_t>& number) {
  return number ? json(*number) : json();
}

json inspection_of(const graph::ModelFile& model, const Graph& graph,
                   const graph::Statistics& statistics) {
  std::vector<const graph::Value*> inputs;
  for (const auto& input : graph.inputs()) inputs.push_back(input.get());
  json nodes = json::array();
  for (const graph::NodeCost& cost : statistics.nodes) {
    const graph::Value* output = cost.node->output(0);
    nodes.push_back({{"name", cost.node->name()},
                     {"operator", cost.node->op().name()},
                     {"output", output != nullptr ? to_string(output->type()) : ""},
                     {"macs", number_or_null(cost.macs)},
                     {"parameterBytes", cost.parameter_bytes},
                     {"inputBytes", number_or_null(cost.input_bytes)},
                     {"outputBytes", number_or_null(cost.output_bytes)},
                     {"macsPerByte", cost.intensity() ? json(*cost.intensity()) : json()}});
  }
  return {{"format", model.format},
          {"opset", model.opset},
          {"producer", model.producer},
          {"fileBytes", model.bytes},
          {"inputs", specs_of(inputs)},
          {"outputs", specs_of({graph.outputs().begin(), graph.outputs().end()})},
          {"operators", statistics.operators},
          {"parameters", statistics.parameters},
          {"parameterBytes", statistics.parameter_bytes},
          {"macs", statistics.macs},
          {"complete", statistics.complete},
          {"peakActivationBytes", statistics.peak_activation_bytes},
          {"peakAt", statistics.peak_at != nullptr ? statistics.peak_at->name() : ""},
          {"nodes", std::move(nodes)}};
}

Table operator_table(const graph::Statistics& statistics) {
  struct Sum {
    int64_t macs = 0, parameters = 0, output = 0;
  };
  std::map<std::string, Sum> sums;
  for (const graph::NodeCost& cost : statistics.nodes) {
    Sum& sum = sums[std::string(cost.node->op().name())];
    sum.macs += cost.macs.value_or(0);
    sum.parameters += cost.parameter_bytes;
    sum.output += cost.output_bytes.value_or(0);
  }
  Table table{{"OPERATOR", "COUNT", "MACS", "PARAMETERS", "OUTPUTS"}, {}};
  for (const auto& [name, count] : statistics.operators) {
    const Sum& sum = sums[name];
    table.rows.push_back({name, std::to_string(count), count_text(sum.macs),
                          bytes_text(sum.parameters), bytes_text(sum.output)});
  }
  return table;
}

Table node_table(const graph::Statistics& statistics) {
  Table table{{"NODE", "OPERATOR", "OUTPUT", "MACS", "PARAMETERS", "MACS/BYTE"}, {}};
  for (const graph::NodeCost& cost : statistics.nodes) {
    char intensity[32] = "?";
    if (cost.intensity()) std::snprintf(intensity, sizeof intensity, "%.2f", *cost.intensity());
    const graph::Value* output = cost.node->output(0);
    table.rows.push_back({cost.node->name(), std::string(cost.node->op().name()),
                          output != nullptr ? to_string(output->type()) : "-",
                          cost.macs ? count_text(*cost.macs) : "?",
                          bytes_text(cost.parameter_bytes), intensity});
  }
  return table;
}

Table summary_table(const graph::ModelFile& model, const Graph& graph,
                    const graph::Statistics& statistics) {
  Table table{{"MODEL", ""}, {}};
  for (const auto& input : graph.inputs()) {
    table.rows.push_back({"input", input->name() + ": " + to_string(input->type())});
  }
  for (const graph::Value* output : graph.outputs()) {
    table.rows.push_back({"output", output->name() + ": " + to_string(output->type())});
  }
  const std::string open = statistics.complete ? "" : " (some shapes are open: --batch)";
  const std::string opset = model.opset > 0 ? " opset " + std::to_string(model.opset) : "";
  table.rows.push_back({"format", model.format + opset});
  table.rows.push_back({"operators", std::to_string(statistics.nodes.size())});
  table.rows.push_back({"parameters", count_text(statistics.parameters) + ", " +
                                          bytes_text(statistics.parameter_bytes)});
  table.rows.push_back({"MACs", count_text(statistics.macs) + open});
  table.rows.push_back({"peak activations", bytes_text(statistics.peak_activation_bytes) + open});
  return table;
}

Result<void> inspect(const Session& session, const InspectOptions& options) {
  SKERRY_ASSIGN(const auto model, graph::read_model_file(options.model));
  std::unique_ptr<Graph> fixed;
  if (options.batch > 0) {
    SKERRY_ASSIGN(fixed, with_open_dimensions(*model.graph, options.batch));
  }
  const Graph& graph = fixed ? *fixed : *model.graph;
  if (!options.svg.empty()) {
    SKERRY_TRY(write_file(options.svg, graph_svg(graph)));
  }
  if (options.text) {
    session.output.print_line(to_text(graph));
    return {};
  }
  const graph::Statistics statistics = statistics_of(graph);
  if (session.output.json) {
    session.output.print_json(inspection_of(model, graph, statistics));
    return {};
  }
  session.output.print_table(summary_table(model, graph, statistics));
  session.output.print_line("");
  session.output.print_table(options.nodes ? node_table(statistics) : operator_table(statistics));
  return {};
}

// --- run ----------------------------------------------------------------------------------------

struct RunOptions {
  std::string model;
  InputOptions inputs;
  std::string out;
  bool fp64 = false;
};

struct Range {
  double lowest = 0, mean = 0, highest = 0;
};

Range range_of(const std::vector<double>& values) {
  Range range;
  if (values.empty()) return range;
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  for (const double value : values) range.mean += value / static_cast<double>(values.size());
  range.lowest = *lowest;
  range.highest = *highest;
  return range;
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

// NAME.npy; strings, which those files cannot have, one a line in NAME.txt.
Result<void> write_output(const std::string& folder, const tensor::Tensor& output) {
  // An output's name may be anything; the folder is the user's.
  std::string name = output.name;
  std::ranges::replace(name, '/', '_');
  if (output.type != tensor::DataType::kBytes) {
    SKERRY_ASSIGN(const std::string file, tensor::to_npy(output.view()));
    return write_file(folder + "/" + name + ".npy", file);
  }
  std::string lines;
  for (const std::string& text : graph::Array::from(output.view()).strings) lines += text + "\n";
  return write_file(folder + "/" + name + ".txt", lines);
}

Result<void> run_model(const Session& session, const RunOptions& options) {
  SKERRY_ASSIGN(const auto model, graph::read_model_file(options.model));
  SKERRY_ASSIGN(const auto inputs, inputs_for(*model.graph, options.inputs));
  graph::Executor executor(*model.graph, {.as_fp64 = options.fp64});
  SKERRY_ASSIGN(const auto outputs, executor.run(tensor::views_of(inputs)));
  json answer = json::array();
  Table table{{"OUTPUT", "TYPE", "LOWEST", "MEAN", "HIGHEST"}, {}};
  for (size_t i = 0; i < outputs.size(); ++i) {
    const tensor::Tensor& output = outputs[i];
    const Range range = range_of(graph::Array::from(output.view()).to_doubles());
    const std::string type = tensor::describe(output.type, output.shape);
    answer.push_back({{"name", output.name},
                      {"type", type},
                      {"lowest", range.lowest},
                      {"mean", range.mean},
                      {"highest", range.highest}});
    table.rows.push_back({output.name, type, number_text(range.lowest), number_text(range.mean),
                          number_text(range.highest)});
    if (options.out.empty()) continue;
    SKERRY_TRY(write_output(options.out, output));
  }
  if (session.output.json) {
    session.output.print_json(answer);
  } else {
    session.output.print_table(table);
  }
  return {};
}

// --- diff ---------------------------------------------------------------------------------------

struct DiffOptions {
  std::string a, b;
  InputOptions inputs;
  double tolerance = 1e-4;
};

struct Difference {
  std::string name, op, type;
  double largest = 0;   // absolute
  double relative = 0;  // root mean square, of that of A
};

using Values = std::map<std::string, graph::Array>;

Result<std::vector<tensor::Tensor>> run_and_keep(const Graph& graph,
                                                 std::span<const tensor::Tensor> inputs,
                                                 Values& values) {
  graph::Executor executor(graph,
                           {.observe = [&](const graph::Value& value, const graph::Array& array) {
                             values[value.name()] = array;
                           }});
  return executor.run(tensor::views_of(inputs));
}

Difference difference_of(const graph::Array& a, const graph::Array& b) {
  Difference difference;
  const auto x = a.to_doubles();
  const auto y = b.to_doubles();
  if (a.shape != b.shape || x.size() != y.size()) {
    difference.largest = difference.relative = INFINITY;
    return difference;
  }
  double squares = 0;
  double size = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double distance =
        x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i])) ? 0 : std::abs(x[i] - y[i]);
    difference.largest = std::isnan(distance) ? INFINITY : std::max(difference.largest, distance);
    squares += std::isnan(distance) ? INFINITY : distance * distance;
    size += std::isfinite(x[i]) ? x[i] * x[i] : 0;
  }
  difference.relative = squares == 0 ? 0 : size == 0 ? INFINITY : std::sqrt(squares / size);
  return difference;
}

Result<void> report(const Session& session, const std::vector<Difference>& differences,
                    double tolerance) {
  const auto first = std::ranges::find_if(
      differences, [&](const Difference& one) { return one.relative > tolerance; });
  const std::string divergent = first == differences.end() ? "" : first->name;
  json layers = json::array();
  Table table{{"LAYER", "OPERATOR", "TYPE", "LARGEST", "RELATIVE", ""}, {}};
  for (const Difference& one : differences) {
    layers.push_back({{"name", one.name},
                      {"operator", one.op},
                      {"largest", one.largest},
                      {"relative", one.relative}});
    table.rows.push_back({one.name, one.op, one.type, number_text(one.largest),
                          number_text(one.relative),
                          one.name == divergent ? "first to differ" : ""});
  }
  if (session.output.json) {
    session.output.print_json({{"layers", layers}, {"firstDivergent", divergent}});
  } else {
    session.output.print_table(table);
  }
  if (divergent.empty()) return {};
  return fail(Code::kFailedPrecondition, "the models differ by more than " +
                                             number_text(tolerance) + ", first in '" + divergent +
                                             "' (" + first->op + ")");
}

Result<void> diff(const Session& session, const DiffOptions& options) {
  SKERRY_ASSIGN(const auto a, graph::read_model_file(options.a));
  SKERRY_ASSIGN(const auto b, graph::read_model_file(options.b));
  SKERRY_ASSIGN(auto inputs, inputs_for(*a.graph, options.inputs));
  if (a.graph->inputs().size() != b.graph->inputs().size() ||
      a.graph->outputs().size() != b.graph->outputs().size()) {
    return fail(Code::kInvalidArgument, "the models have different numbers of inputs or outputs");
  }
  Values values_a;
  Values values_b;
  SKERRY_ASSIGN(const auto outputs_a, run_and_keep(*a.graph, inputs, values_a));
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i].name = b.graph->inputs()[i]->name();
  SKERRY_ASSIGN(const auto outputs_b, run_and_keep(*b.graph, inputs, values_b));
  std::vector<Difference> differences;
  for (const auto& node : a.graph->nodes()) {
    for (const auto& output : node->outputs()) {
      if (!output || !values_b.contains(output->name())) continue;
      const graph::Array& array = values_a[output->name()];
      differences.push_back(difference_of(array, values_b[output->name()]));
      differences.back().name = output->name();
      differences.back().op = node->op().name();
      differences.back().type = tensor::describe(array.type, array.shape);
    }
  }
  for (size_t i = 0; i < outputs_a.size(); ++i) {
    if (values_b.contains(outputs_a[i].name)) continue;  // by name, above
    differences.push_back(difference_of(graph::Array::from(outputs_a[i].view()),
                                        graph::Array::from(outputs_b[i].view())));
    differences.back().name = outputs_a[i].name + " / " + outputs_b[i].name;
    differences.back().op = "output";
    differences.back().type = tensor::describe(outputs_a[i].type, outputs_a[i].shape);
  }
  return report(session, differences, options.tolerance);
}

}  // namespace

void add_model_graph_commands(CLI::App& model, Session& session) {
  auto inspected = std::make_shared<InspectOptions>();
  CLI::App* command = model.add_subcommand(
      "inspect", "Show what a model is made of: operators, MACs, parameters, memory");
  command->add_option("MODEL", inspected->model, "The model, *.onnx, *.tflite or *.graph")
      ->required();
  command->add_option("--batch", inspected->batch, "Open dimensions of the inputs are this size")
      ->check(CLI::PositiveNumber);
  command->add_flag("--nodes", inspected->nodes, "One line for each node");
  command->add_flag("--text", inspected->text, "The whole graph as text");
  command->add_option("--svg", inspected->svg, "Draw the graph into this file, too");
  command->footer(R"(
Examples:
  skerry model inspect vad.onnx
  skerry model inspect vad.onnx --batch 1 --nodes --svg vad.svg
  skerry model inspect vad.onnx --text | less)");
  command->callback([&session, inspected] {
    session.action = [&session, inspected] { return inspect(session, *inspected); };
  });

  auto ran = std::make_shared<RunOptions>();
  command = model.add_subcommand("run", "Run a model with the reference executor: exact, not fast");
  command->add_option("MODEL", ran->model, "The model, *.onnx, *.tflite or *.graph")->required();
  add_input_options(*command, ran->inputs);
  command
      ->add_option("--out", ran->out, "Folder for the outputs, NAME.npy each (strings: NAME.txt)")
      ->check(CLI::ExistingDirectory);
  command->add_flag("--fp64", ran->fp64, "Compute FP32 values in double precision");
  command->footer(R"(
Examples:
  skerry model run vad.onnx --input input=window.npy --input sr=rate.npy --random --out results
  skerry model run classifier.onnx --input image.npy)");
  command->callback(
      [&session, ran] { session.action = [&session, ran] { return run_model(session, *ran); }; });

  auto compared = std::make_shared<DiffOptions>();
  command = model.add_subcommand("diff", "Compare two models layer by layer on the same data");
  command->add_option("A", compared->a, "The model to trust, *.onnx, *.tflite or *.graph")
      ->required();
  command->add_option("B", compared->b, "The other one")->required();
  add_input_options(*command, compared->inputs);
  command
      ->add_option("--tolerance", compared->tolerance,
                   "Relative difference (root mean square) of a layer that is no difference")
      ->capture_default_str();
  command->footer(R"(
Layers of the same name are compared in the order of A, outputs in any case. Ends with 1 where one differs.
Examples:
  skerry model diff vad.onnx vad-optimised.onnx --random --seed 7
  skerry model diff float.onnx int8.onnx --data samples --tolerance 0.05)");
  command->callback([&session, compared] {
    session.action = [&session, compared] { return diff(session, *compared); };
  });
}

}  // namespace skerry::cli
