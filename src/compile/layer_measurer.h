// Layers measured by programs that are built for it, here or on the machine that they are for.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compile/compiler.h"
#include "compile/lower.h"
#include "compile/toolchain.h"
#include "compile/tuner.h"

namespace skerry::compile {

// Runs a program of measure_layers.c: its path and its argument to what it prints.
using Launch =
    std::function<Result<std::string>(const std::string& program, const std::string& argument)>;
// On this machine; on one that ssh knows how to reach, where it is copied to and removed again.
Launch launch_here();
Launch launch_by_ssh(const std::string& host);

struct MeasuredTimes {
  std::string machine;                  // printable ASCII
  std::vector<std::vector<double>> us;  // of each candidate's layers
};
// What the program printed. Untrusted: kCorrupt where it is not all of that.
Result<MeasuredTimes> parse_times(std::string_view printed, size_t candidates, size_t layers);

class LayerMeasurer : public Measurer {
 public:
  // `prepared` outlives this.
  static Result<std::unique_ptr<LayerMeasurer>> open(const Prepared& prepared, const Target& target,
                                                     Launch launch);

  // Each once, however often the model has it.
  const std::vector<LayerSpace>& layers() const { return layers_; }
  const std::vector<LayerSizes>& sizes() const { return sizes_; }  // of each
  const std::string& machine() const { return machine_; }

  Result<std::vector<std::vector<double>>> measure(
      const std::vector<Assignment>& candidates) override;
  Result<std::vector<double>> measure_whole(const std::vector<Assignment>& candidates) override;
  double seconds() override;

 private:
  LayerMeasurer(const Prepared& prepared, const Target& target, Launch launch, Workshop place);
  Result<std::unique_ptr<Program>> lowered(const Assignment& ways) const;
  Result<std::string> object_of(const Assignment& ways, bool is_whole);
  Result<MeasuredTimes> run(const std::vector<Assignment>& candidates, bool is_whole);

  const Prepared& prepared_;
  const Target& target_;
  Launch launch_;
  Workshop place_;
  std::vector<LayerSpace> layers_;
  std::vector<LayerSizes> sizes_;
  std::vector<size_t> choices_;  // of each layer, the first of the program's
  std::map<std::pair<Assignment, bool>, std::string> objects_;
  size_t built_ = 0;       // so many
  size_t kept_bytes_ = 0;  // of weights in those that are kept
  std::string machine_;
  double start_s_ = 0;
};

}  // namespace skerry::compile
