// Rounds of federated learning, as a machine that survives crashes at any write: devices ask, get a
// round to train, send an update; enough updates, or a deadline with a quorum, end the round.
//
//   ask ─► train ─► upload (durable, then acknowledged) ─► combine ─► commit ─► next round
//
// On the disk: `state`, one record that says which round is on and who takes part; `model-N`, the
// model after N rounds; `updates-A/`, the updates of attempt A. A round is committed when `state`
// names its model. What has not been committed is combined again from the same updates.
//
// After an error of the disk (kInternal, kResourceExhausted) this object is to be opened anew.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "federated/privacy.h"
#include "federated/strategy.h"
#include "io/files.h"
#include "io/random.h"

namespace skerry::federated {

struct Plan {
  StrategyOptions strategy;
  size_t rounds = 10;
  size_t wanted = 10;           // updates that end a round
  double over_selection = 1.3;  // so many times as many devices are asked
  size_t quorum = 1;            // fewest updates that make a round, at the deadline
  double deadline_s = 600;
  // Privacy; without noise there is none.
  double clip = 0;   // longest update; 0: any
  double noise = 0;  // times the longest update
  // Devices there are: each is drawn for a round with the same probability, independently. 0:
  // whoever asks first takes part.
  size_t population = 0;
  double delta = 1e-5;
  double epsilon_limit = 0;  // training ends before it is spent; 0: none
};

// kInvalidArgument says what does not go together: noise wants a mean, a limit and a population.
Result<void> check(const Plan& plan);

struct Task {
  enum class Kind { kTrain, kWait, kDone };
  Kind kind = Kind::kWait;
  size_t attempt = 0;  // to be sent back in Update::round
};

struct RoundReport {
  size_t round = 0;  // from 1; 0 for an attempt that failed
  size_t asked = 0, updates = 0, refused = 0;
  double loss = 0;  // mean of the devices' own
  double epsilon = 0;
};

class Coordinator {
 public:
  // Goes on where the directory's state is, or begins with `initial`. `random` chooses and makes
  // noise.
  static Result<std::unique_ptr<Coordinator>> open(io::Files& files, std::string directory,
                                                   Plan plan, const Vector& initial,
                                                   io::Random& random);

  // The same answer for a device that asks again in a round.
  Result<Task> ask(const std::string& device, double now_s);
  // Once it has returned, the update survives a crash; the same one again is fine and counts once.
  // kFailedPrecondition for a device or attempt that is not on, kInvalidArgument or kCorrupt for an
  // update that is none; the device is out of the round then.
  Result<void> upload(const std::string& device, std::string_view bytes, double now_s);
  // The device does not finish this round.
  Result<void> give_up(const std::string& device, double now_s);
  // Time passes: deadlines.
  Result<void> tick(double now_s);

  bool done() const;
  const Vector& model() const { return model_; }
  size_t rounds() const { return rounds_; }  // committed
  double epsilon() const { return accountant_.epsilon(plan_.delta); }
  const std::vector<RoundReport>& history() const { return history_; }

 private:
  enum class Part { kTraining, kUploaded, kOut, kNotDrawn };

  Coordinator(io::Files& files, std::string directory, Plan plan, io::Random& random)
      : files_(files), directory_(std::move(directory)), plan_(std::move(plan)), random_(random) {}

  std::string state_path() const { return directory_ + "/state"; }
  std::string model_path(size_t round) const;
  std::string updates_path() const;
  std::string update_path(const std::string& device) const;
  size_t target() const;
  size_t count(Part part) const;
  void look_at_budget();
  double share() const;  // with which a device is drawn
  bool all_have_ended() const;

  Result<void> start(const Vector& initial);
  Result<void> restore();
  Result<void> sweep();
  Result<void> save();
  Result<void> finish_if_due(double now_s);
  Result<void> next_attempt();
  Result<void> commit();
  struct Combined {
    Vector change;
    size_t updates = 0;
    double loss = 0;
  };
  Result<Combined> combine();
  Result<void> write_model(size_t round);

  io::Files& files_;
  std::string directory_;
  Plan plan_;
  io::Random& random_;
  std::unique_ptr<Strategy> strategy_;
  Accountant accountant_;
  std::vector<double> cost_;   // of a round
  bool budget_spent_ = false;  // another round would exceed the limit
  Vector model_;
  size_t rounds_ = 0;
  size_t attempt_ = 1;
  std::optional<double> began_s_;  // of the attempt: when the first device asked
  std::map<std::string, Part> devices_;
  std::vector<RoundReport> history_;
};

}  // namespace skerry::federated
