// Operators that are made of others, each compiled and held against what the reference executor
// says of the operator as it was.
#include "compile/plain_form.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "compile/compile_testing.h"
#include "compile/compiler.h"

namespace skerry::compile {
namespace {

TEST(PlainForm, Normalisations) {
  std::string text = "graph \"norms\" {\ninput %x: FP32[2,5,4,3]\n";
  text += numbers("s", {5}, 1) + numbers("b", {5}, 2) + numbers("m", {5}, 3) +
          numbers("ls", {4, 3}, 4) + numbers("lb", {4, 3}, 5);
  text += R"(
const %v = FP32[5] {0.3, 0.7, 1.1, 0.02, 2}
%y1 = BatchNormalization(%x, %s, %b, %m, %v)
%y2 = LayerNormalization(%x, %ls, %lb) {axis=-2}
%y3 = InstanceNormalization(%x, %s, %b)
%y4 = LogSoftmax(%x) {axis=1}
return %y1, %y2, %y3, %y4
})";
  check(text);
}

TEST(PlainForm, PartsAndRepetitions) {
  check(R"(graph "parts" {
input %x: FP32[2,6,5]
input %i: INT64[3,1]
const %sizes = INT64[3] {1,2,3}
const %wide = INT64[3] {3,3,4}
const %times = INT64[3] {1,2,2}
const %from = INT64[2] {4,-1}
const %to = INT64[2] {-9,0}
const %axes = INT64[2] {2,1}
const %steps = INT64[2] {-2,-3}
const %reflect = INT64[6] {0,2,3,1,0,2}
const %edge = INT64[2] {4,1}
const %last = INT64[1] {-1}
const %crop = INT64[6] {0,-1,2,0,1,-2}
%a, %b, %c = Split(%x, %sizes) {axis=1}
%y1 = Relu(%a)
%y2 = Neg(%b)
%y3 = Expand(%i, %wide)
%y4 = Tile(%x, %times)
%y5 = Slice(%x, %from, %to, %axes, %steps)
%y6 = Pad(%x, %reflect) {mode="reflect"}
%y7 = Pad(%x, %edge, _, %last) {mode="edge"}
%y8 = Pad(%x, %crop)
return %y1, %y2, %c, %y3, %y4, %y5, %y6, %y7, %y8
})");
}

TEST(PlainForm, ElementsAndReductions) {
  check(R"(graph "elements" {
input %x: FP32[2,3,4]
input %z: FP32[2,3,4]
const %slope = FP32[3,1] {0.1,-0.4,1.5}
const %three = FP32[] {3}
const %axes = INT64[1] {-1}
const %none = FP32[] {-inf}
const %most = FP32[] {inf}
%big = Mul(%x, %three)
%y1 = Floor(%big)
%y2 = Ceil(%big)
%y3 = Round(%big)
%y4 = Sign(%x)
%abs = Abs(%x)
%y5 = Log(%abs)
%y6 = Softplus(%big)
%y7 = Softsign(%x)
%y8 = Mish(%big)
%y9 = PRelu(%x, %slope)
%y10 = Celu(%x) {alpha=0.7f}
%y11 = Selu(%x)
%y12 = ThresholdedRelu(%x) {alpha=0.3f}
%y13 = Sum(%x, %z, %slope)
%y14 = Mean(%x, %z)
%y15 = Max(%x, %z, %slope)
%y16 = ReduceL1(%x, %axes)
%y17 = ReduceL2(%x, %axes) {keepdims=0}
%y18 = ReduceLogSumExp(%x, %axes)
%y19 = ReduceProd(%x, %axes)
%y20 = ArgMax(%x) {axis=1}
%y21 = ArgMin(%x) {axis=-1, keepdims=0, select_last_index=1}
%y23 = Clip(%x, %none, %three)
%y24 = Clip(%x, _, %most)
%y22 = Cast(%big) {to=type INT32}
return %y1, %y2, %y3, %y4, %y5, %y6, %y7, %y8, %y9, %y10, %y11, %y12, %y13, %y14, %y15, %y16, %y17, %y18, %y19, %y20, %y21, %y22, %y23, %y24
})");
}

TEST(PlainForm, ImagesOfOtherSizes) {
  std::string text = "graph \"images\" {\ninput %x: FP32[1,4,5,3]\ninput %line: FP32[2,4,6]\n";
  text += numbers("w1", {4, 3, 3, 2}, 1) + numbers("b1", {3}, 2) + numbers("w2", {4, 2, 2, 2}, 3) +
          numbers("w3", {4, 1, 5}, 4);
  text += R"(
const %twice = FP32[4] {1,1,2,2}
const %sizes = INT64[4] {1,4,7,2}
const %odd = FP32[4] {1,1,1.7,2.6}
%y1 = ConvTranspose(%x, %w1, %b1) {strides=[2,3], pads=[1,0,0,1], output_padding=[1,0]}
%y2 = ConvTranspose(%x, %w2) {group=2, strides=[1,2], dilations=[2,1]}
%y3 = ConvTranspose(%line, %w3) {group=4, strides=[2], pads=[2,2]}
%y4 = Resize(%x, _, %twice) {mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"}
%y5 = Resize(%x, _, _, %sizes) {mode="linear", coordinate_transformation_mode="align_corners"}
%y6 = Resize(%x, _, %odd) {mode="linear"}
%y7 = Resize(%x, _, %twice) {mode="cubic"}
%y8 = DepthToSpace(%x) {blocksize=2}
%y9 = DepthToSpace(%x) {blocksize=2, mode="CRD"}
%y10 = SpaceToDepth(%y4) {blocksize=2}
%y11 = MaxPool(%x) {kernel_shape=[2,2], dilations=[3,1], strides=[1,2], pads=[1,0,1,1]}
%y12 = MaxPool(%line) {kernel_shape=[3], dilations=[2], ceil_mode=1, strides=[2]}
return %y1, %y2, %y3, %y4, %y5, %y6, %y7, %y8, %y9, %y10, %y11, %y12
})";
  check(text);
}

TEST(PlainForm, RecurrentCells) {
  std::string text =
      "graph \"cells\" {\ninput %x: FP32[5,2,3]\ninput %h: FP32[2,2,4]\n"
      "input %c: FP32[2,2,4]\ninput %one: FP32[1,1,3]\n";
  text += numbers("lw", {2, 16, 3}, 1) + numbers("lr", {2, 16, 4}, 2) + numbers("lb", {2, 32}, 3) +
          numbers("gw", {1, 12, 3}, 4) + numbers("gr", {1, 12, 4}, 5) + numbers("gb", {1, 24}, 6) +
          numbers("rw", {1, 4, 3}, 7) + numbers("rr", {1, 4, 4}, 8);
  text += R"(
%y1, %h1, %c1 = LSTM(%x, %lw, %lr, %lb, _, %h, %c) {hidden_size=4, direction="bidirectional"}
%y2, %h2, %c2 = LSTM(%x, %lw, %lr) {hidden_size=4, direction="bidirectional"}
%y3, %h3 = GRU(%x, %gw, %gr, %gb) {hidden_size=4}
%y4, %h4 = GRU(%x, %gw, %gr, %gb) {hidden_size=4, linear_before_reset=1, direction="reverse"}
%y5, %h5 = RNN(%x, %rw, %rr) {hidden_size=4}
%y6, %h6 = GRU(%one, %gw, %gr) {hidden_size=4}
return %y1, %h1, %c1, %y2, %h2, %c2, %y3, %h3, %y4, %h4, %y5, %h5, %h6
})";
  check(text);
}

// Scales of its own and by the size of a head, heads that share keys, causal, with a mask.
TEST(PlainForm, Attention) {
  check(R"(graph "attention" {
input %q: FP32[1,4,5,8]
input %k: FP32[1,4,7,8]
input %v: FP32[1,4,7,6]
input %flat: FP32[2,5,12]
input %shared: FP32[2,5,6]
input %mask: FP32[5,7]
%y1 = Attention(%q, %k, %v)
%y2 = Attention(%q, %k, %v) {scale=0.2f}
%y3 = Attention(%q, %k, %v, %mask)
%y4 = Attention(%flat, %shared, %shared) {q_num_heads=4, kv_num_heads=2, is_causal=1}
return %y1, %y2, %y3, %y4
})");
}

TEST(PlainForm, LeavesWhatItCannotSayOrWouldTakeTooMuchMemory) {
  const auto graph = parse(R"(graph "left" {
input %x: FP32[2,3,4]
input %line: FP32[1,1,200000]
const %one = FP32[3] {1,1,1}
const %twice = FP32[3] {1,1,2}
%y1 = BatchNormalization(%x, %one, %one, %one, %one) {training_mode=1}
%y2 = Resize(%line, _, %twice) {mode="linear"}
return %y1, %y2
})");
  const auto prepared = prepare(*graph);
  ASSERT_TRUE(prepared) << prepared.error().message();
  EXPECT_TRUE(std::ranges::any_of(prepared->graph->nodes(), [](const auto& node) {
    return node->op() == "BatchNormalization";
  }));
  EXPECT_TRUE(std::ranges::any_of(prepared->graph->nodes(),
                                  [](const auto& node) { return node->op() == "Resize"; }));
}

}  // namespace
}  // namespace skerry::compile
