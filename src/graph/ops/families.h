// The families of operators: one file and one list of rows each.
#pragma once

#include <span>

#include "graph/operator.h"

namespace skerry::graph::ops {

std::span<const OperatorRow> elementwise_rows();  // one element from one, or from several broadcast
std::span<const OperatorRow> arithmetic_rows();
std::span<const OperatorRow> compare_rows();
std::span<const OperatorRow> reduce_rows();
std::span<const OperatorRow> convolution_rows();
std::span<const OperatorRow> pool_rows();
std::span<const OperatorRow> matmul_rows();
std::span<const OperatorRow> attention_rows();
std::span<const OperatorRow> normalise_rows();
std::span<const OperatorRow> softmax_rows();
std::span<const OperatorRow> shape_rows();     // what only changes or reads shapes
std::span<const OperatorRow> movement_rows();  // elements go elsewhere, unchanged
std::span<const OperatorRow> index_rows();     // gather, scatter, select
std::span<const OperatorRow> generate_rows();
std::span<const OperatorRow> quantise_rows();
std::span<const OperatorRow> qlinear_rows();
std::span<const OperatorRow> image_rows();
std::span<const OperatorRow> recurrent_rows();
std::span<const OperatorRow> loss_rows();
std::span<const OperatorRow> ml_rows();
std::span<const OperatorRow> algebra_rows();
std::span<const OperatorRow> text_rows();
std::span<const OperatorRow> control_rows();

inline constexpr std::span<const OperatorRow> (*kFamilies[])() = {
    elementwise_rows, arithmetic_rows, compare_rows, reduce_rows,  convolution_rows, pool_rows,
    matmul_rows,      normalise_rows,  softmax_rows, shape_rows,   movement_rows,    index_rows,
    generate_rows,    quantise_rows,   control_rows, image_rows,   recurrent_rows,   loss_rows,
    ml_rows,          algebra_rows,    text_rows,    qlinear_rows, attention_rows};

}  // namespace skerry::graph::ops
