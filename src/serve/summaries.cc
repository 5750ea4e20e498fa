// Counting predictions, and the queue of summaries.
#include "serve/summaries.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

namespace skerry::serve {
namespace {

using formats::InferenceSummary;
using formats::ModelCounts;
using formats::ModelSummary;
using formats::ScoreActivation;

double sigmoid(double logit) {
  return 1 / (1 + std::exp(-logit));
}

// One score of two classes: how likely is class 1?
void count_single(double score, ScoreActivation activation, ModelCounts& counts) {
  const double probability = activation == ScoreActivation::kNone ? score : sigmoid(score);
  const bool is_one = probability >= 0.5;
  counts.add_prediction(is_one ? 1 : 0, is_one ? probability : 1 - probability);
}

template <class T>
void count_row(const T* row, size_t classes, ScoreActivation activation, ModelCounts& counts) {
  if (classes == 1) return count_single(static_cast<double>(*row), activation, counts);
  const auto winner = static_cast<size_t>(std::max_element(row, row + classes) - row);
  const auto highest = static_cast<double>(row[winner]);
  double confidence = highest;
  if (activation == ScoreActivation::kSigmoid) confidence = sigmoid(highest);
  if (activation == ScoreActivation::kSoftmax) {
    double sum = 0;
    for (size_t i = 0; i < classes; ++i) sum += std::exp(static_cast<double>(row[i]) - highest);
    confidence = 1 / sum;
  }
  counts.add_prediction(winner, confidence);
}

template <class T>
void count_rows(const tensor::Tensor& output, ScoreActivation activation, ModelCounts& counts) {
  const size_t scores = output.bytes.size() / sizeof(T);
  const size_t classes = output.shape.empty() ? 1 : static_cast<size_t>(output.shape.back());
  if (classes == 0 || scores < classes) return;
  const size_t rows = scores / classes;
  const size_t counted = std::max<size_t>(1, kMaxCountedScores / classes);
  const size_t step = (rows + counted - 1) / counted;
  const auto* values = reinterpret_cast<const T*>(output.bytes.data());
  for (size_t row = 0; row < rows; row += step) {
    count_row(values + row * classes, classes, activation, counts);
  }
}

// True where all of both fit into one summary.
bool merge(InferenceSummary& into, const InferenceSummary& from) {
  std::map<formats::ModelId, ModelCounts> sums;
  for (const InferenceSummary* part : {&std::as_const(into), &from}) {
    for (const ModelSummary& model : part->models) sums[model.model].add(model.counts);
  }
  if (sums.size() > formats::kMaxSummaryModels) return false;
  into.models.clear();
  for (auto& [model, counts] : sums) into.models.push_back({model, counts});
  into.end_ms = std::max(into.end_ms, from.end_ms);
  return true;
}

}  // namespace

void count_predictions(const formats::ModelScores& scores, std::span<const tensor::Tensor> outputs,
                       ModelCounts& counts) {
  const auto output = std::ranges::find(outputs, scores.output, &tensor::Tensor::name);
  if (output == outputs.end()) return;
  if (output->type == tensor::DataType::kFp32) {
    count_rows<float>(*output, scores.activation, counts);
  } else if (output->type == tensor::DataType::kFp64) {
    count_rows<double>(*output, scores.activation, counts);
  }
}

ModelCounts& Summaries::counts_of(ServedModel& model) {
  if (!model.counts) {
    model.counts = std::make_shared<ModelCounts>();
    entries_.push_back({{model.name, model.version}, model.counts});
  }
  return *model.counts;
}

void Summaries::add_failure(ServedModel& model, Code code) {
  ModelCounts& counts = counts_of(model);
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kUnsupported:
    case Code::kResourceExhausted:
    case Code::kCancelled:
      ++counts.refused;
      break;
    default:
      ++counts.errors;
  }
}

void Summaries::add_alarms(ServedModel& model) {
  const Alarms alarms = model.watchdog.take_new_alarms();
  if (alarms == Alarms()) return;
  ModelCounts& counts = counts_of(model);
  counts.hangs += alarms.hangs;
  counts.not_finite += alarms.not_finite;
  counts.slow += alarms.slow;
}

void Summaries::close_period(int64_t now_ms) {
  std::map<formats::ModelId, ModelCounts> sums;  // a version that was loaded again has two entries
  for (const Entry& entry : entries_) {
    if (*entry.counts != ModelCounts()) sums[entry.model].add(*entry.counts);
    *entry.counts = {};
  }
  std::erase_if(entries_, [](const Entry& entry) { return entry.counts.use_count() == 1; });
  const int64_t start_ms = std::exchange(since_ms_, now_ms);
  for (auto& [model, counts] : sums) {
    if (waiting_.empty() || waiting_.back().end_ms != now_ms || waiting_.back().sequence != 0 ||
        waiting_.back().models.size() == formats::kMaxSummaryModels) {
      waiting_.push_back({run_, 0, start_ms, now_ms, {}});
    }
    waiting_.back().models.push_back({model, counts});
  }
  while (waiting_.size() > kKept) merge_oldest();
}

// One that was given out may have arrived: it stays as it is.
void Summaries::merge_oldest() {
  const size_t oldest = waiting_.front().sequence == 0 ? 0 : 1;
  const auto next = waiting_.begin() + static_cast<ptrdiff_t>(oldest) + 1;
  if (merge(waiting_[oldest], *next)) {
    waiting_.erase(next);
  } else {
    waiting_.erase(next - 1);
  }
}

const InferenceSummary* Summaries::next() {
  if (waiting_.empty()) return nullptr;
  InferenceSummary& summary = waiting_.front();
  if (summary.sequence == 0) summary.sequence = ++last_sequence_;
  return &summary;
}

void Summaries::sent() {
  waiting_.pop_front();
}

}  // namespace skerry::serve
