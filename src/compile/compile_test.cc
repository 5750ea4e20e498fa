// Compiled models against the reference executor, through the C interface of an artifact.
#include "compile/compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <skerry/compiled_model.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <random>

#include "compile/compile_testing.h"
#include "runtime/compiled/artifact.h"
#include "runtime/compiled/compiled_runtime.h"

namespace skerry::compile {
namespace {

TEST(Compile, ConvolutionsOfEveryKind) {
  std::string text =
      "graph \"convs\" {\n"
      "input %image: FP32[1,3,9,11]\n"
      "input %x: FP32[2,8,7,5]\n"
      "input %line: FP32[1,6,13]\n";
  text += numbers("w1", {5, 3, 3, 3}, 1) + numbers("b1", {5}, 2) + numbers("w2", {20, 8, 1, 1}, 3) +
          numbers("w3", {8, 1, 3, 3}, 4) + numbers("b3", {8}, 5) + numbers("w4", {6, 4, 3, 2}, 6) +
          numbers("w5", {70, 8, 3, 3}, 7) + numbers("w6", {7, 6, 4}, 8) +
          numbers("w7", {6, 1, 3}, 9) + numbers("w8", {17, 8, 7, 5}, 10) + numbers("b8", {17}, 11);
  text += R"(
%c1 = Conv(%image, %w1, %b1) {pads=[1,1,1,1], strides=[2,2]}
%y1 = Relu(%c1)
%y2 = Conv(%x, %w2, _)
%c3 = Conv(%x, %w3, %b3) {group=8, pads=[1,1,1,1]}
%y3 = Clip(%c3, %low, %high)
%y4 = Conv(%x, %w4, _) {group=2, dilations=[2,3], pads=[2,1,0,2], strides=[1,1]}
%c5 = Conv(%x, %w5, _) {auto_pad="SAME_UPPER", strides=[2,2]}
%y5 = Relu(%c5)
%y6 = Conv(%line, %w6, _) {pads=[3,0]}
%y7 = Conv(%line, %w7, _) {group=6, strides=[2], pads=[1,1]}
%y8 = Conv(%x, %w8, %b8)
%y9 = Conv(%x, %w3, _) {group=8, pads=[0,1,2,1], strides=[2,1], dilations=[1,2]}
%a1 = Conv(%x, %w5, _) {pads=[1,1,1,1]}
%a2 = Conv(%y3, %w5, _) {pads=[1,1,1,1]}
%a = Add(%a1, %a2)
%y10 = Relu(%a)
return %y1, %y2, %y3, %y4, %y5, %y6, %y7, %y8, %y9, %y10
})";
  text += "\nconst %low = FP32[] {-0.25}\nconst %high = FP32[] {0.5}\n";
  check(text);
}

// Of the targets that this machine runs, those that are named; by night, others than these.
std::vector<const Target*> some_of(const std::vector<std::string_view>& names) {
  auto targets = targets_here();
  std::vector<const Target*> named;
  std::ranges::copy_if(targets, std::back_inserter(named), [&](const Target* target) {
    return std::ranges::count(names, target->name) > 0;
  });
  return named.empty() ? targets : named;
}

// A constant of which `zeros` in ten are zero; in blocks of `block` along its first dimension.
std::string sparse_numbers(const std::string& name, int64_t rows, int64_t columns, int zeros,
                           int block, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::vector<bool>> kept(static_cast<size_t>((rows + block - 1) / block));
  for (auto& row : kept) {
    for (int64_t i = 0; i < columns; ++i)
      row.push_back(random() % 10 >= static_cast<unsigned>(zeros));
  }
  std::string text = "const %" + name + " = FP32[" + std::to_string(rows) + "," +
                     std::to_string(columns) + (name[0] == 'c' ? ",1,1" : "") + "] {";
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < columns; ++i) {
      const bool is_kept = kept[static_cast<size_t>(r / block)][static_cast<size_t>(i)];
      text += r + i > 0 ? "," : "";
      text += is_kept ? std::to_string(std::uniform_real_distribution<float>(-1, 1)(random)) : "0";
    }
  }
  return text + "}\n";
}

// Odd sizes, no element at all in some channels, every pattern; with and without what follows.
TEST(Compile, ProductsWithMostWeightsZero) {
  std::string text =
      "graph \"sparse\" {\ninput %x: FP32[63,161]\ninput %i: FP32[2,160,7,9]\n"
      "input %one: FP32[1,161]\n";
  text += sparse_numbers("w1", 161, 145, 9, 1, 1) + sparse_numbers("w2", 140, 161, 9, 4, 2) +
          sparse_numbers("c3", 130, 160, 9, 1, 3) + sparse_numbers("c4", 128, 130, 9, 8, 4) +
          sparse_numbers("w5", 161, 140, 10, 1, 5) + numbers("b1", {145}, 6) +
          numbers("b3", {130}, 7) + numbers("w7", {2, 130, 3, 3}, 8);
  text += R"(
%p1 = MatMul(%x, %w1)
%a1 = Add(%p1, %b1)
%y1 = Relu(%a1)
%y2 = Gemm(%x, %w2, _) {transB=1, alpha=0.5f}
%d3 = Conv(%i, %c3, %b3)
%y3 = Clip(%d3, %low, %high)
%y4 = Conv(%y3, %c4, _)
%y5 = MatMul(%x, %w5)
%y6 = MatMul(%one, %w1)
%d7 = Conv(%i, %c3, _)
%r7 = Relu(%d7)
%y7 = Conv(%r7, %w7, _) {pads=[1,1,1,1]}
return %y1, %y2, %y3, %y4, %y5, %y6, %y7
})";
  text += "\nconst %low = FP32[] {-0.25}\nconst %high = FP32[] {0.5}\n";
  check(text, some_of({"x86-64-v2", "x86-64-v4-vnni"}));
  const auto graph = parse(text);
  const auto sparse_steps = [&](bool may_be_sparse) {
    const auto made = compile(
        *graph,
        {.targets = {*find_target("native")}, .check = false, .may_be_sparse = may_be_sparse});
    EXPECT_TRUE(made);
    return std::ranges::count_if(made->report.steps, [](const StepReport& step) {
      return step.kernel.starts_with("sparse ");
    });
  };
  // One row has no use for it. What the last one reads has padding around each of its images.
  EXPECT_EQ(sparse_steps(true), 6);
  EXPECT_EQ(sparse_steps(false), 0);
}

// %NAME = QuantizeLinear(Conv of %FROM (an 8-bit value with scale %s and zero point %z)).
std::string quantised_conv(const std::string& name, const std::string& from,
                           const std::vector<int64_t>& weights, const std::string& attributes,
                           const std::string& then, const std::string& zero, unsigned seed) {
  std::string text = integers(name + "w", "INT8", weights, -127, 127, seed) +
                     integers(name + "b", "INT32", {weights[0]}, -2000, 2000, seed + 1) +
                     "const %" + name + "z = " + zero + "\nconst %" + name +
                     "s = FP32[] {0.0432}\n" + "const %" + name + "ws = FP32[" +
                     std::to_string(weights[0]) + "] {";
  std::string bias_scales = "const %" + name + "bs = FP32[" + std::to_string(weights[0]) + "] {";
  for (int64_t i = 0; i < weights[0]; ++i) {
    const float scale = 0.001f + 0.0001f * static_cast<float>(i % 7);
    text += (i > 0 ? ", " : "") + std::to_string(scale);
    bias_scales += (i > 0 ? ", " : "") + std::to_string(scale * 0.0213f);
  }
  text += "}\n" + bias_scales + "}\n";
  const auto line = [&](const std::string& what) { text += "%" + name + what + "\n"; };
  line("dx = DequantizeLinear(%" + from + ", %s, %z)");
  line("dw = DequantizeLinear(%" + name + "w, %" + name + "ws, _) {axis=0}");
  line("db = DequantizeLinear(%" + name + "b, %" + name + "bs, _) {axis=0}");
  line("c = Conv(%" + name + "dx, %" + name + "dw, %" + name + "db) {" + attributes + "}");
  if (!then.empty()) line("r = " + then + "(%" + name + "c)");
  line(" = QuantizeLinear(%" + name + (then.empty() ? "c" : "r") + ", %" + name + "s, %" + name +
       "z)");
  return text;
}

// %NAME = the quantised product of %FROM with a matrix of which `zeros` in ten blocks are zero.
std::string sparse_bytes_conv(const std::string& name, const std::string& from, int64_t rows,
                              int64_t columns, int zeros, int high, int wide, unsigned seed) {
  std::mt19937 random(seed);
  const int64_t across = (columns + wide - 1) / wide;
  std::vector<bool> kept;
  for (int64_t i = 0; i < (rows + high - 1) / high * across; ++i) {
    kept.push_back(random() % 10 >= static_cast<unsigned>(zeros));
  }
  std::string weights;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < columns; ++i) {
      const bool is_kept = kept[static_cast<size_t>(r / high * across + i / wide)];
      weights += r + i > 0 ? "," : "";
      weights += is_kept ? std::to_string(static_cast<int>(random() % 255) - 127) : "0";
    }
  }
  std::string text =
      quantised_conv(name, from, {rows, columns, 1, 1}, "", "Relu", "UINT8[] {131}", seed + 1);
  const size_t begin = text.find('{') + 1, end = text.find('}');
  return text.replace(begin, end - begin, weights);
}

// As above for bytes: fours of inputs are left out. Odd sizes; zero points; every form of Dot.
TEST(Compile, QuantisedProductsWithMostWeightsZero) {
  std::string text =
      "graph \"sparse\" {\ninput %x: FP32[2,161,7,9]\nconst %s = FP32[] {0.0213}\n"
      "const %z = UINT8[] {131}\n%q = QuantizeLinear(%x, %s, %z)\n";
  text += sparse_bytes_conv("y1", "q", 145, 161, 9, 1, 4, 1) +
          sparse_bytes_conv("y2", "q", 130, 161, 9, 4, 4, 3) +
          sparse_bytes_conv("y3", "q", 72, 161, 9, 8, 4, 5) +
          sparse_bytes_conv("y4", "q", 67, 161, 10, 1, 1, 7) +
          sparse_bytes_conv("y5", "q", 64, 161, 0, 1, 1, 9);
  // What is read with padding around each of two images has rows that lie apart.
  text += sparse_bytes_conv("p", "q", 70, 161, 9, 1, 4, 11) +
          quantised_conv("y6", "p", {3, 70, 3, 3}, "pads=[1,1,1,1]", "", "UINT8[] {131}", 13);
  text += "return %y1, %y2, %y3, %y4, %y5, %y6\n}";
  check(text, some_of({"x86-64-v3", "x86-64-v4-vnni"}));
  const auto made =
      compile(*parse(text), {.targets = {*find_target("x86-64-v4-vnni")}, .check = false});
  ASSERT_TRUE(made) << made.error().message();
  const auto is_sparse = [&](const char* kernel) {
    return std::ranges::count_if(made->report.steps, [&](const StepReport& step) {
      return step.kernel.find(kernel) != std::string::npos;
    });
  };
  EXPECT_EQ(is_sparse("sparse_u8"), 5);   // one has nothing to leave out
  EXPECT_GE(is_sparse("blocks of "), 2);  // those of 4x4 and 8x4
}

// Shapes and patterns of all kinds, by seed; what fails is named by it.
TEST(Compile, RandomSparseProducts) {
  const unsigned seeds = std::getenv("SKERRY_TEST_CROSS") != nullptr ? 8 : 2;
  for (unsigned seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(100 + seed);
    const auto one_of = [&](std::vector<int64_t> values) {
      return values[random() % values.size()];
    };
    const int64_t rows = one_of({16, 17, 31, 64, 100, 131}), inner = one_of({64, 129, 257, 515});
    const int64_t outer = one_of({65, 96, 128, 200});
    const int block = static_cast<int>(one_of({1, 2, 4, 8}));
    std::string text =
        "graph \"g\" {\ninput %x: FP32[" + std::to_string(rows) + "," + std::to_string(inner) +
        "]\ninput %i: FP32[1," + std::to_string(inner) + ",1," + std::to_string(rows) +
        "]\nconst %s = FP32[] {0.0213}\n"
        "const %z = UINT8[] {131}\n%q = QuantizeLinear(%i, %s, %z)\n" +
        sparse_numbers("w", outer, inner, 9, block, seed) + numbers("b", {outer}, seed) +
        "%p = Gemm(%x, %w, %b) {transB=1}\n%y = Relu(%p)\n" +
        sparse_bytes_conv("c", "q", outer, inner, 9, block, static_cast<int>(one_of({1, 4})),
                          seed) +
        "return %y, %c\n}";
    check(text, native());
  }
}

TEST(Compile, ConvolutionsByWinograd) {
  std::string text = "graph \"winograd\" {\ninput %x: FP32[2,16,9,8]\n";
  text +=
      numbers("w1", {16, 16, 3, 3}, 1) + numbers("b1", {16}, 2) + numbers("w2", {48, 16, 3, 3}, 3);
  text += R"(
%c1 = Conv(%x, %w1, %b1) {pads=[1,1,1,1]}
%a = Add(%c1, %x)
%y1 = Relu(%a)
%y2 = Conv(%y1, %w2, _) {pads=[2,0,1,1]}
return %y1, %y2
})";
  check(text);
}

TEST(Compile, QuantisedConvolutionsOfEveryKind) {
  for (const bool is_signed : {false, true}) {
    const std::string type = is_signed ? "INT8" : "UINT8";
    const std::string zero = type + (is_signed ? "[] {-5}" : "[] {131}");
    std::string text =
        "graph \"quantised\" {\ninput %x: FP32[2,8,7,5]\ninput %image: FP32[1,3,11,9]\n"
        "const %s = FP32[] {0.0213}\nconst %z = " +
        zero +
        "\n"
        "%q = QuantizeLinear(%x, %s, %z)\n%qi = QuantizeLinear(%image, %s, %z)\n";
    text +=
        quantised_conv("y1", "qi", {5, 3, 3, 3}, "pads=[1,1,1,1], strides=[2,2]", "Relu", zero, 1);
    text += quantised_conv("y2", "q", {20, 8, 1, 1}, "", "", zero, 3);
    text += quantised_conv("y3", "q", {8, 1, 3, 3}, "group=8, pads=[1,1,1,1]", "Relu", zero, 5);
    text += quantised_conv("y4", "q", {6, 4, 3, 2}, "group=2, dilations=[2,3], pads=[2,1,0,2]", "",
                           zero, 7);
    text += quantised_conv("y5", "q", {70, 8, 3, 3}, "auto_pad=\"SAME_UPPER\", strides=[2,2]",
                           "Relu", zero, 9);
    text += quantised_conv("y6", "q", {8, 1, 5, 3}, "group=8, strides=[2,1], pads=[2,1,2,1]", "",
                           zero, 11);
    text += quantised_conv("y7", "q", {17, 8, 7, 5}, "", "", zero, 13);  // sums beyond 2^24 may be
    text += "return %y1, %y2, %y3, %y4, %y5, %y6, %y7\n}";
    check(text, is_signed ? targets_here() : native());
  }
}

// What stands around convolutions in quantised networks.
TEST(Compile, QuantisedSumsPoolsAndProducts) {
  for (const std::string zero : {"INT8[] {-128}", "INT8[] {4}", "UINT8[] {0}", "UINT8[] {120}"}) {
    std::string text =
        "graph \"rest\" {\ninput %x: FP32[1,16,6,5]\n"
        "const %s = FP32[] {0.0213}\nconst %z = " +
        zero +
        "\n"
        "const %s2 = FP32[] {0.031}\nconst %s3 = FP32[] {0.0171}\n"
        "%q = QuantizeLinear(%x, %s, %z)\n";
    text += quantised_conv("a", "q", {16, 16, 3, 3}, "pads=[1,1,1,1]", "Relu", zero, 21);
    text += quantised_conv("b", "q", {16, 16, 1, 1}, "", "", zero, 23);
    text += integers("fw", "INT8", {16, 10}, -127, 127, 31) +
            integers("fb", "INT32", {10}, -900, 900, 32) + numbers("fs", {10}, 33);
    text.replace(
        text.rfind("const %fs"), std::string::npos,
        "const %fs = FP32[10] {0.001,0.002,0.003,0.001,0.002,0.003,0.001,0.002,0.003,0.004}\n");
    text += R"(
%da = DequantizeLinear(%a, %as, %z)
%db = DequantizeLinear(%b, %bs, %z)
%sum = Add(%da, %db)
%relu = Relu(%sum)
%y1 = QuantizeLinear(%relu, %s2, %z)
%dy1 = DequantizeLinear(%y1, %s2, %z)
%dq = DequantizeLinear(%q, %s, %z)
%plain = Add(%dy1, %dq)
%y2 = QuantizeLinear(%plain, %s3, %z)
%pool = GlobalAveragePool(%dy1)
%y3 = QuantizeLinear(%pool, %s3, %z)
%dy3 = DequantizeLinear(%y3, %s3, %z)
%flat = Flatten(%dy3)
%qflat = QuantizeLinear(%flat, %s3, %z)
%dflat = DequantizeLinear(%qflat, %s3, %z)
%dfw = DequantizeLinear(%fw, %fs, _) {axis=1}
%product = Gemm(%dflat, %dfw, _)
%y4 = QuantizeLinear(%product, %s2, %z)
%window = AveragePool(%dy1) {kernel_shape=[3,2], strides=[2,1], pads=[1,0,1,1]}
%y5 = QuantizeLinear(%window, %s2, %z)
%largest = MaxPool(%dy1) {kernel_shape=[2,2], strides=[2,2]}
%y6 = QuantizeLinear(%largest, %s2, %z)
%sig = Sigmoid(%dy1)
%y7 = QuantizeLinear(%sig, %s3, %z)
%dy4 = DequantizeLinear(%y4, %s2, %z)
%soft = Softmax(%dy4)
return %y1, %y2, %y3, %y4, %y5, %y6, %y7, %soft
})";
    check(text, zero == "INT8[] {4}" ? targets_here() : native());
  }
}

// Operators of ONNX Runtime's quantiser and of TensorFlow Lite, whose rounding is another one.
TEST(Compile, QuantisedOperatorsOfOthers) {
  std::string text = "graph \"others\" {\ninput %x: INT8[1,4,6,6]\ninput %u: INT8[1,6,6,4]\n";
  text += integers("w", "INT8", {8, 4, 3, 3}, -127, 127, 1) +
          integers("b", "INT32", {8}, -900, 900, 2) + integers("f", "INT8", {10, 8}, -127, 127, 3) +
          integers("fb", "INT32", {10}, -900, 900, 4);
  text += R"(
const %xs = FP32[] {0.02}
const %xz = INT8[] {-7}
const %ws = FP32[8] {0.001,0.002,0.003,0.001,0.002,0.003,0.001,0.002}
const %wz = INT8[] {0}
const %ys = FP32[] {0.06}
const %yz = INT8[] {-128}
const %fs = FP32[] {0.002}
const %zs = FP32[] {0.05}
const %zz = INT8[] {12}
const %low = INT8[] {-100}
const %high = INT8[] {90}
const %ps = FP32[] {0.00390625}
%c = QLinearConv(%x, %xs, %xz, %w, %ws, %wz, %ys, %yz, %b) {pads=[1,1,1,1], rounding="litert"}
%y1 = Clip(%c, %low, %high)
%t = Transpose(%u) {perm=[0,3,1,2]}
%d = QLinearConv(%t, %xs, %xz, %w, %ws, %wz, %ys, %yz, %b) {pads=[1,1,1,1]}
%y2 = QLinearAdd(%y1, %ys, %yz, %d, %ys, %yz, %zs, %zz) {rounding="litert"}
%p = QLinearAveragePool(%y2, %zs, %zz, %zs, %zz) {kernel_shape=[6,6], rounding="litert"}
%flat = Flatten(%p)
%y3 = QGemm(%flat, %zs, %zz, %f, %fs, %wz, %fb, %ys, %zz) {transB=1, rounding="litert"}
%y4 = QLinearSoftmax(%y3, %ys, %zz, %ps, %yz) {opset=13}
return %y1, %y2, %y3, %y4
})";
  check(text, native(), 4);
}

// As ONNX Runtime's dynamic quantiser and ours make them: values get a scale as they run.
TEST(Compile, ProductsOfValuesThatAreQuantisedAsTheyRun) {
  std::string text = "graph \"dynamic\" {\ninput %x: FP32[2,5,37]\ninput %one: FP32[1,64]\n";
  text += integers("w", "INT8", {37, 21}, -127, 127, 1) +
          integers("u", "UINT8", {64, 130}, 1, 255, 2) + numbers("scale", {1}, 3) +
          numbers("bias", {21}, 4);
  text += R"(
const %zero = UINT8[] {128}
%q, %s, %z = DynamicQuantizeLinear(%x)
%sums = MatMulInteger(%q, %w, %z)
%real = Cast(%sums) {to=type FP32}
%scales = Mul(%s, %scale)
%scaled = Mul(%real, %scales)
%y1 = Add(%scaled, %bias)
%r = Relu(%one)
%q2, %s2, %z2 = DynamicQuantizeLinear(%r)
%y2 = MatMulInteger(%q2, %u, %z2, %zero)
%q3, %y3, %y4 = DynamicQuantizeLinear(%one)
%y5 = MatMulInteger(%q3, %u, _, %zero)
return %y1, %y2, %y3, %y4, %y5, %q3
})";
  check(text);

  // What was computed before differs in its last bits, and so some bytes do.
  const auto chain = parse("graph \"chain\" {\ninput %x: FP32[3,64]\n" + numbers("v", {64, 37}, 5) +
                           integers("w", "INT8", {37, 21}, -127, 127, 1) +
                           "%h = MatMul(%x, %v)\n%q, %s, %z = DynamicQuantizeLinear(%h)\n"
                           "%sums = MatMulInteger(%q, %w, %z)\n%real = Cast(%sums) {to=type FP32}\n"
                           "%y = Mul(%real, %s)\nreturn %y\n}");
  const auto made = compile(*chain, {.targets = {*find_target("native")}});
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->report.checked, "equal to the reference executor's results");

  const auto rows = compile(*parse("graph \"g\" {\ninput %x: UINT8[3,4]\ninput %z: UINT8[3]\n" +
                                   integers("w", "INT8", {4, 5}, -9, 9, 1) +
                                   "%y = MatMulInteger(%x, %w, %z)\nreturn %y\n}"),
                            {.targets = {*find_target("native")}});
  ASSERT_FALSE(rows);
  EXPECT_THAT(rows.error().message(), testing::HasSubstr("a zero point for each row has no code"));
}

TEST(Compile, TheRestInPlainWords) {
  std::string text =
      "graph \"rest\" {\ninput %x: FP32[2,6,5,4]\ninput %m: FP32[3,7]\ninput %n: FP32[2,3,7]\n"
      "input %i: INT64[4]\ninput %b: BOOL[3,7]\n";
  text += numbers("w", {7, 5}, 1) + numbers("bias", {5}, 2) + numbers("row", {4}, 3) +
          numbers("plane", {6, 1, 1}, 4);
  text += R"(
const %two = FP32[] {2}
const %pads = INT64[8] {0,0,1,2,0,1,0,3}
const %begin = INT64[2] {1,1}
const %end = INT64[2] {5,4}
const %axes = INT64[2] {1,2}
const %shape = INT64[3] {2,15,8}
%y1 = MatMul(%n, %w)
%added = Add(%y1, %bias)
%y2 = Relu(%added)
%y3 = Gemm(%m, %w, %bias) {alpha=0.5f, beta=2.0f}
%t = Transpose(%m) {perm=[1,0]}
%y4 = MatMul(%m, %t)
%y5 = Mul(%x, %plane)
%moved = Transpose(%x) {perm=[0,2,3,1]}
%y6 = Reshape(%moved, %shape)
%exp = Exp(%y5)
%tanh = Tanh(%exp)
%y7 = Sub(%tanh, %row)
%y8 = Softmax(%x) {axis=1}
%y9 = ReduceMean(%x, %axes) {keepdims=0}
%sliced = Slice(%x, %begin, %end, %axes)
%y10 = Concat(%x, %y5) {axis=1}
%y11 = Sigmoid(%sliced)
%y12 = Pad(%x, %pads)
%y13 = MaxPool(%x) {kernel_shape=[3,2], strides=[2,2], pads=[1,0,0,1]}
%y14 = AveragePool(%x) {kernel_shape=[2,3], pads=[1,1,1,1], count_include_pad=1}
%y15 = GlobalMaxPool(%x)
%y16 = Add(%i, %i)
%y17 = Where(%b, %m, %two)
%y18 = Erf(%m)
%y19 = HardSwish(%m)
return %y1, %y2, %y3, %y4, %y5, %y6, %y7, %y8, %y9, %y10, %y11, %y12, %y13, %y14, %y15, %y16, %y17, %y18, %y19
})";
  check(text);
}

TEST(Compile, RefusesWhatItCannotDoAndNamesTheNode) {
  const auto graph =
      parse("graph \"g\" {\ninput %x: FP32[3,3]\n%y = Det(%x) \"the culprit\"\nreturn %y\n}");
  const auto compiled = compile(*graph, {.targets = {*find_target("native")}});
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().code(), Code::kUnsupported);
  EXPECT_THAT(compiled.error().message(), testing::HasSubstr("Det 'the culprit'"));
}

TEST(Compile, RefusesAModelThatNeedsMoreMemoryThanThereIs) {
  const auto graph = parse(
      "graph \"g\" {\ninput %x: FP32[1,4,64,64]\n%a = Relu(%x)\n%b = Exp(%a)\n"
      "%c = Mul(%a, %b)\n%y = Transpose(%c) {perm=[0,2,3,1]}\nreturn %y\n}");
  const auto compiled =
      compile(*graph, {.targets = {*find_target("native")}, .max_arena_bytes = 1000});
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().code(), Code::kResourceExhausted);
}

// The code and weights of each, chosen when it is loaded.
TEST(Compile, SeveralTargetsInOneObject) {
  const auto graph =
      parse("graph \"g\" {\ninput %x: FP32[1,8,6,6]\n" + numbers("w", {8, 8, 3, 3}, 1) +
            "%c = Conv(%x, %w, _) {pads=[1,1,1,1]}\n%y = Relu(%c)\nreturn %y\n}");
  const Target* best = *find_target("native");
  std::vector<const Target*> all;
  for (const Target& target : targets()) {
    if (target.emulator.empty()) all.insert(all.begin(), &target);  // in no order
  }
  const auto compiled = compile(*graph, {.targets = all});
  ASSERT_TRUE(compiled) << compiled.error().message();
  auto memory = runtime::MemoryFile::copy_of(compiled->artifact);
  ASSERT_TRUE(memory);
  EXPECT_EQ(runtime::read_artifact(memory->bytes())->target, "x86-64-v2 and 2 more");
  const auto library = runtime::CompiledLibrary::load(*memory);
  ASSERT_TRUE(library) << library.error().message();
  EXPECT_EQ(library->model().target, best->name);
  EXPECT_TRUE(runtime::self_check(library->model()));

  const auto mixed =
      compile(*graph, {.targets = {*find_target("x86-64-v2"), *find_target("riscv64")}});
  ASSERT_FALSE(mixed);
  EXPECT_THAT(mixed.error().message(), testing::HasSubstr("x86-64-v2 and riscv64"));
}

TEST(Compile, OneForAnotherMachineIsRefusedBeforeItIsLoaded) {
  const std::string object = "no object of this machine";
  const auto memory = runtime::MemoryFile::copy_of(
      object + runtime::artifact_trailer(object, {.abi_version = SKERRY_COMPILED_ABI,
                                                  .cpu_features = SKERRY_CPU_RV64GC,
                                                  .target = "riscv64"}));
  ASSERT_TRUE(memory);
  const auto library = runtime::CompiledLibrary::load(*memory);
  ASSERT_FALSE(library);
  EXPECT_EQ(library.error().code(), Code::kUnsupported);
  EXPECT_THAT(library.error().message(), testing::HasSubstr("has no RV64GC (64-bit RISC-V)"));
}

// What is reported of each step follows from the shapes; what is measured is there, and the
// artifact is the one that would have been made without.
TEST(Compile, MeasuresEachStepAgainstTheMachine) {
  const auto graph = parse("graph \"g\" {\ninput %x: FP32[6,32]\ninput %at: INT64[6]\n" +
                           numbers("w", {32, 48}, 1) + numbers("table", {100, 48}, 2) +
                           "%p = MatMul(%x, %w)\n%rows = Gather(%table, %at)\n%s = Add(%p, %rows)\n"
                           "%t = Transpose(%s) {perm=[1,0]}\n%y = MatMul(%s, %t)\nreturn %y\n}");
  const auto with = compile(*graph, {.targets = {*find_target("native")}, .profile = true});
  const auto without = compile(*graph, {.targets = {*find_target("native")}});
  ASSERT_TRUE(with && without);
  EXPECT_EQ(with->artifact, without->artifact);
  EXPECT_FALSE(without->report.profile);
  const CompileReport& report = with->report;
  ASSERT_TRUE(report.profile) << report.not_measured;
  const auto step_of = [&](const std::string& op) {
    const auto found = std::ranges::find_if(
        report.steps, [&](const StepReport& step) { return step.nodes[0].starts_with(op); });
    EXPECT_NE(found, report.steps.end()) << op;
    return found == report.steps.end() ? StepReport{} : *found;
  };
  const StepReport product = step_of("MatMul");
  EXPECT_EQ(product.macs, 6 * 32 * 48);
  EXPECT_GE(product.constant_bytes, 32 * 48 * 4);
  EXPECT_EQ(product.value_bytes, 6 * (32 + 48) * 4);
  EXPECT_FALSE(product.is_reference || product.is_bytes);
  const StepReport gather = step_of("Gather");
  EXPECT_EQ(gather.value_bytes, 2 * 6 * 48 * 4 + 6 * 8);  // no more of the table than it takes
  const StepReport& plain = report.steps.back();
  EXPECT_TRUE(plain.is_reference);
  ASSERT_EQ(report.profile->step_us.size(), report.steps.size());
  const MachineLimits& limits = report.profile->limits;
  for (size_t i = 0; i < report.steps.size(); ++i) {
    EXPECT_GE(report.profile->limit_us[i],
              static_cast<double>(report.steps[i].macs) / limits.macs_per_us);
    EXPECT_TRUE(std::isfinite(report.profile->step_us[i]));
  }
  EXPECT_GT(limits.bytes_per_us(0), 0);
  EXPECT_EQ(limits.bytes_per_us(SIZE_MAX), limits.reads.back().bytes_per_us);
  EXPECT_GT(report.sizes.code, 100u);
  EXPECT_EQ(report.sizes.writable, 0u);
  EXPECT_GE(report.weight_bytes, static_cast<size_t>((32 * 48 + 100 * 48) * 4));
  EXPECT_LE(report.weight_bytes, report.constant_bytes);

  const auto elsewhere =
      compile(*graph, {.targets = {*find_target("cortex-a72")}, .check = false, .profile = true});
  if (!elsewhere && elsewhere.error().code() == Code::kFailedPrecondition) return;  // no compiler
  ASSERT_TRUE(elsewhere);
  EXPECT_FALSE(elsewhere->report.profile);
  EXPECT_THAT(elsewhere->report.not_measured, testing::HasSubstr("has no AArch64"));
}

TEST(Compile, SizesOfWhatIsNoObjectAreRefused) {
  EXPECT_FALSE(object_sizes(""));
  EXPECT_FALSE(object_sizes(std::string(64, 'x')));
  std::string cut =
      "\x7f"
      "ELF\x02\x01\x01" +
      std::string(57, '\xff');
  EXPECT_FALSE(object_sizes(cut));  // sections far behind its end
}

TEST(Compile, KnowsItsTargets) {
  EXPECT_TRUE(find_target("x86-64-v2"));
  const auto unknown = find_target("z80");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message(), testing::HasSubstr("x86-64-v3"));
}

}  // namespace
}  // namespace skerry::compile
