// What a training asks for: of rounds, of privacy, and of each device. One JSON object on the wire
// and in the store (docs/data/learning-rounds.md).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/error.h"
#include "federated/secure/masked.h"
#include "federated/strategy.h"
#include "federated/update.h"

namespace skerry::federated {

struct Plan {
  StrategyOptions strategy;
  size_t rounds = 10;
  size_t wanted = 10;           // updates that end a round
  double over_selection = 1.3;  // so many times as many devices are asked
  size_t quorum = 1;            // fewest updates that make a round, at the deadline
  double deadline_s = 600;      // of training, and again of evaluation
  size_t most_failures = 20;    // attempts in a row without a quorum that end the training
  size_t most_stale = 10;       // of fedbuff: rounds that an update may be behind
  // Devices that try a new model on rows of theirs before its round is committed; 0: none.
  size_t evaluators = 0;
  double worst_drop = 0.2;  // of their accuracy since the last round; one that loses more is none
  // Privacy; without noise there is none.
  double clip = 0;   // longest update; 0: any
  double noise = 0;  // times the longest update
  // Devices there are: each is drawn for a round with the same probability, independently. 0:
  // whoever asks first takes part.
  size_t population = 0;
  double delta = 1e-5;
  double epsilon_limit = 0;  // training ends before it is spent; 0: none
  // Adaptive clipping (Andrew et al., 2021): the longest update follows this quantile of what
  // devices would send, by steps of `clip_rate`, beginning with `clip`; 0: it stays. How many were
  // within is known with normal noise of `clip_noise`; 0: a twentieth of `wanted`, and `noise` at
  // least.
  double clip_quantile = 0;
  double clip_rate = 0.2;
  double clip_noise = 0;
  // The server learns the sum of the updates alone (secure/participant.h), and devices add the
  // noise, each its part.
  bool secure = false;
};

// Of the sum of vectors, times the longest update, and of the count of those that were within it:
// together they cost what the plan's noise does.
double noise_of_vectors(const Plan& plan);
double noise_of_count(const Plan& plan);
// Of a plan with secure aggregation: how devices write their updates while `clip` is the longest,
// and the deviation of the noise of each, so that a quorum of them has the above.
secure::FixedPoint fixed_point_of(const Plan& plan, double clip);
double noise_of_each(const Plan& plan);
double count_noise_of_each(const Plan& plan);
size_t target_of(const Plan& plan);  // devices to be asked to train

// kInvalidArgument says what does not go together: noise wants a mean, a limit and a population.
Result<void> check(const Plan& plan);

// What a device does with its rows.
struct LocalTraining {
  size_t epochs = 1;
  int64_t batch = 10;
  double rate = 0.05;   // of SGD without momentum
  double proximal = 0;  // μ of FedProx
  double clip = 0;      // longest update; 0: any
  // SCAFFOLD: a control variate comes behind the model, and how the device's own changed behind its
  // update.
  bool scaffold = false;
};
// Numbers that go to and fro, of a model with so many parameters.
size_t numbers_of(const LocalTraining& local, size_t parameters);

struct TrainingPlan {
  Plan rounds;
  LocalTraining local;
  std::string coding = "none";  // of updates on their way (parse_coding)
};

// Untrusted: kInvalidArgument names the field that is unknown, of another kind, or out of range.
Result<TrainingPlan> parse_training_plan(const nlohmann::json& document);
nlohmann::json to_json(const TrainingPlan& plan);

// The part of it that devices are told.
Result<LocalTraining> parse_local_training(const nlohmann::json& document);
nlohmann::json to_json(const LocalTraining& local);

}  // namespace skerry::federated
