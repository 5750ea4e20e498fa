// Between layouts of images: what goes in at the edge of a model, and the padding around it.
#pragma once

#include "isa.h"

namespace skerry_kernels {

// What lies around the rows of an image, one value.
struct BorderShape {
  int n, h, batch, row;       // rows and their distances, in elements
  int before, inside, after;  // elements of a row
  int above, below;           // rows
};

// `image` is the first element inside.
template <BorderShape S, class T>
__attribute__((noinline)) void fill_border(T* image, T value) {
  for (int n = 0; n < S.n; ++n, image += S.batch) {
    T* const first = image - S.above * S.row - S.before;
    const auto fill = [value](T* from, T* to) {
      for (; from < to; ++from) *from = value;
    };
    // From the end of one row to the beginning of the next is one run.
    fill(first, image);
    for (int row = 0; row + 1 < S.h; ++row) {
      T* const end = image + row * S.row + S.inside;
      fill(end, end - S.inside + S.row);
    }
    T* const last = image + (S.h - 1) * S.row + S.inside;
    fill(last, last + S.after + S.below * S.row);
  }
}

}  // namespace skerry_kernels
