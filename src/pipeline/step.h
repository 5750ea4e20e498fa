// A step of a pipeline: values in, values out, no state. One file of steps/ for each, one row of
// the table in steps.cc.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/node.h"
#include "pipeline/value.h"
#include "runtime/model_source.h"

namespace skerry::pipeline {

class Step {
 public:
  virtual ~Step() = default;
  // As many inputs as the step's kind takes; at least as many outputs as the file names.
  // Thread-safe. kInvalidArgument says what the values are and what was expected.
  virtual Result<std::vector<Value>> run(std::span<const Value> inputs,
                                         const std::stop_token& stop) const = 0;
  // False where its time depends on more than its inputs' shapes.
  virtual bool is_bounded() const { return true; }
  virtual uint64_t memory_bytes() const { return 0; }  // that it holds between runs
};

using StepPtr = std::unique_ptr<const Step>;

// What the file says of one step. What is wrong names the field; what nobody has asked for is found
// out afterwards (check_all_known).
class Settings {
 public:
  Settings(const formats::Node& node, const runtime::ModelSource& source, uint64_t max_file_bytes)
      : node_(node), source_(source), max_file_bytes_(max_file_bytes) {}

  // A whole number of `least` to `most`; one that must be there where no `otherwise` is given.
  Result<int64_t> integer(std::string_view key, int64_t least, int64_t most,
                          std::optional<int64_t> otherwise = {});
  Result<double> number(std::string_view key, double least, double most,
                        std::optional<double> otherwise = {});
  Result<std::vector<double>> numbers(std::string_view key);    // empty where it is absent
  Result<std::vector<int64_t>> integers(std::string_view key);  // must be there
  Result<bool> flag(std::string_view key, bool otherwise);
  // One of `names`, of which the first one is meant where it is absent.
  Result<std::string> choice(std::string_view key, std::span<const std::string_view> names);
  Result<std::optional<std::string>> text(std::string_view key);
  // The lines of a file of the package that `key` names, without their ends.
  Result<std::vector<std::string>> lines(std::string_view key);
  // What stands in the file under `key`, for what is none of the above.
  Result<formats::Node> node(std::string_view key);

  std::unexpected<Error> wrong(std::string_view key, std::string_view message) const;
  // kInvalidArgument for a field that no step has asked for.
  Result<void> check_all_known() const;
  void note(std::string_view key) { known_.emplace(key); }

  const runtime::ModelSource& source() const { return source_; }
  uint64_t max_file_bytes() const { return max_file_bytes_; }

 private:
  Result<std::optional<formats::Node>> find(std::string_view key);

  formats::Node node_;
  const runtime::ModelSource& source_;
  uint64_t max_file_bytes_;
  std::set<std::string, std::less<>> known_;
};

struct StepKind {
  std::string_view name;
  std::string_view what;  // for people
  size_t min_inputs = 1;
  size_t max_inputs = 1;
  size_t outputs = 1;  // at most; a file may name fewer
  Result<StepPtr> (*make)(Settings& settings) = nullptr;
};

std::span<const StepKind> step_kinds();
const StepKind* find_step_kind(std::string_view name);

}  // namespace skerry::pipeline
