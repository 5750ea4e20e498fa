// Turning tables of 32-bit elements over: rows become columns.
#pragma once

#include "isa.h"

namespace skerry_kernels {

template <int N, int D, bool Second>
struct TurnMask {
  // Lanes of two rows that are D apart, once each pair of halves has changed places.
  SKERRY_INLINE static Ints<N> get() {
    Ints<N> mask;
    SKERRY_UNROLL for (int i = 0; i < N; ++i) {
      mask[i] = Second ? ((i & D) == 0 ? i + D : N + i) : ((i & D) == 0 ? i : N + i - D);
    }
    return mask;
  }
};

template <int N, int D>
SKERRY_INLINE void turn_stage(Floats<N> (&rows)[N]) {
  const Ints<N> first = TurnMask<N, D, false>::get(), second = TurnMask<N, D, true>::get();
  SKERRY_UNROLL for (int i = 0; i < N; ++i) {
    if ((i & D) != 0) continue;
    const Floats<N> a = rows[i], b = rows[i + D];
    rows[i] = __builtin_shuffle(a, b, first);
    rows[i + D] = __builtin_shuffle(a, b, second);
  }
}

// N rows of N elements. Distances in bytes.
template <int N>
SKERRY_INLINE void turn_square(const uint8_t* from, int from_row, uint8_t* to, int to_row) {
  Floats<N> rows[N];
  SKERRY_UNROLL for (int i = 0; i < N; ++i) rows[i] = load<Floats<N>>(from + i * from_row);
  turn_stage<N, 1>(rows);
  turn_stage<N, 2>(rows);
  if constexpr (N >= 8) turn_stage<N, 4>(rows);
  if constexpr (N >= 16) turn_stage<N, 8>(rows);
  SKERRY_UNROLL for (int i = 0; i < N; ++i) {
    memcpy(to + i * to_row, &rows[i], sizeof rows[i]);
  }
}

// Squares of N from (row, column) on, as far as whole ones go.
template <int N>
SKERRY_INLINE void turn_squares(const uint8_t* from, int from_row, int row, int rows, int column,
                                int columns, uint8_t* to, int to_row) {
  for (int r = row; r + N <= rows; r += N) {
    for (int c = column; c + N <= columns; c += N) {
      turn_square<N>(from + r * from_row + c * 4, from_row, to + c * to_row + r * 4, to_row);
    }
  }
}

// to[column][row] = from[row][column]. Distances between rows in bytes.
template <int L>
inline __attribute__((noinline)) void turn(const void* source, int from_row, int rows, int columns,
                                           void* target, int to_row) {
  const uint8_t* from = static_cast<const uint8_t*>(source);
  uint8_t* to = static_cast<uint8_t*>(target);
  const int whole_rows = rows / L * L, whole_columns = columns / L * L;
  turn_squares<L>(from, from_row, 0, rows, 0, columns, to, to_row);
  // What is left at the right and at the bottom.
  const int few_rows = rows / 4 * 4, few_columns = columns / 4 * 4;
  if constexpr (L > 4) {
    turn_squares<4>(from, from_row, 0, whole_rows, whole_columns, columns, to, to_row);
    turn_squares<4>(from, from_row, whole_rows, rows, 0, columns, to, to_row);
  }
  const auto move = [&](int row, int column) __attribute__((always_inline)) {
    memcpy(to + column * to_row + row * 4, from + row * from_row + column * 4, 4);
  };
  for (int row = 0; row < few_rows; ++row) {
    for (int column = few_columns; column < columns; ++column) move(row, column);
  }
  for (int row = few_rows; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) move(row, column);
  }
}

}  // namespace skerry_kernels
