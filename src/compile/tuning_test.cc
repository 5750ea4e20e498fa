// Tuning files, what measuring programs print, and that every way computes the same.
#include "compile/tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/encoding.h"
#include "base/sha256.h"
#include "compile/compile_testing.h"
#include "compile/compiler.h"
#include "compile/layer_measurer.h"

namespace skerry::compile {
namespace {

using testing::HasSubstr;

Tuning example() {
  return {.target = "x86-64-v3",
          .machine = "AMD EPYC 9004",
          .kernels = "0123456789ab",
          .layers = {{"conv fp32 n1 in 8x8x3", {{"rows", {8, 2, 4, 0}}, 1.25, 2}},
                     {"product u8 1x64x10 zeros 30%", {{"sparse", {1, 4}}, 0.5, 0.75}}}};
}

std::string with_digest(const std::string& text) {
  return text + "sha256 " + hex_encode(sha256(text)) + "\n";
}

TEST(Tuning, TheFileIsPlainText) {
  EXPECT_EQ(to_text(example()),
            with_digest("skerry tuning 1\n"
                        "target x86-64-v3\n"
                        "machine AMD EPYC 9004\n"
                        "kernels 0123456789ab\n"
                        "conv fp32 n1 in 8x8x3: rows 8x2x4x0, 1.250 us, 2.000 us before\n"
                        "product u8 1x64x10 zeros 30%: sparse 1x4, 0.500 us, 0.750 us before\n"));
  const auto read = parse_tuning(to_text(example()));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, example());
}

TEST(Tuning, WhatIsCutOrAlteredIsRefused) {
  const std::string text = to_text(example());
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_FALSE(parse_tuning(text.substr(0, i))) << i;
    std::string altered = text;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_FALSE(parse_tuning(altered)) << i;
  }
  EXPECT_FALSE(parse_tuning(text + text));
}

TEST(Tuning, WhatAnotherProgramWroteIsRefusedWithTheReason) {
  const std::string head = "skerry tuning 1\ntarget a\nmachine b\nkernels c\n";
  const std::string layer = "conv: rows 8x2x4x0, 1.250 us, 2.000 us before\n";
  const auto why = [](const std::string& text) {
    const auto read = parse_tuning(text);
    return read ? "it is read" : read.error().message();
  };
  EXPECT_EQ(why(with_digest(head + layer)), "it is read");
  EXPECT_THAT(why("\x08\x07\x12\x07pytorch"), HasSubstr("does not begin with 'skerry tuning'"));
  EXPECT_THAT(why(with_digest("skerry tuning 2\n")), HasSubstr("another version than 1"));
  EXPECT_THAT(why(with_digest("skerry tuning 1\nmachine b\n")), HasSubstr("'target …'"));
  EXPECT_THAT(why(with_digest(head + layer + layer)), HasSubstr("not in order"));
  EXPECT_THAT(why(std::string(2 << 20, 'x')), HasSubstr("larger than 1 MiB"));
  for (const char* bad :
       {"conv: rows 8x2x4x0, 1.250 us\n", "conv: rows 08x2x4x0, 1.250 us, 2.000 us before\n",
        "conv: magic 8, 1.250 us, 2.000 us before\n",
        "conv: rows 8x2x4x0, nan us, 2.000 us before\n",
        "conv: rows 8x2x4x0, 1.25 us, 2.000 us before\n",
        "conv: rows 8x2x4x0, -1.250 us, 2.000 us before\n",
        "conv: rows 8x2x4x9999, 1.250 us, 2.000 us before\n",
        "Conv!: rows 8x2x4x0, 1.250 us, 2.000 us before\n", "\n"}) {
    EXPECT_THAT(why(with_digest(head + bad)), HasSubstr("no layer with its way")) << bad;
  }
}

TEST(Tuning, TimesOfAnotherMachineAreLookedAt) {
  const std::string good = "machine Raspberry Pi\n0 0 1500.0\n0 1 20.0\n1 0 3.5\n1 1 -2.0\nend\n";
  const auto times = parse_times(good, 2, 2);
  ASSERT_TRUE(times);
  EXPECT_EQ(times->machine, "Raspberry Pi");
  EXPECT_EQ(times->us, (std::vector<std::vector<double>>{{1.5, 0.02}, {0.0035, 0.001}}));
  EXPECT_EQ(parse_times("machine \x01\xc3\xbc\n0 0 1\nend\n", 1, 1)->machine, "???");
  for (size_t i = 0; i < good.size() - 1; ++i) EXPECT_FALSE(parse_times(good.substr(0, i), 2, 2));
  for (const char* bad : {"machine a\n0 0 nan\nend\n", "machine a\n0 1 5\nend\n", "0 0 5\nend\n",
                          "machine a\n0 0 5\nend\nmore", "machine a\n0 0 1e300\nend\n",
                          "machine a\n0 0 inf\nend\n"}) {
    EXPECT_FALSE(parse_times(bad, 1, 1)) << bad;
  }
}

// A layer of each kind, with odd sizes.
std::string layers_of_all_kinds() {
  std::string text =
      "graph \"g\" {\ninput %x: FP32[1,32,9,7]\ninput %m: FP32[19,40]\n"
      "const %s = FP32[] {0.02}\nconst %ws = FP32[] {0.01}\nconst %z = UINT8[] {120}\n";
  text += numbers("w1", {48, 32, 3, 3}, 1) + numbers("w2", {21, 48, 3, 3}, 2) +
          numbers("w3", {21, 1, 3, 3}, 3) + numbers("w4", {40, 37}, 4) +
          integers("w5", "INT8", {23, 21, 3, 3}, -127, 127, 5) +
          integers("w6", "INT8", {23, 1, 3, 3}, -127, 127, 6) +
          integers("w7", "INT8", {40, 50}, -127, 127, 7) +
          integers("w8", "INT8", {36, 32, 1, 1}, -1, 0, 8) + R"(
%c1 = Conv(%x, %w1, _) {pads=[1,1,1,1]}
%r1 = Relu(%c1)
%c2 = Conv(%r1, %w2, _) {pads=[1,1,1,1], strides=[2,1]}
%c3 = Conv(%c2, %w3, _) {pads=[1,1,1,1], group=21}
%y1 = MatMul(%m, %w4)
%q = QuantizeLinear(%c3, %s, %z)
%d = DequantizeLinear(%q, %s, %z)
%w5d = DequantizeLinear(%w5, %ws, _)
%c5 = Conv(%d, %w5d, _) {pads=[1,1,1,1]}
%q5 = QuantizeLinear(%c5, %s, %z)
%d5 = DequantizeLinear(%q5, %s, %z)
%w6d = DequantizeLinear(%w6, %ws, _)
%c6 = Conv(%d5, %w6d, _) {pads=[1,1,1,1], group=23}
%y2 = QuantizeLinear(%c6, %s, %z)
%dq, %ds, %dz = DynamicQuantizeLinear(%m)
%y3 = MatMulInteger(%dq, %w7, %dz)
%w8d = DequantizeLinear(%w8, %ws, _)
%xq = QuantizeLinear(%x, %s, %z)
%xd = DequantizeLinear(%xq, %s, %z)
%c8 = Conv(%xd, %w8d, _)
%y4 = QuantizeLinear(%c8, %s, %z)
return %c3, %y1, %y2, %y3, %y4
})";
  return text;
}

// Whatever the tuning says, the results are those of the reference executor: the build's own check
// sees to that, and so ways are drawn and built. By night, for other machines, too.
TEST(Compile, EveryWayOfALayerComputesTheSame) {
  const auto graph = parse(layers_of_all_kinds());
  ASSERT_NE(graph, nullptr);
  for (const Target* target : native()) {
    if (!is_program(target->compiler)) GTEST_SKIP() << "no compiler for " << target->name;
    const auto prepared = prepare(*graph);
    ASSERT_TRUE(prepared);
    const auto program = lower(*prepared->graph, prepared->interface, *target);
    ASSERT_TRUE(program) << program.error().message();
    std::set<std::string> kinds;
    std::mt19937 random(11);
    Tuning tuning{.target = std::string(target->name)};
    for (const Choice& choice : (*program)->choices) {
      EXPECT_EQ(std::set(choice.ways.begin(), choice.ways.end(),
                         [](const Way& a, const Way& b) { return a.text() < b.text(); })
                    .size(),
                choice.ways.size())
          << choice.layer;
      for (const Way& way : choice.ways) {
        EXPECT_EQ(parse_way(way.text()), way);
        kinds.insert(way.name);
      }
      const Way& any = choice.ways[random() % choice.ways.size()];
      tuning.layers[choice.layer] = {any, 1, 1};
    }
    EXPECT_THAT(kinds, testing::IsSupersetOf({"rows", "taps", "depthwise", "winograd"}));
    // What is no way of the layer is not taken.
    tuning.layers["conv of another model"] = {{"rows", {4, 1, 1, 0}}, 1, 1};
    const auto compiled = compile(*graph, {.targets = {target}, .tunings = {tuning}});
    ASSERT_TRUE(compiled) << target->name << ": " << compiled.error().message();
    EXPECT_THAT(compiled->report.checked, HasSubstr("equal to the reference executor's results"));
    size_t tuned = 0;
    for (const StepReport& step : compiled->report.steps) tuned += step.is_tuned ? 1 : 0;
    EXPECT_EQ(tuned, (*program)->choices.size());
    EXPECT_THAT(compiled->report.tuning, HasSubstr("8 of 8 layers"));
  }
}

TEST(Tuning, OfAnotherTargetIsRefused) {
  const auto graph = parse("graph \"g\" {\ninput %x: FP32[1,8]\n" + numbers("w", {8, 8}, 1) +
                           "%y = MatMul(%x, %w)\nreturn %y\n}");
  const Target* target = *find_target("native");
  const auto why = [&](std::vector<Tuning> tunings) {
    const auto compiled = compile(*graph, {.targets = {target}, .tunings = std::move(tunings)});
    return compiled ? "it is compiled" : compiled.error().message();
  };
  EXPECT_THAT(why({{.target = "riscv64"}}), HasSubstr("the tuning is for riscv64, and the model"));
  const Tuning own{.target = std::string(target->name)};
  EXPECT_THAT(why({own, own}), HasSubstr("there are two tunings"));
}

}  // namespace
}  // namespace skerry::compile
