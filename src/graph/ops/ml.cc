// Classic models of ai.onnx.ml: scalers, encoders, linear models, trees. Rows are samples.
#include <algorithm>
#include <cmath>

#include "graph/ops/common.h"
#include "graph/ops/families.h"
#include "graph/ops/trees.h"

namespace skerry::graph::ops {
namespace {

// Samples and features of the first input: one vector is one sample.
std::pair<int64_t, int64_t> matrix_of(const Array& in) {
  if (in.rank() == 1) return {1, in.shape[0]};
  if (in.rank() == 0) return {1, 1};
  return {in.shape[0], product(std::span(in.shape).subspan(1))};
}

// Sample `n` of a matrix.
std::span<const double> row_of(std::span<const double> matrix, int64_t n, int64_t features) {
  return matrix.subspan(static_cast<size_t>(n * features), static_cast<size_t>(features));
}

void apply_post_transform(const std::string& name, std::span<double> scores) {
  if (name == "LOGISTIC") {
    for (double& score : scores) score = 1 / (1 + std::exp(-score));
  } else if (name == "SOFTMAX" || name == "SOFTMAX_ZERO") {
    const bool zeros_stay = name == "SOFTMAX_ZERO";
    const double largest = *std::ranges::max_element(scores);
    double sum = 0;
    for (double& score : scores) {
      if (zeros_stay && score == 0) continue;
      score = std::exp(score - largest);
      sum += score;
    }
    for (double& score : scores) score /= sum;
  }
}

Result<void> check_post_transform(const Inference& inference) {
  const std::string& name = inference.node().string_of("post_transform");
  for (const std::string_view known : {"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"}) {
    if (name == known) return {};
  }
  return inference.refuse("post_transform '{}' is not supported", name);
}

Dim samples_of(const Inference& inference) {
  if (!inference.ranked(0) || inference.rank(0) == 0) return {};
  return inference.rank(0) == 1 ? Dim(1) : inference.shape(0)[0];
}

Result<void> infer_float(Inference& inference) {
  inference.set(0, DataType::kFp32, inference.type(0).shape);
  return {};
}

// offset and scale: one number, or one for each feature.
Result<void> scaler(Evaluation& run) {
  const auto offset = run.node().floats_of("offset");
  const auto scale = run.node().floats_of("scale");
  const auto features = static_cast<size_t>(matrix_of(run.in(0)).second);
  for (const auto* list : {&offset, &scale}) {
    if (list->size() > 1 && list->size() != features) {
      return run.refuse("{} numbers for {} features", list->size(), features);
    }
  }
  const auto x = run.in(0).to_doubles();
  for (size_t i = 0; i < x.size(); ++i) {
    const auto pick = [&](const std::vector<float>& list, double otherwise) {
      return list.empty() ? otherwise : static_cast<double>(list[i % features % list.size()]);
    };
    run.out(0).as<float>()[i] = static_cast<float>((x[i] - pick(offset, 0)) * pick(scale, 1));
  }
  return {};
}

Result<void> normalizer(Evaluation& run) {
  const std::string& norm = run.node().string_of("norm");
  const auto [samples, features] = matrix_of(run.in(0));
  const auto x = run.in(0).to_doubles();
  for (int64_t n = 0; n < samples; ++n) {
    const auto row = row_of(x, n, features);
    double size = 0;
    for (const double value : row) {
      size = norm == "MAX" ? std::max(size, value)
                           : size + (norm == "L1" ? std::abs(value) : value * value);
    }
    if (norm == "L2") size = std::sqrt(size);
    for (size_t i = 0; i < row.size(); ++i) {
      run.out(0).as<float>()[static_cast<size_t>(n * features) + i] =
          static_cast<float>(size == 0 ? row[i] : row[i] / size);
    }
  }
  return {};
}

Result<void> binarizer(Evaluation& run) {
  const double threshold = run.node().float_of("threshold");
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    for (size_t i = 0; i < in.size(); ++i) {
      run.out(0).as<T>()[i] = static_cast<double>(in[i]) > threshold ? T{1} : T{0};
    }
    return {};
  });
}

Result<void> imputer(Evaluation& run) {
  const bool is_float = tensor::is_float(run.in(0).type);
  const auto floats = run.node().floats_of("imputed_value_floats");
  const auto ints = run.node().ints_of("imputed_value_int64s");
  const size_t count = is_float ? floats.size() : ints.size();
  const auto features = static_cast<size_t>(matrix_of(run.in(0)).second);
  if (count != 1 && count != features)
    return run.refuse("{} values for {} features", count, features);
  const double replaced = is_float ? run.node().float_of("replaced_value_float")
                                   : static_cast<double>(run.node().int_of("replaced_value_int64"));
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    for (size_t i = 0; i < in.size(); ++i) {
      const double x = static_cast<double>(in[i]);
      const bool missing = std::isnan(replaced) ? std::isnan(x) : x == replaced;
      const size_t at = i % features % count;
      run.out(0).as<T>()[i] = !missing   ? in[i]
                              : is_float ? static_cast<T>(floats[at])
                                         : static_cast<T>(ints[at]);
    }
    return {};
  });
}

Result<void> infer_extract(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0) || inference.rank(0) == 0) return {};
  Shape shape = inference.shape(0);
  if (shape.size() == 1) shape.insert(shape.begin(), Dim(1));
  const auto count = count_of(inference.type(1));
  shape.back() = count ? Dim(*count) : Dim();
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> extract(Evaluation& run) {
  const auto picks = run.in(1).to_ints();
  if (run.in(0).rank() == 0) return run.refuse("takes vectors, it is given a scalar");
  const int64_t size = run.in(0).shape.back();
  for (const int64_t pick : picks) {
    if (pick < 0 || pick >= size) return run.refuse("feature {} of {}", pick, size);
  }
  move_elements(run.in(0), run.out(0), [&](size_t i) {
    const size_t row = i / picks.size();
    return static_cast<int64_t>(row) * size + picks[i % picks.size()];
  });
  return {};
}

// --- Encoders -----------------------------------------------------------------------------------

// Keys or values of a LabelEncoder, in whichever of its lists they stand.
struct LabelList {
  std::vector<std::string> strings;
  std::vector<double> numbers;
  DataType type = DataType::kInt64;
  bool present = false;
  size_t size() const { return type == DataType::kBytes ? strings.size() : numbers.size(); }
};

LabelList labels_of(const Node& node, const std::string& prefix) {
  LabelList labels;
  if (const auto strings = node.strings_of(prefix + "_strings"); !strings.empty()) {
    return {.strings = strings, .type = DataType::kBytes, .present = true};
  }
  if (const auto ints = node.ints_of(prefix + "_int64s"); !ints.empty()) {
    return {.numbers = {ints.begin(), ints.end()}, .present = true};
  }
  if (const auto floats = node.floats_of(prefix + "_floats"); !floats.empty()) {
    return {.numbers = {floats.begin(), floats.end()}, .type = DataType::kFp32, .present = true};
  }
  return labels;
}

Result<void> infer_label_encoder(Inference& inference) {
  const LabelList keys = labels_of(inference.node(), "keys");
  const LabelList values = labels_of(inference.node(), "values");
  if (!keys.present || keys.size() != values.size()) {
    return inference.refuse("{} keys and {} values", keys.size(), values.size());
  }
  inference.set(0, values.type, inference.type(0).shape);
  return {};
}

Result<void> label_encoder(Evaluation& run) {
  const LabelList keys = labels_of(run.node(), "keys");
  const LabelList values = labels_of(run.node(), "values");
  const bool texts = run.in(0).type == DataType::kBytes;
  if (texts != (keys.type == DataType::kBytes)) return run.refuse("its keys are of another type");
  const auto numbers = texts ? std::vector<double>() : run.in(0).to_doubles();
  const double otherwise = values.type == DataType::kFp32
                               ? run.node().float_of("default_float")
                               : static_cast<double>(run.node().int_of("default_int64"));
  for (size_t i = 0; i < run.in(0).count(); ++i) {
    size_t at = 0;
    const auto same = [&] {
      if (texts) return keys.strings[at] == run.in(0).strings[i];
      return keys.numbers[at] == numbers[i] ||
             (std::isnan(keys.numbers[at]) && std::isnan(numbers[i]));
    };
    while (at < keys.size() && !same()) ++at;
    const bool found = at < keys.size();
    if (values.type == DataType::kBytes) {
      run.out(0).strings[i] = found ? values.strings[at] : run.node().string_of("default_string");
    } else if (values.type == DataType::kFp32) {
      run.out(0).as<float>()[i] = static_cast<float>(found ? values.numbers[at] : otherwise);
    } else {
      run.out(0).as<int64_t>()[i] = static_cast<int64_t>(found ? values.numbers[at] : otherwise);
    }
  }
  return {};
}

size_t categories_of(const Node& node) {
  return std::max(node.ints_of("cats_int64s").size(), node.strings_of("cats_strings").size());
}

Result<void> infer_one_hot_encoder(Inference& inference) {
  std::optional<Shape> shape = inference.type(0).shape;
  if (shape) shape->emplace_back(static_cast<int64_t>(categories_of(inference.node())));
  inference.set(0, DataType::kFp32, std::move(shape));
  return {};
}

Result<void> one_hot_encoder(Evaluation& run) {
  const auto strings = run.node().strings_of("cats_strings");
  const auto ints = run.node().ints_of("cats_int64s");
  const bool texts = run.in(0).type == DataType::kBytes;
  const size_t count = texts ? strings.size() : ints.size();
  if (count != categories_of(run.node())) return run.refuse("its categories are of another type");
  const auto numbers = texts ? std::vector<int64_t>() : run.in(0).to_ints();
  for (size_t i = 0; i < run.in(0).count(); ++i) {
    bool found = false;
    for (size_t k = 0; k < count; ++k) {
      const bool hit = texts ? strings[k] == run.in(0).strings[i] : ints[k] == numbers[i];
      run.out(0).as<float>()[i * count + k] = hit ? 1.0F : 0.0F;
      found = found || hit;
    }
    if (!found && run.node().int_of("zeros") == 0) return run.refuse("an unknown category");
  }
  return {};
}

// --- Linear models ------------------------------------------------------------------------------

// Rows of coefficients times features, plus intercepts.
std::vector<double> linear(const Evaluation& run, size_t rows) {
  const auto [samples, features] = matrix_of(run.in(0));
  const auto x = run.in(0).to_doubles();
  const auto coefficients = run.node().floats_of("coefficients");
  const auto intercepts = run.node().floats_of("intercepts");
  std::vector<double> scores;
  for (int64_t n = 0; n < samples; ++n) {
    for (size_t row = 0; row < rows; ++row) {
      double sum = row < intercepts.size() ? intercepts[row] : 0;
      for (int64_t i = 0; i < features; ++i) {
        sum += x[static_cast<size_t>(n * features + i)] *
               coefficients[row * static_cast<size_t>(features) + static_cast<size_t>(i)];
      }
      scores.push_back(sum);
    }
  }
  return scores;
}

Result<void> check_linear(const Evaluation& run, size_t rows) {
  const auto features = static_cast<size_t>(matrix_of(run.in(0)).second);
  const size_t have = run.node().floats_of("coefficients").size();
  if (rows > 0 && have == rows * features) return {};
  return run.refuse("{} coefficients for {} targets of {} features", have, rows, features);
}

Result<void> infer_linear_regressor(Inference& inference) {
  SKERRY_TRY(check_post_transform(inference));
  inference.set(0, DataType::kFp32,
                Shape{samples_of(inference), Dim(inference.node().int_of("targets"))});
  return inference.node().int_of("targets") > 0 ? Result<void>() : inference.refuse("no target");
}

Result<void> linear_regressor(Evaluation& run) {
  const auto targets = static_cast<size_t>(run.node().int_of("targets"));
  SKERRY_TRY(check_linear(run, targets));
  auto scores = linear(run, targets);
  for (size_t i = 0; i < scores.size(); i += targets) {
    apply_post_transform(run.node().string_of("post_transform"),
                         std::span(scores).subspan(i, targets));
  }
  for (size_t i = 0; i < scores.size(); ++i)
    run.out(0).as<float>()[i] = static_cast<float>(scores[i]);
  return {};
}

size_t classes_of(const Node& node) {
  return std::max(
      node.ints_of("classlabels_int64s").size() + node.ints_of("classlabels_ints").size(),
      node.strings_of("classlabels_strings").size());
}

Result<void> infer_classifier(Inference& inference) {
  SKERRY_TRY(check_post_transform(inference));
  const size_t classes = classes_of(inference.node());
  if (classes == 0) return inference.refuse("has no class labels");
  const bool texts = !inference.node().strings_of("classlabels_strings").empty();
  inference.set(0, texts ? DataType::kBytes : DataType::kInt64, Shape{samples_of(inference)});
  inference.set(1, DataType::kFp32,
                Shape{samples_of(inference), Dim(static_cast<int64_t>(classes))});
  return {};
}

// The label of the highest score, and the scores after the transform.
void store_classes(Evaluation& run, size_t sample, std::span<double> scores, size_t best) {
  const Node& node = run.node();
  const auto strings = node.strings_of("classlabels_strings");
  auto ints = node.ints_of("classlabels_int64s");
  if (ints.empty()) ints = node.ints_of("classlabels_ints");
  if (run.wants(0)) {
    if (strings.empty()) {
      run.out(0).as<int64_t>()[sample] = ints[best];
    } else {
      run.out(0).strings[sample] = strings[best];
    }
  }
  for (size_t k = 0; run.wants(1) && k < scores.size(); ++k) {
    run.out(1).as<float>()[sample * scores.size() + k] = static_cast<float>(scores[k]);
  }
}

Result<void> linear_classifier(Evaluation& run) {
  const size_t classes = classes_of(run.node());
  SKERRY_TRY(check_linear(run, classes));
  auto scores = linear(run, classes);
  for (size_t i = 0; i < scores.size(); i += classes) {
    const std::span row = std::span(scores).subspan(i, classes);
    const auto best = static_cast<size_t>(std::ranges::max_element(row) - row.begin());
    apply_post_transform(run.node().string_of("post_transform"), row);
    store_classes(run, i / classes, row, best);
  }
  return {};
}

// --- Trees --------------------------------------------------------------------------------------

Result<void> infer_tree_regressor(Inference& inference) {
  SKERRY_TRY(check_post_transform(inference));
  const int64_t targets = inference.node().int_of("n_targets");
  if (targets < 1 || targets > (1 << 20)) return inference.refuse("{} targets", targets);
  inference.set(0, DataType::kFp32, Shape{samples_of(inference), Dim(targets)});
  return {};
}

Result<void> tree_regressor(Evaluation& run) {
  const auto targets = static_cast<size_t>(run.node().int_of("n_targets"));
  SKERRY_ASSIGN(const Trees trees, Trees::from(run, "target", targets));
  const auto [samples, features] = matrix_of(run.in(0));
  const auto x = run.in(0).to_doubles();
  for (int64_t n = 0; n < samples; ++n) {
    const auto row = row_of(x, n, features);
    SKERRY_ASSIGN(auto scores, trees.evaluate(run, row));
    apply_post_transform(run.node().string_of("post_transform"), scores);
    for (size_t k = 0; k < targets; ++k) {
      run.out(0).as<float>()[static_cast<size_t>(n) * targets + k] = static_cast<float>(scores[k]);
    }
  }
  return {};
}

// Two classes with weights for the first only: they are the second's, and the first's follows.
void complete_binary(std::vector<double>& scores, bool all_positive, bool logistic) {
  const double score = scores[0];
  scores = {all_positive ? 1 - score : -score, score};
  if (logistic && !all_positive) apply_post_transform("LOGISTIC", scores);
}

Result<void> tree_classifier(Evaluation& run) {
  const size_t classes = classes_of(run.node());
  SKERRY_ASSIGN(const Trees trees, Trees::from(run, "class", classes));
  const std::string& transform = run.node().string_of("post_transform");
  const auto [samples, features] = matrix_of(run.in(0));
  const auto x = run.in(0).to_doubles();
  for (int64_t n = 0; n < samples; ++n) {
    const auto row = row_of(x, n, features);
    SKERRY_ASSIGN(auto scores, trees.evaluate(run, row));
    auto best = static_cast<size_t>(std::ranges::max_element(scores) - scores.begin());
    const auto only = classes == 2 ? trees.only_target() : std::nullopt;
    if (only) best = scores[*only] > (trees.all_positive() ? 0.5 : 0) ? 1 : 0;
    if (only && *only == 0) {
      complete_binary(scores, trees.all_positive(), transform == "LOGISTIC");
    } else {
      apply_post_transform(transform, scores);
    }
    store_classes(run, static_cast<size_t>(n), scores, best);
  }
  return {};
}

#define SKERRY_TREE_NODES                                                             \
  "nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats "              \
  "nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints "      \
  "nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats base_values:floats " \
  "post_transform:string=NONE "

}  // namespace

std::span<const OperatorRow> ml_rows() {
  static const OperatorRow kRows[] = {
      {"Scaler", "X -> Y", "offset:floats scale:floats", infer_float, scaler},
      {"Normalizer", "X -> Y", "norm:string=MAX", infer_float, normalizer},
      {"Binarizer", "X -> Y", "threshold:float=0", infer_same, binarizer},
      {"Imputer", "X -> Y",
       "imputed_value_floats:floats imputed_value_int64s:ints replaced_value_float:float=0 "
       "replaced_value_int64:int=0",
       infer_same, imputer},
      {"ArrayFeatureExtractor", "X Y:i -> Z", "", infer_extract, extract},
      {"LabelEncoder", "X -> Y",
       "default_float:float=0 default_int64:int=-1 default_string:string=_Unused "
       "keys_floats:floats keys_int64s:ints keys_strings:strings values_floats:floats "
       "values_int64s:ints values_strings:strings",
       infer_label_encoder, label_encoder},
      {"OneHotEncoder", "X -> Y", "cats_int64s:ints cats_strings:strings zeros:int=1",
       infer_one_hot_encoder, one_hot_encoder},
      {"LinearRegressor", "X -> Y",
       "coefficients:floats intercepts:floats post_transform:string=NONE targets:int=1",
       infer_linear_regressor, linear_regressor},
      {"LinearClassifier", "X -> Y Z",
       "classlabels_int64s:ints classlabels_ints:ints classlabels_strings:strings "
       "coefficients:floats! "
       "intercepts:floats multi_class:int=0 post_transform:string=NONE",
       infer_classifier, linear_classifier},
      {"TreeEnsembleRegressor", "X -> Y",
       SKERRY_TREE_NODES "aggregate_function:string=SUM n_targets:int=1 target_ids:ints "
                         "target_nodeids:ints target_treeids:ints target_weights:floats",
       infer_tree_regressor, tree_regressor},
      {"TreeEnsembleClassifier", "X -> Y Z",
       SKERRY_TREE_NODES "class_ids:ints class_nodeids:ints class_treeids:ints "
                         "class_weights:floats classlabels_int64s:ints classlabels_ints:ints "
                         "classlabels_strings:strings",
       infer_classifier, tree_classifier},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
