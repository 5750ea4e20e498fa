// Training that makes a model smaller or faster: pruned step by step with training between, trained
// to be rounded. What comes out is an ordinary model, dense or with zeros, or with integer layers
// that runtimes fuse.
#pragma once

#include "train/fit.h"

namespace skerry::train {

struct Compression {
  double channels = 0;    // share that goes, with everything that depends on them
  double weights = 0;     // share that becomes zero
  size_t rounds = 3;      // of pruning and training, most at first (Zhu and Gupta, 2017)
  bool integers = false;  // quantisation-aware training behind it
  size_t calibration_rows = 128;
  bool any() const { return channels > 0 || weights > 0 || integers; }
};

// Passes first; then each part trains for `options.epochs` in all, in folders below
// `options.directory`. Nothing is kept of a part that fails. The history is that of the last part.
Result<FitResult> compress(const Graph& model, const optimise::Dataset& data,
                           const Compression& how, const FitOptions& options, io::Files& files,
                           const OnProgress& progress = {});

}  // namespace skerry::train
