// Inputs of models from files, or made up from a seed.
#include "cli/models/model_graph.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "io/files.h"
#include "tensor/npy.h"

namespace skerry::cli {
namespace {

constexpr uint64_t kMaxInputBytes = uint64_t{1} << 30;

Result<tensor::Tensor> read_npy(const std::string& path) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string bytes, io::read_file(files, path, kMaxInputBytes));
  auto parsed = tensor::parse_npy(bytes);
  if (!parsed) return fail(parsed.error().with_context(path));
  return parsed;
}

// Standard normal floats; integers of 0 and 1, which are indices of nearly everything.
Result<tensor::Tensor> made_up(const graph::Value& input, std::mt19937_64& random) {
  if (!input.type().shape || input.type().element == tensor::DataType::kBytes) {
    return fail(Code::kInvalidArgument, "the input '" + input.name() + "' is " +
                                            to_string(input.type()) +
                                            ", for which nothing can be made up: give --input");
  }
  graph::Array array{.type = tensor::DataType::kFp64};
  for (const graph::Dim& dim : *input.type().shape)
    array.shape.push_back(dim.is_fixed() ? dim.size() : 1);
  SKERRY_ASSIGN(graph::Array made, graph::Array::make(array.type, array.shape, kMaxInputBytes));
  const bool is_float = tensor::is_float(input.type().element);
  std::normal_distribution<double> normal;
  for (double& value : made.as<double>()) {
    value = is_float ? normal(random) : static_cast<double>(random() % 2);
  }
  if (is_float) return convert_float(made, input.type().element).to_tensor(input.name());
  SKERRY_ASSIGN(graph::Array integers,
                graph::Array::make(input.type().element, array.shape, kMaxInputBytes));
  const size_t size = graph::Array::element_size(integers.type);
  for (size_t i = 0; i < integers.count(); ++i) {
    integers.bytes[i * size] = std::byte(made.as<double>()[i] != 0 ? 1 : 0);
  }
  return integers.to_tensor(input.name());
}

std::string input_names(const graph::Graph& graph) {
  std::string names;
  for (const auto& input : graph.inputs()) {
    names.append(names.empty() ? "" : ", ").append(input->name() + " " + to_string(input->type()));
  }
  return names;
}

// Which files are given, by the input's name.
Result<std::map<std::string, std::string>> files_by_name(const graph::Graph& graph,
                                                         const InputOptions& options) {
  std::map<std::string, std::string> files;
  io::RealFiles disk;
  for (const auto& input : graph.inputs()) {
    const std::string path = options.directory + "/" + input->name() + ".npy";
    const bool inside = input->name().find('/') == std::string::npos;
    if (!options.directory.empty() && inside && io::exists(disk, path)) files[input->name()] = path;
  }
  for (const std::string& given : options.files) {
    const size_t equals = given.find('=');
    const bool named =
        equals != std::string::npos && graph.find(given.substr(0, equals)) != nullptr;
    if (!named && graph.inputs().size() != 1) {
      return fail(Code::kInvalidArgument, "--input " + given +
                                              ": say which input it is for, NAME=" +
                                              "FILE; the model takes " + input_names(graph));
    }
    files[named ? given.substr(0, equals) : graph.inputs()[0]->name()] =
        named ? given.substr(equals + 1) : given;
  }
  return files;
}

}  // namespace

void add_input_options(CLI::App& command, InputOptions& options) {
  command.add_option("--input", options.files,
                     "NAME=FILE.npy, or FILE.npy for the only input; repeatable");
  command.add_option("--data", options.directory, "Folder with NAME.npy for inputs")
      ->check(CLI::ExistingDirectory);
  command.add_flag("--random", options.random,
                   "Make up the inputs that are not given; open dimensions are 1");
  command.add_option("--seed", options.seed, "Of what is made up")->capture_default_str();
}

Result<std::vector<tensor::Tensor>> inputs_for(const graph::Graph& graph,
                                               const InputOptions& options) {
  SKERRY_ASSIGN(const auto files, files_by_name(graph, options));
  std::mt19937_64 random(options.seed);
  std::vector<tensor::Tensor> inputs;
  for (const auto& input : graph.inputs()) {
    const auto file = files.find(input->name());
    if (file == files.end() && !options.random) {
      return fail(Code::kInvalidArgument, "the input '" + input->name() + "' (" +
                                              to_string(input->type()) +
                                              ") is not given: use --input, --data or --random");
    }
    SKERRY_ASSIGN(tensor::Tensor tensor,
                  file == files.end() ? made_up(*input, random) : read_npy(file->second));
    tensor.name = input->name();
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

namespace {

std::string scaled(double value, double step, std::initializer_list<const char*> units) {
  const char* unit = "";
  for (const char* next : units) {
    if (value < step) break;
    value /= step;
    unit = next;
  }
  char text[32];
  std::snprintf(text, sizeof text, *unit == '\0' ? "%.0f%s" : "%.2f%s", value, unit);
  return text;
}

}  // namespace

std::string count_text(int64_t count) {
  return scaled(static_cast<double>(count), 1000, {" k", " M", " G", " T"});
}

std::string bytes_text(int64_t bytes) {
  const std::string text =
      scaled(static_cast<double>(bytes), 1024, {" KiB", " MiB", " GiB", " TiB"});
  return bytes < 1024 ? text + " B" : text;
}

std::string contract_of(const graph::Graph& graph) {
  using nlohmann::json;
  const auto spec = [](const graph::Value& value) {
    json shape = json::array();
    for (const graph::Dim& dim : value.type().shape.value_or(graph::Shape())) {
      shape.push_back(dim.is_fixed() ? dim.size() : -1);
    }
    return json{{"name", value.name()},
                {"datatype", tensor::name_of(value.type().element)},
                {"shape", shape}};
  };
  json contract = {{"inputs", json::array()}, {"outputs", json::array()}};
  for (const auto& input : graph.inputs()) contract["inputs"].push_back(spec(*input));
  for (const graph::Value* output : graph.outputs()) contract["outputs"].push_back(spec(*output));
  return contract.dump(1) + "\n";
}

}  // namespace skerry::cli
