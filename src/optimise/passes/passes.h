// The passes, one file each; the order and what is on: table.cc.
#pragma once

#include "optimise/pass.h"
#include "optimise/rewrite.h"

namespace skerry::optimise {

Result<size_t> infer_shapes(Graph& graph);
Result<size_t> remove_no_ops(Graph& graph);
Result<size_t> fold_constants(Graph& graph);
Result<size_t> fold_all_constants(Graph& graph);
// One node whose inputs are constants, to what it computes; false where it is none.
Result<bool> fold_node(Node& node);
Result<size_t> inline_branches(Graph& graph);
Result<size_t> eliminate_common_subexpressions(Graph& graph);
Result<size_t> share_weights(Graph& graph);
Result<size_t> simplify_algebra(Graph& graph);
Result<size_t> merge_reshapes(Graph& graph);
Result<size_t> eliminate_transposes(Graph& graph);
Result<size_t> fold_pads(Graph& graph);
Result<size_t> fold_affine(Graph& graph);
Result<size_t> fold_input_affine(Graph& graph);
Result<size_t> merge_activations(Graph& graph);
Result<size_t> recognise_softmax(Graph& graph);
Result<size_t> decompose_softmax(Graph& graph);
Result<size_t> recognise_layer_norm(Graph& graph);
Result<size_t> decompose_layer_norm(Graph& graph);
Result<size_t> recognise_attention(Graph& graph);
Result<size_t> decompose_attention(Graph& graph);
Result<size_t> recognise_gelu(Graph& graph);
Result<size_t> decompose_gelu(Graph& graph);
Result<size_t> recognise_pooling(Graph& graph);
Result<size_t> make_gemm(Graph& graph);
Result<size_t> convolution_to_gemm(Graph& graph);
Result<size_t> gemm_to_convolution(Graph& graph);
Result<size_t> propagate_quantisation(Graph& graph);
Result<size_t> fold_quantisation(Graph& graph);
Result<size_t> make_activations_signed(Graph& graph);
Result<size_t> make_qlinear(Graph& graph);
Result<size_t> dequantise_constants(Graph& graph);
Result<size_t> eliminate_dead_code(Graph& graph);

}  // namespace skerry::optimise
