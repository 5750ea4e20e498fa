// Compiles, runs, compares.
#include "compile/compile_testing.h"

#include <gtest/gtest.h>
#include <skerry/compiled_model.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>

#include "compile/compiler.h"
#include "compile/toolchain.h"
#include "graph/evaluation.h"
#include "graph/executor.h"
#include "graph/text.h"
#include "io/blocking_process.h"
#include "io/test_directory.h"
#include "runtime/compiled/artifact.h"
#include "runtime/compiled/compiled_runtime.h"
#include "test_paths.h"

namespace skerry::compile {

using graph::Graph;
using tensor::Tensor;

std::unique_ptr<Graph> parse(const std::string& text) {
  std::string parts[3];
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t kind = line.starts_with("const ")                                 ? 1
                        : line.starts_with("graph ") || line.starts_with("input ") ? 0
                                                                                   : 2;
    parts[kind] += line + "\n";
  }
  auto graph = graph::parse_text(parts[0] + parts[1] + parts[2]);
  EXPECT_TRUE(graph) << graph.error().message();
  return graph ? std::move(*graph) : nullptr;
}

namespace {

// Inputs from a seed: floats from -1 to 1, any byte, 0 and 1 for other integers.
std::vector<Tensor> inputs_for(const Graph& graph, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Tensor> inputs;
  for (const auto& input : graph.inputs()) {
    auto array =
        *graph::Array::make(input->type().element, *graph::sizes_of(input->type()), 1u << 30);
    if (array.type == tensor::DataType::kFp32) {
      for (float& x : array.as<float>()) x = std::uniform_real_distribution<float>(-1, 1)(random);
    } else {
      const size_t size = graph::Array::element_size(array.type);
      for (size_t i = 0; i < array.count(); ++i) {
        array.bytes[i * size] = std::byte(size == 1 ? random() : random() % 2);
      }
    }
    inputs.push_back(array.to_tensor(input->name()));
  }
  return inputs;
}

// What an artifact computes.
std::vector<Tensor> run_artifact(const std::string& artifact, const Graph& graph,
                                 const std::vector<Tensor>& inputs,
                                 const std::vector<Tensor>& like) {
  auto memory = runtime::MemoryFile::copy_of(artifact);
  EXPECT_TRUE(memory);
  auto library = runtime::CompiledLibrary::load(*memory);
  EXPECT_TRUE(library) << library.error().message();
  if (!library) return {};
  const SkerryCompiledModel& model = library->model();
  EXPECT_EQ(model.input_count, graph.inputs().size());
  tensor::Bytes arena(model.arena_bytes, std::byte{0x5a});
  model.bind(arena.data());
  std::vector<const void*> from;
  for (const Tensor& each : inputs) from.push_back(each.bytes.data());
  std::vector<Tensor> outputs = like;
  std::vector<void*> to;
  // Twice: what the first run leaves in the arena does not matter.
  for (int i = 0; i < 2; ++i) {
    to.clear();
    for (Tensor& each : outputs) {
      std::ranges::fill(each.bytes, std::byte{0x77});
      to.push_back(each.bytes.data());
    }
    EXPECT_EQ(model.run(arena.data(), nullptr, from.data(), to.data()), SKERRY_COMPILED_OK);
  }
  return outputs;
}

void expect_equal(const Tensor& got, const Tensor& want, const std::string& what) {
  if (!tensor::is_float(want.type)) {
    EXPECT_EQ(got.bytes, want.bytes) << what << " " << want.name;
    return;
  }
  const auto left = graph::Array::from(got.view()).to_doubles();
  const auto right = graph::Array::from(want.view()).to_doubles();
  double largest = 1e-3;
  for (const double x : right) largest = std::max(largest, std::isfinite(x) ? std::abs(x) : 0);
  for (size_t i = 0; i < left.size(); ++i) {
    if (std::isnan(right[i]) ? std::isnan(left[i]) : left[i] == right[i]) continue;
    ASSERT_NEAR(left[i], right[i], 1e-5 * largest) << what << " " << want.name << "[" << i << "]";
  }
}

// What is compiled, by the reference executor, against what was given: bytes are `steps` apart at
// most, and that seldom. Reals behind them are another matter.
void expect_close(const Tensor& got, const Tensor& want, int64_t steps, bool is_quantised) {
  EXPECT_EQ(got.name, want.name);
  ASSERT_EQ(got.shape, want.shape);
  if (tensor::is_float(want.type)) {
    if (!is_quantised) expect_equal(got, want, "as it was:");
    return;
  }
  const auto left = graph::Array::from(got.view()).to_ints();
  const auto right = graph::Array::from(want.view()).to_ints();
  size_t apart = 0;
  for (size_t i = 0; i < left.size(); ++i) {
    ASSERT_LE(std::abs(left[i] - right[i]), steps) << want.name << "[" << i << "]";
    apart += left[i] != right[i] ? 1 : 0;
  }
  EXPECT_LE(apart, 1 + left.size() / (steps > 1 ? 10 : 20)) << want.name;
}

// In nightly tests these stand for all others: one for each kind of kernels that are not for
// x86-64.
std::vector<const Target*> emulated() {
  return {*find_target("cortex-a53"), *find_target("cortex-a76"), *find_target("riscv64")};
}
bool is_cross_test() {
  return std::getenv("SKERRY_TEST_CROSS") != nullptr;
}

}  // namespace

std::vector<const Target*> targets_here() {
  if (is_cross_test()) return emulated();
  std::vector<const Target*> result;
  for (const Target& target : targets()) {
    if ((target.cpu_features & ~(*find_target("native"))->cpu_features) == 0) {
      result.push_back(&target);
    }
  }
  return result;
}

std::vector<const Target*> native() {
  if (is_cross_test()) return emulated();
  return {*find_target("native")};
}

namespace {

// What the model in the folder that --keep-source leaves computes under the target's emulator.
std::vector<Tensor> run_emulated(const std::string& folder, const Target& target,
                                 const std::vector<Tensor>& inputs,
                                 const std::vector<Tensor>& like) {
  {
    std::ofstream file(folder + "/inputs", std::ios::binary);
    for (const Tensor& each : inputs) {
      file.write(reinterpret_cast<const char*>(each.bytes.data()),
                 static_cast<std::streamsize>(each.bytes.size()));
    }
  }
  const auto run = [&](std::vector<std::string> words) {
    const auto done = io::run_process({.argv = std::move(words),
                                       .environment = {{"PATH", std::getenv("PATH")}},
                                       .working_directory = folder},
                                      1 << 12, {});
    EXPECT_TRUE(done && done->status.ok()) << target.name << ": " << (done ? done->err : "");
  };
  const std::string program = SKERRY_SOURCE_DIR "/src/compile/testdata/run_model.c";
  run({std::string(target.compiler), "-w", "-static", "-I.", program, "model.o", "-o",
       "run_model"});
  run({std::string(target.emulator), "./run_model", "inputs", "outputs"});
  std::ifstream file(folder + "/outputs", std::ios::binary);
  std::vector<Tensor> outputs = like;
  for (Tensor& each : outputs) {
    file.read(reinterpret_cast<char*>(each.bytes.data()),
              static_cast<std::streamsize>(each.bytes.size()));
  }
  EXPECT_TRUE(file) << target.name;
  return outputs;
}

}  // namespace

void check(const std::string& text, const std::vector<const Target*>& on, int64_t steps) {
  const auto graph = parse(text);
  ASSERT_NE(graph, nullptr);
  const auto prepared = prepare(*graph);
  ASSERT_TRUE(prepared) << prepared.error().message();
  const auto inputs = inputs_for(*prepared->graph, 7);
  const auto want = graph::Executor(*prepared->graph).run(tensor::views_of(inputs));
  ASSERT_TRUE(want) << want.error().message();
  const auto original = graph::Executor(*graph).run(tensor::views_of(inputs));
  ASSERT_TRUE(original) << original.error().message();
  const bool is_quantised =
      text.find("QuantizeLinear") != text.npos || text.find("QLinear") != text.npos;
  for (size_t i = 0; i < want->size(); ++i) {
    expect_close((*want)[i], (*original)[i], steps, is_quantised);
  }
  for (const Target* target : on) {
    const bool is_emulated = !target->emulator.empty();
    if (is_emulated && !(is_program(target->compiler) && is_program(target->emulator))) {
      GTEST_SKIP() << "no compilers for other processors: ./dev setup cross";
    }
    const io::ScratchDirectory folder;
    const auto compiled =
        compile(*graph, {.targets = {target}, .keep_source = is_emulated ? folder.path() : ""});
    ASSERT_TRUE(compiled) << target->name << ": " << compiled.error().message();
    EXPECT_EQ(compiled->report.checked,
              "equal to the reference executor's results" +
                  (is_emulated ? ", under " + std::string(target->emulator) : ""));
    const auto got = is_emulated
                         ? run_emulated(folder.path(), *target, inputs, *want)
                         : run_artifact(compiled->artifact, *prepared->graph, inputs, *want);
    ASSERT_EQ(got.size(), want->size());
    for (size_t i = 0; i < got.size(); ++i) {
      expect_equal(got[i], (*want)[i], std::string(target->name));
    }
  }
}

namespace {

// A constant with an element of each draw.
std::string constant(const std::string& name, const std::string& type,
                     const std::vector<int64_t>& shape, const std::function<std::string()>& draw) {
  size_t count = 1;
  std::string text = "const %" + name + " = " + type + "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? "," : "") + std::to_string(shape[i]);
    count *= static_cast<size_t>(shape[i]);
  }
  text += "] {";
  for (size_t i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + draw();
  return text + "}\n";
}

}  // namespace

std::string numbers(const std::string& name, const std::vector<int64_t>& shape, unsigned seed) {
  std::mt19937 random(seed);
  return constant(name, "FP32", shape, [&] {
    return std::to_string(std::uniform_real_distribution<float>(-0.5, 0.5)(random));
  });
}

std::string integers(const std::string& name, const std::string& type,
                     const std::vector<int64_t>& shape, int low, int high, unsigned seed) {
  std::mt19937 random(seed);
  return constant(name, type, shape, [&] {
    return std::to_string(std::uniform_int_distribution<int>(low, high)(random));
  });
}

}  // namespace skerry::compile
