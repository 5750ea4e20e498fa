// What callers of an artifact see, where that is not the graph's inputs and outputs as they are.
#include "compile/interface.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <skerry/compiled_model.h>

#include <array>

#include "compile/compile_testing.h"
#include "compile/compiler.h"
#include "graph/text.h"
#include "runtime/compiled/artifact.h"
#include "runtime/compiled/compiled_runtime.h"

namespace skerry::compile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Two states that change places, and a third that is summed up at one rate.
constexpr const char* kStream = R"(graph "stream" {
input %x: FP32[n,2]
input %a: FP32[1,2]
input %b: FP32[1,2]
input %sum: FP32[1,2]
input %rate: INT64[]
const %wanted = INT64[] {16000}
const %half = FP32[] {0.5}
%is_wanted = Equal(%rate, %wanted)
%less = If(%is_wanted)
graph "then" {
%halved = Mul(%sum, %half)
return %halved
}
graph "else" {
return %sum
}
%next_sum = Add(%less, %x)
%next_a = Identity(%b)
%next_b = Identity(%a)
%y = Add(%next_sum, %a)
return %y, %next_a, %next_b, %next_sum
})";

Result<Compiled> compiled(const InterfaceOptions& interface) {
  const auto graph = graph::parse_text(kStream);
  if (!graph) return fail(graph.error());
  return compile(**graph, {.targets = {*find_target("native")}, .interface = interface});
}

const InterfaceOptions kAll = {.shapes = {{"x", {1, 2}}},
                               .values = {{"rate", 16000}},
                               .states = {{"a", "next_a"}, {"b", "next_b"}, {"sum", "next_sum"}}};

TEST(Interface, StateStaysFromRunToRun) {
  const auto artifact = compiled(kAll);
  ASSERT_TRUE(artifact) << artifact.error().message();
  EXPECT_EQ(artifact->report.checked, "equal to the reference executor's results");
  auto memory = runtime::MemoryFile::copy_of(artifact->artifact);
  const auto library = runtime::CompiledLibrary::load(*memory);
  ASSERT_TRUE(library) << library.error().message();
  const SkerryCompiledModel& model = library->model();
  ASSERT_EQ(model.input_count, 2u);
  EXPECT_STREQ(model.inputs[1].name, "rate");
  ASSERT_EQ(model.output_count, 1u);
  ASSERT_EQ(model.state_count, 3u);
  EXPECT_STREQ(model.states[2].name, "sum");
  EXPECT_STREQ(model.states[2].next_name, "next_sum");
  EXPECT_EQ(model.state_bytes, 3u * 64);

  tensor::Bytes arena(model.arena_bytes), state(model.state_bytes), other(model.state_bytes);
  model.bind(arena.data());
  model.reset(state.data());
  model.reset(other.data());
  const std::array<float, 2> first = {10, 20};  // of state a
  std::memcpy(state.data() + model.states[0].offset, first.data(), sizeof first);
  const std::array<float, 2> x = {1, 2};
  std::array<float, 2> y = {};
  int64_t rate = 16000;
  const void* inputs[] = {x.data(), &rate};
  void* outputs[] = {y.data()};
  const auto run = [&](tensor::Bytes& with) {
    return model.run(arena.data(), with.data(), inputs, outputs);
  };
  EXPECT_EQ(run(state), SKERRY_COMPILED_OK);
  EXPECT_THAT(y, ElementsAre(11, 22));
  EXPECT_EQ(run(other), SKERRY_COMPILED_OK);  // another stream between the two
  EXPECT_THAT(y, ElementsAre(1, 2));
  EXPECT_EQ(run(state), SKERRY_COMPILED_OK);
  EXPECT_THAT(y, ElementsAre(1.5, 3));  // a and b have changed places
  EXPECT_EQ(run(state), SKERRY_COMPILED_OK);
  EXPECT_THAT(y, ElementsAre(11.75, 23.5));
  rate = 8000;
  EXPECT_EQ(run(state), SKERRY_COMPILED_BAD_VALUE);
  rate = 16000;
  EXPECT_TRUE(runtime::self_check(model));
  model.reset(state.data());
  EXPECT_EQ(run(state), SKERRY_COMPILED_OK);
  EXPECT_THAT(y, ElementsAre(1, 2));
}

TEST(Interface, RefusesWhatDoesNotFit) {
  const auto refusal = [](const InterfaceOptions& options) {
    const auto result = compiled(options);
    return result ? "was accepted" : result.error().message();
  };
  EXPECT_THAT(refusal({}), HasSubstr("If 'less': which subgraph runs"));
  const auto with = [](const auto& change) {
    InterfaceOptions options = kAll;
    change(options);
    return options;
  };
  EXPECT_THAT(refusal(with([](auto& o) { o.shapes = {{"z", {1, 2}}}; })),
              HasSubstr("no input 'z'; it has 'x', 'a'"));
  EXPECT_THAT(refusal(with([](auto& o) { o.shapes = {{"x", {1, 3}}}; })),
              HasSubstr("[1,3] is no shape of it"));
  EXPECT_THAT(refusal(with([](auto& o) { o.shapes = {{"x", {2}}}; })), HasSubstr("no shape of it"));
  EXPECT_THAT(refusal(with([](auto& o) { o.shapes = {{"x", {0, 2}}}; })),
              HasSubstr("no shape of it"));
  EXPECT_THAT(refusal(with([](auto& o) { o.values = {{"rate", 0.5}}; })),
              HasSubstr("0.5 is no value of the input 'rate'"));
  EXPECT_THAT(refusal(with([](auto& o) { o.values = {{"rate", 1e30}}; })),
              HasSubstr("no value of"));
  EXPECT_THAT(refusal(with([](auto& o) { o.states = {{"a", "y2"}}; })),
              HasSubstr("no output 'y2'; it has 'y', 'next_a'"));
  EXPECT_THAT(refusal(with([](auto& o) { o.states = {{"rate", "y"}}; })),
              HasSubstr("state has one type"));
  EXPECT_THAT(refusal(with([](auto& o) { o.states = {{"a", "y"}, {"b", "y"}}; })),
              HasSubstr("is named twice"));
}

}  // namespace
}  // namespace skerry::compile
