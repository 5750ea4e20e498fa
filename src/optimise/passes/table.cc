// The table of passes. Cleaning first, so that patterns are seen; what folds weights after the
// patterns that look for its parts; quantisation last.
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

constexpr bool kOff = false;

constexpr Pass kPasses[] = {
    {"infer-shapes", "shapes with symbolic dimensions; shapes that are computed become constants",
     infer_shapes},
    {"remove-no-ops", "Identity, Dropout, casts, pads and slices that change nothing",
     remove_no_ops},
    {"inline-branches", "If whose condition depends on constants alone is one of its branches",
     inline_branches},
    {"fold-constants", "what depends on constants alone", fold_constants},
    {"fold-all-constants", "the same, also where the model grows", fold_all_constants, kOff},
    {"common-subexpressions", "the same computed twice", eliminate_common_subexpressions},
    {"share-weights", "equal constants are one", share_weights},
    {"simplify-algebra", "x+0, x*1, chains of constants, powers", simplify_algebra},
    {"merge-reshapes", "a reshape of a reshape", merge_reshapes},
    {"eliminate-transposes", "transposes that meet cancel, or move to where they do",
     eliminate_transposes},
    {"recognise-softmax", "Exp over its sum is Softmax", recognise_softmax},
    {"recognise-layer-norm", "mean, variance, scale are LayerNormalization", recognise_layer_norm},
    {"recognise-gelu", "x·(1+erf(x/√2))/2 is Gelu", recognise_gelu},
    {"recognise-attention", "Softmax of a scaled, masked product, times V, is Attention",
     recognise_attention, kOff},
    {"recognise-pooling", "means over space are GlobalAveragePool", recognise_pooling},
    {"merge-activations", "chains of clips; HardSwish, Mish, LeakyRelu from their parts",
     merge_activations},
    {"make-gemm", "MatMul and bias are Gemm; transposes of its inputs are flags", make_gemm},
    {"fold-pads", "Pad into the window that follows", fold_pads},
    {"fold-affine", "batch norm, scale and bias into the weights before", fold_affine},
    {"fold-input-affine", "scale and offset into the weights behind", fold_input_affine},
    {"signed-activations", "8-bit activations are INT8, as TensorFlow Lite has them",
     make_activations_signed, kOff},
    {"propagate-quantisation", "what only moves elements moves the quantised ones",
     propagate_quantisation},
    {"fold-quantisation", "quantised again by the same scale; clips that saturation does",
     fold_quantisation},
    {"make-qlinear", "QLinearConv and its like for what stands between integers", make_qlinear,
     kOff},
    {"dequantise-constants",
     "weights of four bits or in blocks as floats, which TensorFlow Lite has no form for",
     dequantise_constants, kOff},
    {"decompose-softmax", "Softmax in its parts", decompose_softmax, kOff},
    {"decompose-layer-norm", "LayerNormalization in its parts", decompose_layer_norm, kOff},
    {"decompose-gelu", "Gelu in its parts", decompose_gelu, kOff},
    {"decompose-attention", "Attention in its parts", decompose_attention, kOff},
    {"convolution-to-gemm", "Conv of 1×1 on one place is Gemm", convolution_to_gemm, kOff},
    {"gemm-to-convolution", "Gemm is a Conv of 1×1", gemm_to_convolution, kOff},
    {"dead-code", "what nobody reads", eliminate_dead_code},
};

}  // namespace

std::span<const Pass> passes() {
  return kPasses;
}

}  // namespace skerry::optimise
