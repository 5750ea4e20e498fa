// labels: the line of a file for each class number, from 0.
#include <fmt/format.h>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

class Labels : public Step {
 public:
  explicit Labels(std::vector<std::string> names) : names_(std::move(names)) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    SKERRY_ASSIGN(const auto numbers, integers_of(inputs[0]));
    tensor::Bytes text;
    for (const int64_t number : numbers) {
      if (number < 0 || static_cast<size_t>(number) >= names_.size()) {
        return fail(Code::kInvalidArgument,
                    fmt::format("there is no label {}, only 0 to {}", number, names_.size() - 1));
      }
      tensor::append_bytes(text, names_[static_cast<size_t>(number)]);
      if (text.size() > kMaxValueBytes) {
        return fail(Code::kResourceExhausted, "the labels are over 1 GiB");
      }
    }
    return std::vector{own(DataType::kBytes, inputs[0].shape, std::move(text))};
  }
  uint64_t memory_bytes() const override {
    uint64_t bytes = names_.size() * sizeof(std::string);
    for (const std::string& name : names_) bytes += name.capacity();
    return bytes;
  }

 private:
  std::vector<std::string> names_;
};

}  // namespace

Result<StepPtr> make_labels(Settings& settings) {
  SKERRY_ASSIGN(auto names, settings.lines("file"));
  return std::make_unique<Labels>(std::move(names));
}

}  // namespace skerry::pipeline
