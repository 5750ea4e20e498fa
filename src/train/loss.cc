// Losses as nodes.
#include "train/loss.h"

#include <fmt/format.h>

#include <numeric>

namespace skerry::train {
namespace {

struct Named {
  Loss loss;
  std::string_view name;
};
constexpr Named kNames[] = {{Loss::kCrossEntropy, "cross-entropy"},
                            {Loss::kFocal, "focal"},
                            {Loss::kMse, "mse"},
                            {Loss::kHuber, "huber"}};

int64_t rows_of(const Value& scores) {
  return sizes_of(scores)[0];
}

// Sums of each row: [rows].
Value* row_sums(Builder& make, Value* terms, double factor) {
  Sizes axes(sizes_of(*terms).size() - 1);
  std::iota(axes.begin(), axes.end(), 1);
  return make.scale(make.sum(terms, axes, false), factor);
}

Value* row_means(Builder& make, Value* terms) {
  const int64_t each = count_of(*terms) / rows_of(*terms);
  return row_sums(make, terms, 1 / static_cast<double>(each));
}

Value* log_softmax(Builder& make, Value* scores) {
  return make.op("LogSoftmax", {scores}, {{"axis", int64_t{-1}}});
}

// −t·log σ(x) − (1−t)·log σ(−x), by softplus so that nothing overflows; each weighted by how wrong
// it is to the power `focus`.
Value* binary(Builder& make, Value* x, Value* target, double focus) {
  Value* other = make.sub(make.number(1), target);
  Value* if_one = make.mul(target, make.op("Softplus", {make.neg(x)}));
  Value* if_zero = make.mul(other, make.op("Softplus", {x}));
  if (focus > 0) {
    const auto wrong = [&](Value* score) {
      return make.op("Pow", {make.op("Sigmoid", {score}), make.number(focus)});
    };
    if_one = make.mul(if_one, wrong(make.neg(x)));
    if_zero = make.mul(if_zero, wrong(x));
  }
  return row_means(make, make.add(if_one, if_zero));
}

// Where a row has several places, each with a score for every class, their mean.
Value* classification(Builder& make, Value* scores, Value* target, double focus) {
  const int64_t classes = sizes_of(*scores).back();
  if (classes == 1) return binary(make, scores, target, focus);
  Value* logs = log_softmax(make, scores);
  Value* terms = make.mul(target, logs);
  if (focus > 0) {
    Value* wrong = make.sub(make.number(1), make.op("Exp", {logs}));
    terms = make.mul(terms, make.op("Pow", {make.op("Relu", {wrong}), make.number(focus)}));
  }
  const int64_t places = count_of(*scores) / (rows_of(*scores) * classes);
  return row_sums(make, terms, -1 / static_cast<double>(places));
}

Value* huber(Builder& make, Value* difference, double transition) {
  Value* size = make.op("Abs", {difference});
  Value* square = make.scale(make.square(difference), 0.5);
  Value* line = make.scale(make.plus(size, -transition / 2), transition);
  Value* near = make.op("LessOrEqual", {size, make.number(transition)});
  return row_means(make, make.op("Where", {near, square, line}));
}

Value* mean_of_rows(Builder& make, Value* rows) {
  return make.scale(make.sum_all(rows), 1 / static_cast<double>(rows_of(*rows)));
}

// Mean squares over channels, of length 1 in each row.
Value* attention(Builder& make, Value* features) {
  const Sizes sizes = sizes_of(*features);
  Value* map = make.mean(make.square(features), {1}, false);
  map = make.reshape(map, {sizes[0], count_of(*map) / sizes[0]});
  Value* length = make.op("Sqrt", {make.plus(make.sum(make.square(map), {1}), 1e-12)});
  return make.div(map, length);
}

}  // namespace

std::string_view name_of(Loss loss) {
  for (const Named& one : kNames) {
    if (one.loss == loss) return one.name;
  }
  return "";
}

std::vector<std::string> loss_names() {
  std::vector<std::string> names;
  for (const Named& one : kNames) names.emplace_back(one.name);
  return names;
}

Result<Loss> parse_loss(std::string_view name) {
  for (const Named& one : kNames) {
    if (one.name == name) return one.loss;
  }
  return fail(Code::kInvalidArgument, fmt::format("there is no loss '{}'; there are {}", name,
                                                  fmt::join(loss_names(), ", ")));
}

bool is_classification(Loss loss) {
  return loss == Loss::kCrossEntropy || loss == Loss::kFocal;
}

Value* add_row_losses(Builder& make, const LossOptions& options, Value* scores, Value* target) {
  switch (options.loss) {
    case Loss::kCrossEntropy:
      return classification(make, scores, target, 0);
    case Loss::kFocal:
      return classification(make, scores, target, options.focus);
    case Loss::kMse:
      return row_means(make, make.square(make.sub(scores, target)));
    case Loss::kHuber:
      break;
  }
  return huber(make, make.sub(scores, target), options.transition);
}

Value* add_loss(Builder& make, const LossOptions& options, Value* scores, Value* target) {
  return mean_of_rows(make, add_row_losses(make, options, scores, target));
}

Value* add_distillation(Builder& make, Value* scores, Value* teacher, double temperature) {
  Value* student = log_softmax(make, make.scale(scores, 1 / temperature));
  Value* wanted = log_softmax(make, make.scale(teacher, 1 / temperature));
  Value* terms = make.mul(make.op("Exp", {wanted}), make.sub(wanted, student));
  const int64_t places = count_of(*scores) / sizes_of(*scores).back();
  return make.scale(make.sum_all(terms), temperature * temperature / static_cast<double>(places));
}

Result<Value*> add_feature_matching(Builder& make, Value* features, Value* teacher) {
  const Sizes ours = sizes_of(*features);
  const Sizes theirs = sizes_of(*teacher);
  if (ours == theirs) {
    Value* squares = make.square(make.sub(features, teacher));
    return mean_of_rows(make, row_means(make, squares));
  }
  const bool same_places = ours.size() > 2 && ours.size() == theirs.size() &&
                           ours[0] == theirs[0] &&
                           std::equal(ours.begin() + 2, ours.end(), theirs.begin() + 2);
  if (!same_places) {
    return fail(Code::kInvalidArgument,
                fmt::format("features {} of the student do not go with {} of the teacher",
                            graph::to_string(features->type()), graph::to_string(teacher->type())));
  }
  Value* difference = make.sub(attention(make, features), attention(make, teacher));
  return make.scale(make.sum_all(make.square(difference)), 1 / static_cast<double>(ours[0]));
}

}  // namespace skerry::train
