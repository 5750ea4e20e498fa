// ctc: the text of scores [time, symbols] (or [1, time, symbols]): the best symbol of each time,
// repetitions taken once, "blank" left out. "file" has the symbols, one a line.
#include <fmt/format.h>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

class Ctc : public Step {
 public:
  Ctc(std::vector<std::string> symbols, size_t blank)
      : symbols_(std::move(symbols)), blank_(blank) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& in = inputs[0];
    const size_t rank = in.shape.size();
    const bool fits = (rank == 2 || (rank == 3 && in.shape[0] == 1)) &&
                      in.shape.back() == static_cast<int64_t>(symbols_.size());
    if (!fits) {
      return fail(Code::kInvalidArgument,
                  fmt::format("it takes [time, {}], not {}", symbols_.size(), in.describe()));
    }
    SKERRY_ASSIGN(const Floats scores, Floats::of(in));
    std::string text;
    size_t before = blank_;
    for (size_t first = 0; first < scores.size(); first += symbols_.size()) {
      size_t best = 0;
      for (size_t i = 1; i < symbols_.size(); ++i) {
        if (scores[first + i] > scores[first + best]) best = i;
      }
      if (best != blank_ && best != before) text += symbols_[best];
      before = best;
    }
    tensor::Bytes bytes;
    tensor::append_bytes(bytes, text);
    return std::vector{own(DataType::kBytes, {1}, std::move(bytes))};
  }

 private:
  std::vector<std::string> symbols_;
  size_t blank_;
};

}  // namespace

Result<StepPtr> make_ctc(Settings& settings) {
  SKERRY_ASSIGN(auto symbols, settings.lines("file"));
  const auto last = static_cast<int64_t>(symbols.size()) - 1;
  SKERRY_ASSIGN(const int64_t blank, settings.integer("blank", 0, last, 0));
  return std::make_unique<Ctc>(std::move(symbols), static_cast<size_t>(blank));
}

}  // namespace skerry::pipeline
