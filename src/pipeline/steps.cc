// The table of steps: a new one adds a line here, one in steps/makers.h, and its file.
#include <algorithm>
#include <array>

#include "pipeline/step.h"
#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr std::array kKinds = {
    StepKind{"argmax", "where the last dimension is largest", 1, 1, 1, make_argmax},
    StepKind{"cast", "another element type", 1, 1, 1, make_cast},
    StepKind{"concat", "values one behind the other", 2, 64, 1, make_concat},
    StepKind{"constant", "the same at every run", 0, 0, 1, make_constant},
    StepKind{"crop", "a part of an image", 1, 1, 1, make_crop},
    StepKind{"ctc", "text of a greedy CTC decoding", 1, 1, 1, make_ctc},
    StepKind{"decode_image", "JPEG or PNG into [height, width, channels]", 1, 1, 1,
             make_decode_image},
    StepKind{"decode_wav", "WAV into samples, and their rate", 1, 1, 2, make_decode_wav},
    StepKind{"labels", "names of class numbers", 1, 1, 1, make_labels},
    StepKind{"mel", "mel spectrogram of samples", 1, 1, 1, make_mel},
    StepKind{"mfcc", "mel-frequency cepstral coefficients", 1, 1, 1, make_mfcc},
    StepKind{"nms", "boxes that overlap no better one, their scores and indices", 2, 2, 3,
             make_nms},
    StepKind{"normalise", "scale, mean and deviation by channel", 1, 1, 1, make_normalise},
    StepKind{"pad", "a dimension of a given size", 1, 1, 1, make_pad},
    StepKind{"resample", "samples at another rate", 1, 1, 1, make_resample},
    StepKind{"reshape", "another shape, without a copy", 1, 1, 1, make_reshape},
    StepKind{"resize", "an image of another size", 1, 1, 1, make_resize},
    StepKind{"sigmoid", "logits into probabilities, one by one", 1, 1, 1, make_sigmoid},
    StepKind{"slice", "a part of a dimension", 1, 1, 1, make_slice},
    StepKind{"softmax", "logits into probabilities, along the last dimension", 1, 1, 1,
             make_softmax},
    StepKind{"threshold", "which elements reach a value", 1, 1, 1, make_threshold},
    StepKind{"top_k", "the largest of the last dimension, and where", 1, 1, 2, make_top_k},
    StepKind{"transpose", "dimensions in another order", 1, 1, 1, make_transpose},
    StepKind{"wordpiece", "text into token numbers, mask and types", 1, 1, 3, make_wordpiece},
};

}  // namespace

std::span<const StepKind> step_kinds() {
  return kKinds;
}

const StepKind* find_step_kind(std::string_view name) {
  const auto found = std::ranges::find(kKinds, name, &StepKind::name);
  return found == kKinds.end() ? nullptr : &*found;
}

}  // namespace skerry::pipeline
