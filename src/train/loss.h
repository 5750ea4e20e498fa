// Losses: how wrong an answer is, as a scalar. Scores and targets are [rows, …, classes] of one
// shape.
#pragma once

#include <string_view>
#include <vector>

#include "train/builder.h"

namespace skerry::train {

enum class Loss {
  kCrossEntropy,  // scores before softmax, targets that are shares of classes; of one score alone
                  // before the sigmoid
  kFocal,         // the same, rows that are right already count less (Lin et al., 2017)
  kMse,
  kHuber,
};

std::string_view name_of(Loss loss);  // "cross-entropy"
Result<Loss> parse_loss(std::string_view name);
std::vector<std::string> loss_names();
bool is_classification(Loss loss);

struct LossOptions {
  Loss loss = Loss::kCrossEntropy;
  double focus = 2;       // γ of the focal loss
  double transition = 1;  // δ of Huber's
};

// Of each row: [rows].
Value* add_row_losses(Builder& make, const LossOptions& options, Value* scores, Value* target);
// The mean over rows.
Value* add_loss(Builder& make, const LossOptions& options, Value* scores, Value* target);

// T²·KL(teacher ‖ student) of softmaxes at a temperature (Hinton et al., 2015).
Value* add_distillation(Builder& make, Value* scores, Value* teacher, double temperature);

// Mean squared difference of features [rows, channels, …]; where the channels are not as many, of
// the maps of their mean squares (attention transfer, Zagoruyko and Komodakis, 2017).
Result<Value*> add_feature_matching(Builder& make, Value* features, Value* teacher);

}  // namespace skerry::train
