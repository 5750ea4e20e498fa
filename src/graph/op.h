// The names of operators, checked when the program is compiled: node.op() == "Conv" compares two
// numbers, and a name that no operator has is an error. What each one means: graph/operator.h.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace skerry::graph {

// Those of ONNX in their newest form (importers bring older ones to it), then those of ai.onnx.ml,
// then those of ONNX Runtime's quantiser (com.microsoft).
inline constexpr std::string_view kOperatorNames =
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool "
    "BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast "
    "CastLike Ceil Celu "
    "Clip Compress Concat ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum "
    "DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf "
    "Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm "
    "GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample "
    "GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If "
    "InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual "
    "Log LogSoftmax Loop LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxUnpool Mean "
    "Min Mish Mod Mul Neg NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Or "
    "PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range "
    "Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
    "ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round "
    "Scan ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax "
    "SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze StringNormalizer "
    "Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Where Xor "
    "ArrayFeatureExtractor Binarizer Imputer LabelEncoder LinearClassifier LinearRegressor "
    "Normalizer OneHotEncoder Scaler TreeEnsembleClassifier TreeEnsembleRegressor "
    "QGemm QLinearAdd QLinearAveragePool QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul "
    "QLinearSigmoid QLinearSoftmax";

namespace internal {

consteval size_t count_names() {
  size_t count = 1;
  for (const char c : kOperatorNames) count += c == ' ' ? 1 : 0;
  return count;
}

consteval std::array<std::string_view, count_names()> split_names() {
  std::array<std::string_view, count_names()> names;
  size_t begin = 0;
  for (std::string_view& name : names) {
    const size_t end = std::min(kOperatorNames.find(' ', begin), kOperatorNames.size());
    name = kOperatorNames.substr(begin, end - begin);
    begin = end + 1;
  }
  return names;
}

inline constexpr auto kNames = split_names();

}  // namespace internal

class Op {
 public:
  static constexpr size_t kCount = internal::kNames.size();

  consteval Op(const char* name) : Op(index_of(name)) {}  // NOLINT(google-explicit-constructor)
  static std::optional<Op> find(std::string_view name);

  std::string_view name() const { return internal::kNames[index_]; }
  size_t index() const { return index_; }  // below kCount
  std::string_view domain() const;         // in ONNX: "", "ai.onnx.ml", "com.microsoft"
  bool operator==(const Op&) const = default;

 private:
  explicit constexpr Op(size_t index) : index_(static_cast<uint16_t>(index)) {}
  static consteval size_t index_of(std::string_view name) {
    for (size_t i = 0; i < kCount; ++i) {
      if (internal::kNames[i] == name) return i;
    }
    throw "no operator has this name";  // ends the compilation
  }

  uint16_t index_;
};

}  // namespace skerry::graph
