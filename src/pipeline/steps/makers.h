// The steps there are: what makes each of the file's settings. docs/pipelines.md describes them.
#pragma once

#include "pipeline/step.h"

namespace skerry::pipeline {

Result<StepPtr> make_argmax(Settings& settings);
Result<StepPtr> make_cast(Settings& settings);
Result<StepPtr> make_concat(Settings& settings);
Result<StepPtr> make_constant(Settings& settings);
Result<StepPtr> make_crop(Settings& settings);
Result<StepPtr> make_ctc(Settings& settings);
Result<StepPtr> make_decode_image(Settings& settings);
Result<StepPtr> make_decode_wav(Settings& settings);
Result<StepPtr> make_labels(Settings& settings);
Result<StepPtr> make_mel(Settings& settings);
Result<StepPtr> make_mfcc(Settings& settings);
Result<StepPtr> make_nms(Settings& settings);
Result<StepPtr> make_normalise(Settings& settings);
Result<StepPtr> make_pad(Settings& settings);
Result<StepPtr> make_resample(Settings& settings);
Result<StepPtr> make_reshape(Settings& settings);
Result<StepPtr> make_resize(Settings& settings);
Result<StepPtr> make_sigmoid(Settings& settings);
Result<StepPtr> make_slice(Settings& settings);
Result<StepPtr> make_softmax(Settings& settings);
Result<StepPtr> make_threshold(Settings& settings);
Result<StepPtr> make_top_k(Settings& settings);
Result<StepPtr> make_transpose(Settings& settings);
Result<StepPtr> make_wordpiece(Settings& settings);

}  // namespace skerry::pipeline
