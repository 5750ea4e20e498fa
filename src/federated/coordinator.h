// Rounds of federated learning, as a machine that survives crashes at any write: devices ask, get a
// round to train, send an update; enough updates, or a deadline with a quorum, end the round.
//
//   ask ─► train ─► upload (durable, then acknowledged) ─► combine ─► evaluate ─► commit ─► …
//
// With secure aggregation devices agree on masks before they train, and take them off the sum
// afterwards (secure_round.cc); an attempt from which too many vanish fails.
//
// With an asynchronous strategy a round fills a buffer; who is at work then stays at work.
//
// On the disk: `state`, one record that says which round is on and who takes part; `past-A`, what
// came of the attempts before attempt A, written as that begins; `model-N`, the model after N
// rounds, and `memory-N`, what the strategy keeps; `updates-A/`, the updates of attempt A. A round
// is committed when `state` names its model. What has not been combined for good is combined again
// from the same updates.
//
// After an error of the disk (kInternal, kResourceExhausted) this object is to be opened anew.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "federated/plan.h"
#include "federated/privacy.h"
#include "federated/secure/aggregation.h"
#include "io/files.h"
#include "io/random.h"

namespace skerry::federated {

struct Task {
  enum class Kind { kTrain, kEvaluate, kWait, kDone };
  Kind kind = Kind::kWait;
  size_t attempt = 0;  // to be sent back in Update::round
  size_t round = 0;    // the model that it is about: the one after so many rounds
};

// What a model does on rows of a device that it does not train on.
struct Evaluation {
  double rows = 0, correct = 0;
  double loss = 0;  // mean
};

struct RoundReport {
  size_t round = 0;  // from 1; 0 for an attempt that failed
  size_t asked = 0, updates = 0, refused = 0;
  double loss = 0;  // mean of the devices' own
  double epsilon = 0;
  size_t evaluations = 0;
  double accuracy = 0;  // mean of the devices' that evaluated it, each counting the same
  double clip = 0;      // the longest that an update could be
};

class Coordinator {
 public:
  // Goes on where the directory's state is, or begins with `initial`. `random` chooses and makes
  // noise.
  static Result<std::unique_ptr<Coordinator>> open(io::Files& files, std::string directory,
                                                   Plan plan, const Vector& initial,
                                                   io::Random& random);

  // The same answer for a device that asks again while the round is at the same point.
  Result<Task> ask(const std::string& device, double now_s);
  // Once it has returned, the update survives a crash; the same one again is fine and counts once.
  // kFailedPrecondition for a device or attempt that is not on, kInvalidArgument or kCorrupt for an
  // update that is none; the device is out of the round then.
  Result<void> upload(const std::string& device, std::string_view bytes, double now_s);
  // With secure aggregation: what the device is to do next in an attempt, and what it answers. Of a
  // device whose answer is none, kInvalidArgument; it is out then.
  Result<secure::Step> secure_step(const std::string& device, size_t attempt) const;
  Result<void> hear(const std::string& device, size_t attempt, const secure::Said& said,
                    double now_s);
  // Whether an update of this device is waited for.
  bool expects(const std::string& device, size_t attempt) const;
  // What a device found of the model that it was asked to evaluate; like an update.
  Result<void> evaluated(const std::string& device, size_t attempt, const Evaluation& evaluation,
                         double now_s);
  // The device does not finish what it was asked for.
  Result<void> give_up(const std::string& device, double now_s);
  // Time passes: deadlines.
  Result<void> tick(double now_s);

  bool done() const;
  bool gave_up() const;  // done, as too many attempts in a row have failed
  const Vector& model() const { return model_; }
  size_t rounds() const { return rounds_; }  // committed
  double clip() const { return clip_; }      // the longest that an update may be now; 0: any
  double epsilon() const { return accountant_.epsilon(plan_.delta); }
  const std::vector<RoundReport>& history() const { return history_; }

  // What is on now.
  enum class Phase { kTraining, kEvaluating };
  Phase phase() const { return phase_; }
  std::string_view phase_name() const;
  size_t attempt() const { return attempt_; }
  size_t asked() const;  // of the phase
  size_t answered() const;
  // The file of a model that devices may need now; "" for another.
  std::string file_of_model(size_t round) const;

 private:
  enum class Part { kTraining, kUploaded, kOut, kNotDrawn };
  using Parts = std::map<std::string, Part>;

  static nlohmann::json parts_json(const Parts& parts);
  static Result<Parts> parts_of(const nlohmann::json& document);
  Coordinator(io::Files& files, std::string directory, Plan plan, io::Random& random)
      : files_(files), directory_(std::move(directory)), plan_(std::move(plan)), random_(random) {}

  std::string state_path() const { return directory_ + "/state"; }
  std::string model_path(size_t round) const;
  std::string memory_path(size_t round) const;
  std::string past_path() const;
  std::string updates_path() const;
  std::string update_path(const std::string& device) const;
  static size_t count(const Parts& parts, Part part);
  void look_at_budget();
  double share() const;  // with which a device is drawn
  bool all_have_ended() const;

  Result<void> start(const Vector& initial);
  Result<void> restore();
  Result<void> sweep();
  Result<void> save();
  Result<void> save_past();
  Result<void> restore_past();
  void count_spends();
  Result<Task> ask_to_train(const std::string& device, double now_s);
  Result<Task> ask_to_evaluate(const std::string& device);
  Result<void> finish_if_due(double now_s);
  Result<void> finish_training(double now_s);
  Result<void> finish_evaluation(double now_s);
  Result<void> next_attempt();
  Result<void> propose(double now_s);
  Result<void> commit();
  Result<void> fail_attempt(RoundReport report);
  double last_accuracy() const;
  struct Combined {
    Vector change;
    size_t updates = 0;
    // `within`: halves, added for those that were not cut and taken away for others.
    double loss = 0, within = 0;
    bool is_too_long = false;  // a sum that no cut updates have
  };
  Result<Combined> combine();
  Result<Combined> combine_masked();
  void spend();
  double next_clip(const Combined& combined);
  size_t masked_numbers() const;  // of a device's update
  struct Accepted {
    size_t attempt = 0;
    std::string stored;
  };
  Result<Accepted> accept(std::string_view bytes) const;
  Result<void> leave_out(const std::string& device, double now_s);
  bool is_waiting_for(const std::string& device) const;
  size_t attempt_of(const std::string& device) const;
  bool is_full() const;
  void carry_over();
  bool everybody_is_asked() const;
  Result<void> restore_aggregation(const nlohmann::json& state);
  Result<void> finish_secure(double now_s);
  Result<void> begin_phase(double now_s);
  RoundReport failed_report() const;
  Result<void> write_model(size_t round, const Vector& model);
  Result<Vector> read_model(size_t round);
  Result<void> read_memory(size_t round);

  io::Files& files_;
  std::string directory_;
  Plan plan_;
  io::Random& random_;
  std::unique_ptr<Strategy> strategy_;
  Accountant accountant_;
  std::vector<double> cost_, spent_;  // of a round; of all, as an older state has it
  size_t spends_ = 0;                 // that have been paid
  bool budget_spent_ = false;         // another round would exceed the limit
  Vector model_;
  double clip_ = 0;
  size_t rounds_ = 0;
  size_t attempt_ = 1;
  Phase phase_ = Phase::kTraining;
  std::optional<double> began_s_;  // when the first device asked to train, or evaluation began
  Parts devices_;
  std::map<std::string, size_t> since_;  // of those at work since an attempt before: which
  std::optional<secure::Aggregation> aggregation_;  // of the attempt, where the plan wants it
  // While it is evaluated: the next model, what is known of it, who tries it and what came of that.
  Vector proposed_;
  double proposed_clip_ = 0;
  RoundReport report_;
  Parts evaluators_;
  std::vector<double> accuracies_;
  std::vector<RoundReport> history_;
};

}  // namespace skerry::federated
