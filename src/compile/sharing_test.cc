// Runs by several threads: the same bits as one thread's, and as those of a model for one.
#include "compile/sharing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <skerry/compiled_model.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <set>

#include "compile/compile_testing.h"
#include "compile/compiler.h"
#include "compile/kernels/check.h"
#include "compile/program.h"
#include "io/blocking_process.h"
#include "io/test_directory.h"
#include "runtime/compiled/artifact.h"
#include "runtime/compiled/compiled_runtime.h"
#include "runtime/compiled/thread_pool.h"
#include "test_paths.h"

namespace skerry::compile {
namespace {

// What the loaded model computes of inputs that it makes up, by so many threads; 0: run().
std::vector<tensor::Bytes> shared_results(const SkerryCompiledModel& model,
                                          const SkerryCompiledPool* pool) {
  tensor::Bytes arena(model.arena_bytes, std::byte{0x5a}), state(model.state_bytes);
  std::vector<tensor::Bytes> inputs, outputs;
  std::vector<const void*> from;
  std::vector<void*> to;
  for (uint32_t i = 0; i < model.input_count; ++i) {
    const auto type = static_cast<tensor::DataType>(model.inputs[i].type);
    inputs.emplace_back(model.inputs[i].size_bytes);
    const size_t size = tensor::size_of(type);
    skerry_kernels::fill_input(inputs.back().data(), inputs.back().size() / size, size,
                               type == tensor::DataType::kFp32 ? 0
                               : size == 1                     ? 1
                                                               : 2,
                               i + 1);
    from.push_back(inputs.back().data());
  }
  for (uint32_t i = 0; i < model.output_count; ++i) {
    outputs.emplace_back(model.outputs[i].size_bytes, std::byte{0x77});
    to.push_back(outputs.back().data());
  }
  model.bind(arena.data());
  for (int i = 0; i < 20; ++i) {  // threads meet in another order each time
    model.reset(state.data());
    const int32_t code =
        pool == nullptr ? model.run(arena.data(), state.data(), from.data(), to.data())
                        : model.run_with(arena.data(), state.data(), from.data(), to.data(), pool);
    EXPECT_EQ(code, SKERRY_COMPILED_OK);
  }
  return outputs;
}

// One task after the other, the last first: all that a caller without threads needs.
const SkerryCompiledPool kBackwards = {
    sizeof(SkerryCompiledPool), 8, nullptr,
    [](void*, uint32_t count, void (*task)(void*, uint32_t), void* data) {
      while (count > 0) task(data, --count);
    }};

// Returns the kernels whose steps were shared.
std::set<std::string> expect_same_bits(const std::string& text, const Target& target,
                                       int max_threads) {
  const auto graph = parse(text);
  if (graph == nullptr) return {};
  std::vector<tensor::Bytes> want;
  std::set<std::string> kernels;
  for (const int most : {1, max_threads}) {
    const auto compiled =
        compile(*graph, {.targets = {&target}, .max_threads = most, .shares_all = true});
    EXPECT_TRUE(compiled) << compiled.error().message();
    if (!compiled) return {};
    const auto memory = runtime::MemoryFile::copy_of(compiled->artifact);
    const auto library = runtime::CompiledLibrary::load(*memory);
    EXPECT_TRUE(library) << library.error().message();
    if (!library) return {};
    for (const StepReport& step : compiled->report.steps) {
      if (step.shares > 1)
        kernels.insert(step.kernel.substr(0, step.kernel.find_first_of(" 0123456789")));
    }
    const SkerryCompiledModel& model = library->model();
    EXPECT_EQ(model.max_threads, static_cast<uint32_t>(most));
    if (most == 1) want = shared_results(model, nullptr);
    EXPECT_EQ(shared_results(model, nullptr), want) << most;
    EXPECT_EQ(shared_results(model, &kBackwards), want) << most;
    for (const uint32_t threads : {1u, 2u, 3u, 8u}) {
      runtime::ThreadPool pool(threads);
      const SkerryCompiledPool lent = pool.lend();
      EXPECT_EQ(shared_results(model, &lent), want) << threads << " of " << most;
    }
  }
  return kernels;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ",") + std::to_string(size);
  return "[" + text + "]";
}

// Every kernel that can be shared, with sizes from a seed: rows, pixels and channels are few or
// many, and odd.
std::string shareable_reals(unsigned seed) {
  std::mt19937 random(seed);
  const auto any = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  const int64_t c = any(1, 40), h = any(8, 19), w = any(8, 19), o = any(1, 90);
  const int64_t rows = any(1, 70), inner = any(3, 200), columns = any(1, 200);
  std::string text = "graph \"g\" {\ninput %x: FP32" + shape_text({1, c, h, w}) +
                     "\ninput %i: FP32" + shape_text({1, 32, h, w}) + "\ninput %m: FP32" +
                     shape_text({rows, inner}) + "\n";
  text += numbers("w1", {o, c, 3, 3}, 1) + numbers("b1", {o}, 2) +
          numbers("w2", {32, 32, 3, 3}, 3) + numbers("w3", {c, 1, 3, 3}, 4) +
          numbers("w4", {o, c, 1, 1}, 5) + numbers("w5", {inner, columns}, 6) +
          numbers("b5", {columns}, 7) + "const %axes = INT64[1] {1}\n";
  text += R"(
%y1 = Conv(%x, %w1, %b1) {pads=[1,1,1,1], strides=[2,1]}
%c2 = Conv(%i, %w2, _) {pads=[1,1,1,1]}
%y2 = Relu(%c2)
%y3 = Conv(%x, %w3, _) {group=)" +
          std::to_string(c) + R"(, pads=[1,1,1,1]}
%y4 = Conv(%x, %w4, %b1)
%p = MatMul(%m, %w5)
%a = Add(%p, %b5)
%y5 = Softmax(%a) {axis=-1}
%t = Transpose(%a) {perm=[1,0]}
%y6 = MatMul(%a, %t)
%y7 = ReduceMean(%y6, %axes)
%y8 = Sigmoid(%y6)
return %y1, %y2, %y3, %y4, %y5, %y6, %y7, %y8
})";
  return text;
}

TEST(Sharing, RealsHaveTheSameBitsForAnyNumberOfThreads) {
  std::vector<std::pair<unsigned, int>> all = {{2, 3}};
  if (std::getenv("SKERRY_TEST_CROSS") != nullptr) all = {{1, 8}, {2, 3}, {4, 5}};  // by night
  for (const auto& [seed, most] : all) {
    SCOPED_TRACE(seed);
    EXPECT_THAT(
        expect_same_bits(shareable_reals(seed), **find_target("native"), most),
        testing::IsSupersetOf({"conv", "depthwise", "winograd", "softmax", "loop", "plain"}));
  }
}

// A convolution between bytes, as text.
std::string byte_layer(const std::string& name, const std::string& from,
                       const std::vector<int64_t>& weights, const std::string& attributes) {
  const std::string w = name + "w";
  return integers(w, "INT8", weights, -127, 127, 3) + "%" + name + "d = DequantizeLinear(%" + from +
         ", %s, %z)\n%" + w + "d = DequantizeLinear(%" + w + ", %ws, _)\n%" + name + "c = Conv(%" +
         name + "d, %" + w + "d, _) {" + attributes + "}\n%" + name + " = QuantizeLinear(%" + name +
         "c, %ys, %z)\n";
}

TEST(Sharing, BytesHaveTheSameBitsForAnyNumberOfThreads) {
  std::string text =
      "graph \"g\" {\ninput %x: UINT8[1,19,13,11]\n"
      "const %s = FP32[] {0.02}\nconst %ws = FP32[] {0.01}\nconst %ys = FP32[] {0.05}\n"
      "const %z = UINT8[] {120}\n";
  text += byte_layer("a", "x", {70, 19, 3, 3}, "pads=[1,1,1,1]") +
          byte_layer("b", "a", {70, 1, 3, 3}, "group=70, pads=[1,1,1,1]") +
          byte_layer("c", "b", {150, 70, 1, 1}, "") + byte_layer("d", "c", {33, 150, 13, 11}, "") +
          "return %c, %d\n}";
  EXPECT_THAT(expect_same_bits(text, **find_target("native"), 3),
              testing::ElementsAre("conv_u", "copy", "depthwise_u"));
}

TEST(Sharing, WhatIsQuantisedAsItRunsHasTheSameBits) {
  const std::string text =
      "graph \"g\" {\ninput %x: FP32[37,67]\ninput %b: UINT8[7,96]\n"
      "const %scale = FP32[] {0.5}\nconst %at = UINT8[] {3}\n" +
      integers("w", "INT8", {67, 200}, -127, 127, 1) +
      "%q, %s, %z = DynamicQuantizeLinear(%x)\n%y1 = MatMulInteger(%q, %w, %z)\n"
      "%y2 = DequantizeLinear(%b, %scale, %at)\n%y3 = QuantizeLinear(%x, %scale, %at)\n"
      "return %y1, %y2, %y3\n}";
  EXPECT_THAT(expect_same_bits(text, **find_target("native"), 3),
              testing::ElementsAre("loop", "product_u"));
}

// With GCC's own sanitizer, in a program of its own: the model is GCC's.
TEST(Sharing, ThreadsOfARunDoNotRace) {
  const auto graph = parse(shareable_reals(3));
  const io::ScratchDirectory folder;
  const auto compiled = compile(*graph, {.targets = {*find_target("x86-64-v3")},
                                         .keep_source = folder.path(),
                                         .flags = {"-fsanitize=thread"},
                                         .check = false,
                                         .max_threads = 3,
                                         .shares_all = true});
  ASSERT_TRUE(compiled) << compiled.error().message();
  std::ofstream(folder.path() + "/inputs") << std::string(1 << 20, '\1');
  for (const auto& words :
       {std::vector<std::string>{
            "g++", "-w", "-O1", "-g", "-fsanitize=thread", "-I.",
            std::string(SKERRY_SOURCE_DIR) + "/src/compile/testdata/run_model.c", "model.o", "-o",
            "run_model"},
        {"./run_model", "inputs", "outputs"}}) {
    const auto done = io::run_process({.argv = words,
                                       .environment = {{"PATH", std::getenv("PATH")}},
                                       .working_directory = folder.path()},
                                      1 << 16, {});
    ASSERT_TRUE(done && done->status.ok()) << words[0] << ": " << (done ? done->err : "");
  }
}

TEST(Sharing, SharesCoverEverythingOnce) {
  for (const int64_t of : {1, 2, 3, 8, 64}) {
    for (const int64_t count : {0, 1, 2, 5, 63, 64, 65, 1000}) {
      for (const int64_t unit : {1, 4, 16}) {
        int64_t next = 0;
        for (int64_t i = 0; i < of; ++i) {
          const Range range = range_of({.number = i, .of = of}, count, unit);
          EXPECT_EQ(range.first, next);
          EXPECT_TRUE(range.first % unit == 0 || range.count == 0);
          next += range.count;
        }
        EXPECT_EQ(next, count);
      }
    }
  }
}

// What no thread makes faster has none, and is what it would be without; what is large has some.
TEST(Sharing, ASmallNetIsTheOneForOneThread) {
  const auto graph = parse("graph \"g\" {\ninput %x: FP32[1,8]\n" + numbers("w", {8, 8}, 1) +
                           "%y = MatMul(%x, %w)\nreturn %y\n}");
  const Target* target = *find_target("native");
  const auto one = compile(*graph, {.targets = {target}});
  const auto two = compile(*graph, {.targets = {target}, .max_threads = 2});
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->artifact, two->artifact);
  EXPECT_EQ(two->report.sharing, "no step is worth a second thread");
}

// What one lucky start says, or a least that most runs are far from, shares nothing.
TEST(Sharing, NoiseSharesNothing) {
  const TurnTimes faster{100, 60, 110, 70}, slower{100, 120, 110, 130};
  const TurnTimes late{100, 60, 110, 130}, alike{100, 98, 110, 108};
  const auto pays = [](TurnTimes most, TurnTimes others, size_t count) {
    std::vector<TurnTimes> starts(8, most);
    std::fill_n(starts.begin(), count, others);
    return threads_pay(starts);
  };
  EXPECT_TRUE(pays(faster, slower, 0));
  EXPECT_TRUE(pays(faster, slower, 1));
  EXPECT_FALSE(pays(faster, slower, 2));
  EXPECT_FALSE(pays(slower, faster, 6));
  EXPECT_FALSE(pays(late, faster, 4));
  EXPECT_FALSE(pays(alike, faster, 4));
  EXPECT_FALSE(threads_pay({}));
}

TEST(Sharing, AModelFromBeforeThereWereThreadsHasOne) {
  SkerryCompiledModel model{};
  model.struct_size = sizeof model;
  model.max_threads = 4;
  EXPECT_EQ(runtime::max_threads(model), 4u);
  model.struct_size = offsetof(SkerryCompiledModel, max_threads);
  EXPECT_EQ(runtime::max_threads(model), 1u);
}

}  // namespace
}  // namespace skerry::compile
