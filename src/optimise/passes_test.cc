// Every pass on graphs as text: testdata/passes/*.txt say what becomes of them, and the reference
// executor says that it computes the same. SKERRY_WRITE_EXPECTED=1 writes what comes out into the
// files, for people to read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "graph/executor.h"
#include "graph/inference.h"
#include "graph/text.h"
#include "optimise/names.h"
#include "optimise/pass.h"
#include "test_paths.h"

namespace skerry::optimise {
namespace {

using graph::Constant;
using graph::DataType;
using testing::HasSubstr;

std::unique_ptr<graph::Graph> parsed(const std::string& text) {
  auto graph = graph::parse_text(text);
  EXPECT_TRUE(graph) << graph.error().message() << "\n" << text;
  return graph ? std::move(*graph) : nullptr;
}

struct Case {
  std::string pass, title, before, after;  // `after` empty: the graph stays as it is
};

// "case PASS: title", the graph, "becomes" and the other graph, or "stays".
std::vector<Case> read_cases(const std::filesystem::path& path) {
  std::vector<Case> cases;
  std::ifstream file(path);
  std::string line;
  std::string* text = nullptr;
  while (std::getline(file, line)) {
    if (line.starts_with("case ")) {
      const size_t colon = line.find(':');
      cases.push_back({line.substr(5, colon - 5), line.substr(colon + 2), "", ""});
      text = &cases.back().before;
    } else if (line == "becomes") {
      text = &cases.back().after;
    } else if (line != "stays" && text != nullptr) {
      *text += line + "\n";
    }
  }
  return cases;
}

void write_cases(const std::filesystem::path& path, const std::vector<Case>& cases) {
  std::ofstream file(path);
  for (const Case& one : cases) {
    file << "case " << one.pass << ": " << one.title << "\n" << one.before;
    file << (one.after.empty() ? "stays\n" : "becomes\n" + one.after);
  }
}

// Normal floats, integers of 0 and 1; open dimensions are 2.
std::vector<tensor::Tensor> made_up_inputs(const graph::Graph& graph, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0, 2);
  std::vector<tensor::Tensor> inputs;
  for (const auto& input : graph.inputs()) {
    std::vector<int64_t> shape;
    for (const graph::Dim& dim : *input->type().shape) {
      shape.push_back(dim.is_fixed() ? dim.size() : 2);
    }
    const auto zeros = [&](tensor::DataType type) {
      auto made = graph::Array::make(type, shape, 1 << 20);
      EXPECT_TRUE(made);
      return std::move(*made);
    };
    graph::Array wide = zeros(tensor::DataType::kFp64);
    for (double& value : wide.as<double>()) value = normal(random);
    if (tensor::is_float(input->type().element)) {
      inputs.push_back(convert_float(wide, input->type().element).to_tensor(input->name()));
      continue;
    }
    const size_t size = graph::Array::element_size(input->type().element);
    graph::Array integers = zeros(input->type().element);
    for (size_t i = 0; i < integers.count(); ++i)
      integers.bytes[i * size] = std::byte(random() % 2);
    inputs.push_back(integers.to_tensor(input->name()));
  }
  return inputs;
}

void expect_same_results(const graph::Graph& before, const graph::Graph& after) {
  for (const uint64_t seed : {1, 2, 3}) {
    const auto inputs = made_up_inputs(before, seed);
    const auto wanted = graph::Executor(before).run(tensor::views_of(inputs));
    const auto given = graph::Executor(after).run(tensor::views_of(inputs));
    ASSERT_TRUE(wanted) << wanted.error().message();
    ASSERT_TRUE(given) << given.error().message() << "\n" << to_text(after);
    ASSERT_EQ(wanted->size(), given->size());
    for (size_t i = 0; i < wanted->size(); ++i) {
      EXPECT_EQ((*wanted)[i].name, (*given)[i].name);
      EXPECT_EQ((*wanted)[i].shape, (*given)[i].shape);
      const auto x = graph::Array::from((*wanted)[i].view()).to_doubles();
      const auto y = graph::Array::from((*given)[i].view()).to_doubles();
      for (size_t k = 0; k < x.size(); ++k) ASSERT_NEAR(x[k], y[k], 1e-5 * (1 + std::abs(x[k])));
    }
  }
}

std::vector<std::filesystem::path> case_files() {
  std::vector<std::filesystem::path> files;
  const std::string folder = SKERRY_SOURCE_DIR "/src/optimise/testdata/passes";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

class PassCases : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(PassCases, DoWhatTheyShouldAndKeepTheResult) {
  const bool write = std::getenv("SKERRY_WRITE_EXPECTED") != nullptr;
  std::vector<Case> cases = read_cases(GetParam());
  ASSERT_FALSE(cases.empty());
  for (Case& one : cases) {
    SCOPED_TRACE(one.pass + ": " + one.title);
    const auto before = parsed(one.before);
    ASSERT_TRUE(before);
    const auto after = before->clone();
    const auto reports = run_passes(*after, {.only = {one.pass}});
    ASSERT_TRUE(reports) << reports.error().message();
    const std::string text = to_text(*after);
    if (one.after.empty()) {
      EXPECT_EQ(text, to_text(*before));
      EXPECT_EQ((*reports)[0].changes, 0u);
      continue;
    }
    EXPECT_GT((*reports)[0].changes, 0u);
    if (write) {
      one.after = text;
    } else {
      EXPECT_EQ(text, one.after);
    }
    expect_same_results(*before, *after);
  }
  if (write) write_cases(GetParam(), cases);
}

INSTANTIATE_TEST_SUITE_P(Text, PassCases, testing::ValuesIn(case_files()), [](const auto& test) {
  std::string name = test.param.stem().string();
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST(Passes, EachHasACaseThatChangesSomething) {
  std::set<std::string, std::less<>> seen;
  for (const auto& path : case_files()) {
    for (const Case& one : read_cases(path)) {
      if (!one.after.empty()) seen.insert(one.pass);
    }
  }
  for (const Pass& pass : passes()) {
    EXPECT_TRUE(seen.contains(pass.name)) << pass.name << " has no case in testdata/passes";
  }
}

constexpr const char* kChain = R"(graph "chain" {
  input %x: FP32[n,4]
  const %one = FP32[] {1}
  %a: FP32[n,4] = Mul(%x, %one) "a"
  %b: FP32[n,4] = Identity(%a) "b"
  %y: FP32[n,4] = Relu(%b) "y"
  return %y
}
)";

TEST(Passes, RunByNameAndSayWhatTheyDid) {
  const auto graph = parsed(kChain);
  const auto reports = run_passes(*graph);
  ASSERT_TRUE(reports) << reports.error().message();
  EXPECT_EQ(graph->nodes().size(), 1u);
  const auto no_ops = std::ranges::find(*reports, "remove-no-ops", &PassReport::name);
  ASSERT_NE(no_ops, reports->end());
  EXPECT_EQ(no_ops->changes, 1u);
  EXPECT_EQ(no_ops->nodes_removed, 1);
  EXPECT_EQ(std::ranges::count(*reports, "decompose-gelu", &PassReport::name), 0);

  const auto kept = parsed(kChain);
  ASSERT_TRUE(run_passes(*kept, {.without = {"remove-no-ops"}}));
  EXPECT_EQ(kept->nodes().size(), 2u);
  const auto also = run_passes(*kept, {.also = {"decompose-gelu"}});
  EXPECT_EQ(std::ranges::count(*also, "decompose-gelu", &PassReport::name), 1);
  EXPECT_THAT(run_passes(*kept, {.without = {"magic"}}).error().message(),
              HasSubstr("there is no pass 'magic'; there are infer-shapes, "));
}

// The runner looks at the graph after each pass, so that what breaks it is named.
TEST(Passes, OneThatBreaksTheGraphIsNamed) {
  constexpr Pass kBroken[] = {{"cut", "forgets an input", [](graph::Graph& graph) {
                                 graph.nodes().front()->set_input(0, nullptr);
                                 return Result<size_t>(1);
                               }}};
  const auto graph = parsed(kChain);
  const auto message = run_passes(*graph, {}, kBroken).error().message();
  EXPECT_THAT(message, HasSubstr("pass cut broke the graph"));
  EXPECT_THAT(message, HasSubstr("Mul 'a'"));

  constexpr Pass kRenames[] = {{"rename", "changes an output's name", [](graph::Graph& changed) {
                                  changed.swap_names(*changed.find("y"), *changed.find("b"));
                                  return Result<size_t>(1);
                                }}};
  const auto renamed = parsed(kChain);
  EXPECT_THAT(run_passes(*renamed, {}, kRenames).error().message(),
              HasSubstr("pass rename broke the graph: the names or types"));
}

// ONNX Runtime refuses a model two of whose nodes have one name.
TEST(Passes, NodesGetNamesOfTheirOwn) {
  const auto graph = parsed(R"(graph "names" {
  input %x: FP32[2]
  %a = Relu(%x) "node"
  %b = Abs(%a) "node"
  %c = Neg(%b) "node_1"
  %y = Exp(%c) "node"
  return %y
})");
  name_nodes_apart(*graph);
  std::set<std::string> names;
  for (const auto& node : graph->nodes()) names.insert(node->name());
  EXPECT_EQ(names, (std::set<std::string>{"node", "node_1", "node_2", "node_3"}));
}

// Folding would leave a copy behind: the model would grow by it.
TEST(Passes, WeightsThatOthersReadAreNotCopied) {
  graph::Graph graph;
  graph::Value& x =
      graph.add_input("x", {DataType::kFp32, graph::Shape{graph::Dim(1), graph::Dim(64)}});
  graph::Value& w = graph.add_constant(
      "w", Constant::of(DataType::kFp32, {64, 64}, std::vector<float>(4096, 0.5F)));
  graph::Value& exponents = graph.add("Exp", {&w});
  graph::Value& a = graph.add("MatMul", {&x, &exponents});
  graph.add_output(graph.add("MatMul", {&a, &w}, {}, "y"));
  graph::TypeInference inference;
  ASSERT_TRUE(inference.infer(graph));
  ASSERT_TRUE(run_passes(graph, {.only = {"fold-constants"}}));
  EXPECT_EQ(graph.constants().size(), 1u);
  EXPECT_EQ(graph.nodes().size(), 3u);
  // Where nobody else reads them they are replaced.
  graph.nodes().back()->set_input(1, &exponents);
  ASSERT_TRUE(run_passes(graph, {.only = {"fold-constants"}}));
  EXPECT_EQ(graph.nodes().size(), 2u);
}

// What two passes do and undo for ever ends.
TEST(Passes, ThatUndoEachOtherEnd) {
  const auto graph = parsed(R"(graph "softmax" {
  input %x: FP32[n,4]
  %y = Softmax(%x)
  return %y
})");
  ASSERT_TRUE(run_passes(*graph, {.also = {"decompose-softmax"}}));
  EXPECT_TRUE(run_passes(*graph, {.only = {"recognise-softmax"}}));
  EXPECT_EQ(graph->nodes().size(), 1u);
}

}  // namespace
}  // namespace skerry::optimise
