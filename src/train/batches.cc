// Gathering rows, one-hot targets, augmentation.
#include "train/batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>

#include "train/draw.h"

namespace skerry::train {
namespace {

using tensor::Tensor;

constexpr uint64_t kShuffle = 1;
constexpr uint64_t kAugment = 2;

std::span<float> floats_of(Tensor& tensor) {
  return {reinterpret_cast<float*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(float)};
}

int64_t product(std::span<const int64_t> sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return count;
}

// By `down` and `right`; what comes in is the edge again.
void shift_plane(std::span<float> plane, int64_t height, int64_t width, int64_t down,
                 int64_t right) {
  const std::vector<float> before(plane.begin(), plane.end());
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const int64_t from_y = std::clamp<int64_t>(y - down, 0, height - 1);
      const int64_t from_x = std::clamp<int64_t>(x - right, 0, width - 1);
      plane[static_cast<size_t>(y * width + x)] =
          before[static_cast<size_t>(from_y * width + from_x)];
    }
  }
}

void augment_row(std::span<float> row, const Sizes& shape, const Augmentation& how, Draw& draw) {
  const int64_t width = shape.back();
  const int64_t height = shape.size() > 3 ? shape[shape.size() - 2] : 1;
  const bool flipped = how.flip && draw.below(2) == 1;
  const auto span = static_cast<uint64_t>(2 * how.shift + 1);
  const int64_t right = static_cast<int64_t>(draw.below(span)) - how.shift;
  const int64_t down = height > 1 ? static_cast<int64_t>(draw.below(span)) - how.shift : 0;
  const auto plane_size = static_cast<size_t>(height * width);
  for (size_t at = 0; at + plane_size <= row.size(); at += plane_size) {
    const std::span<float> plane = row.subspan(at, plane_size);
    if (right != 0 || down != 0) shift_plane(plane, height, width, down, right);
    for (int64_t y = 0; flipped && y < height; ++y) {
      std::ranges::reverse(
          plane.subspan(static_cast<size_t>(y * width), static_cast<size_t>(width)));
    }
  }
  if (how.noise <= 0) return;
  for (float& value : row) value += static_cast<float>(how.noise * draw.normal());
}

// `rows` samples of one row each, one below the other.
Result<std::vector<Tensor>> gathered(const optimise::Dataset& data,
                                     const std::vector<size_t>& rows) {
  std::vector<Tensor> inputs;
  for (const size_t row : rows) {
    SKERRY_ASSIGN(optimise::Sample sample, data.sample(row));
    if (inputs.empty()) {
      inputs = std::move(sample);
      for (Tensor& input : inputs) input.bytes.reserve(input.bytes.size() * rows.size());
      continue;
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      inputs[i].bytes.insert(inputs[i].bytes.end(), sample[i].bytes.begin(), sample[i].bytes.end());
      inputs[i].shape[0] += 1;
    }
  }
  return inputs;
}

}  // namespace

Result<void> parse_augmentation(std::string_view text, Augmentation& into) {
  const size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? "" : text.substr(equals + 1);
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool is_number = error == std::errc() && end == value.data() + value.size() && number > 0;
  if (name == "flip" && value.empty()) {
    into.flip = true;
  } else if (name == "shift" && is_number && number <= 1e6) {
    into.shift = static_cast<int64_t>(number);
  } else if (name == "noise" && is_number) {
    into.noise = number;
  } else {
    return fail(
        Code::kInvalidArgument,
        fmt::format("there is no augmentation '{}'; there are flip, shift=2 and noise=0.05", text));
  }
  return {};
}

Result<Batches> Batches::open(const optimise::Dataset& data, const Sizes& answer, Loss loss,
                              bool unlabelled) {
  Batches batches;
  batches.data_ = &data;
  batches.row_.assign(answer.begin() + 1, answer.end());
  batches.unlabelled_ = unlabelled && !data.has_labels();
  if (data.rows_per_sample() != 1) {
    return fail(Code::kInvalidArgument, "the model takes a fixed number of rows at a time");
  }
  if (data.has_labels()) {
    SKERRY_TRY(batches.check_labels(loss));
  } else if (!batches.unlabelled_) {
    SKERRY_ASSIGN(const optimise::Sample sample, data.sample(0));
    const bool same = sample.size() == 1 && sample[0].type == DataType::kFp32 &&
                      std::equal(sample[0].shape.begin() + 1, sample[0].shape.end(),
                                 batches.row_.begin(), batches.row_.end());
    if (is_classification(loss) || !same) {
      return fail(Code::kInvalidArgument,
                  "there are no labels: give --labels, or a --teacher, or --loss mse for a model "
                  "that answers with its own input");
    }
  }
  return batches;
}

Result<void> Batches::check_labels(Loss loss) const {
  if (row_.size() != 1) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("one label a row does not go with answers [rows,{}]", fmt::join(row_, ",")));
  }
  const int64_t classes = row_[0] == 1 && is_classification(loss) ? 2 : row_[0];
  std::set<int64_t> seen;
  for (size_t row = 0; row < data_->rows(); ++row) {
    const int64_t label = data_->label(row);
    if (label < 0 || label >= classes) {
      return fail(Code::kInvalidArgument,
                  fmt::format("row {} has the label {}, the model answers for classes 0 to {}; "
                              "--classes gives it others",
                              row, label, classes - 1));
    }
    seen.insert(label);
  }
  if (is_classification(loss) && seen.size() < 2) {
    return fail(Code::kInvalidArgument,
                fmt::format("all rows have the one label {}: there is nothing to tell apart",
                            *seen.begin()));
  }
  return {};
}

std::vector<size_t> Batches::shuffled(const std::vector<size_t>& rows, uint64_t seed,
                                      uint64_t epoch) {
  Draw draw(seed ^ epoch << 32, kShuffle);
  std::vector<size_t> order = draw.permutation(rows.size());
  for (size_t& at : order) at = rows[at];
  return order;
}

Result<Batch> Batches::take(const std::vector<size_t>& rows) const {
  Batch batch;
  SKERRY_ASSIGN(batch.inputs, gathered(*data_, rows));
  Tensor& target = batch.target;
  target.type = DataType::kFp32;
  target.shape = row_;
  target.shape.insert(target.shape.begin(), static_cast<int64_t>(rows.size()));
  if (!data_->has_labels() && !unlabelled_) {
    target.bytes = batch.inputs[0].bytes;
    return batch;
  }
  const auto size = static_cast<size_t>(product(row_));
  target.bytes.resize(rows.size() * size * sizeof(float));
  if (unlabelled_) return batch;
  const auto numbers = floats_of(target);
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t label = data_->label(rows[i]);
    batch.labels.push_back(label);
    if (size == 1) {
      numbers[i] = static_cast<float>(label);
    } else {
      numbers[i * size + static_cast<size_t>(label)] = 1;
    }
  }
  return batch;
}

Result<Batch> Batches::take_augmented(const std::vector<size_t>& rows,
                                      const Augmentation& augmentation, uint64_t seed,
                                      uint64_t epoch) const {
  SKERRY_ASSIGN(Batch batch, take(rows));
  Augmentation how = augmentation;
  // Where the model answers with its input, that stays where it is, and noise is what it removes.
  if (!has_labels() && !unlabelled_) how = {.noise = augmentation.noise};
  if (!how.any()) return batch;
  for (Tensor& input : batch.inputs) {
    if (input.type != DataType::kFp32 || input.shape.size() < 2) continue;
    const auto numbers = floats_of(input);
    const size_t size = numbers.size() / rows.size();
    for (size_t i = 0; i < rows.size(); ++i) {
      Draw draw(seed ^ epoch << 32 ^ rows[i] << 1, kAugment);
      augment_row(numbers.subspan(i * size, size), input.shape, how, draw);
    }
  }
  return batch;
}

}  // namespace skerry::train
