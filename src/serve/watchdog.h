// Whether a model still does what it did: inferences that do not end in time, that give NaN or
// infinity where the contract forbids it, or that take ten times what is normal for their inputs'
// shapes. Each is an alarm, and counted; a model that goes on like that is at fault, which whoever
// answers for it is told (skerry-infer load --watch).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace skerry::serve {

struct Alarms {
  uint64_t hangs = 0;       // runs that were over their limit
  uint64_t not_finite = 0;  // runs that made NaN or infinity of finite inputs
  uint64_t slow = 0;

  bool operator==(const Alarms&) const = default;
};

// Of one version of a model; belongs to the loop's thread.
class Watchdog {
 public:
  struct Limits {
    // So many runs over their limit, or not finite, without a good one between them: one may be
    // its request's doing.
    int bad_in_a_row = 3;
    double slow_factor = 10;
    int64_t slow_least_ns = 1'000'000;  // shorter ones may wait for the rest of the machine
    size_t normal_runs = 32;            // whose median is normal for their shapes
    // Slow runs without another one between them, and for how long: a machine that is overloaded
    // for a while is no fault of the model.
    int slow_in_a_row = 8;
    int64_t slow_for_ns = 10'000'000'000;
  };

  Watchdog() = default;
  explicit Watchdog(const Limits& limits) : limits_(limits) {}

  // A run has ended well. `shapes` is shapes_key() of its inputs; 0: its time may depend on more,
  // and nobody can say what is normal.
  void note_good(uint64_t shapes, int64_t infer_ns, int64_t now_ns);
  void note_not_finite(std::string_view output);
  // A run is over its limit and was told to end.
  void note_over_limit(int64_t limit_ms);
  // One that was told so does not: its model is at fault.
  void note_stuck(int64_t limit_ms);

  const Alarms& alarms() const { return alarms_; }
  // What has come since the last call.
  Alarms take_new_alarms();
  // Why the model is at fault, a sentence; "" while it is not. It stays so: another load is
  // another watchdog.
  const std::string& fault() const { return fault_; }

 private:
  static constexpr size_t kMaxShapes = 64;
  struct Normal {
    std::vector<int64_t> first;  // until there are enough
    int64_t median_ns = 0;       // 0: not known yet
  };

  bool is_slow(uint64_t shapes, int64_t infer_ns);
  void set_fault(std::string why);

  Limits limits_;
  Alarms alarms_;
  Alarms taken_;
  std::string fault_;
  int over_limit_in_a_row_ = 0;
  int not_finite_in_a_row_ = 0;
  int slow_in_a_row_ = 0;
  int64_t first_slow_ns_ = 0;
  std::unordered_map<uint64_t, Normal> normals_;  // by shapes
};

}  // namespace skerry::serve
