// One training's rounds on the server's disk, as devices use them. Plain blocking code, on one
// thread at a time; a restart goes on where the files are.
//
//   DIR/base            the file of the model that it begins with
//   DIR/rounds/         federated/coordinator.h
//   DIR/parts/A-DEVICE  what has come of an update so far; forgotten at a restart
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "federated/layout.h"
#include "federated/messages.h"
#include "io/files.h"
#include "io/random.h"

namespace skerry::fleet::learning {

class TrainingRun {
 public:
  struct Setup {
    std::string id, data, model_sha256;
    federated::TrainingPlan plan;
    federated::Layout layout;
    std::string directory;
    std::string base_file;  // copied where DIR/base is not there yet
  };
  static Result<std::unique_ptr<TrainingRun>> open(io::Files& files, io::Random& random,
                                                   Setup setup);

  const Setup& setup() const { return setup_; }

  // For devices, whose names are trusted. Errors as of federated::Coordinator.
  Result<federated::TaskMessage> ask(const std::string& device, double now_s);
  struct Received {
    uint64_t bytes = 0;
    bool complete = false;  // the update counts
  };
  // How much of its update is here.
  Result<Received> received(const std::string& device, size_t attempt);
  // Bytes from `offset` on, of `size` in all. What does not begin where the last ended changes
  // nothing; the answer says where to go on.
  Result<Received> upload(const std::string& device, size_t attempt, uint64_t offset, uint64_t size,
                          std::string_view bytes, double now_s);
  Result<void> evaluated(const std::string& device, size_t attempt,
                         const federated::Evaluation& evaluation, double now_s);
  Result<void> give_up(const std::string& device, double now_s);
  // Of an attempt with secure aggregation.
  Result<federated::secure::Step> secure_step(const std::string& device, size_t attempt);
  Result<void> hear(const std::string& device, size_t attempt, const federated::secure::Said& said,
                    double now_s);
  std::string base_path() const { return setup_.directory + "/base"; }
  // kNotFound where it is of no model that is needed now.
  Result<std::string> parameters_path(size_t round);

  Result<void> tick(double now_s);
  Result<bool> done();
  struct Outcome {
    size_t rounds = 0;
    double accuracy = 0;  // of the last round, where `evaluations` are not 0
    size_t evaluations = 0;
    double epsilon = 0;
    std::string reason;  // why it is done
    std::string model;   // the file
  };
  Result<Outcome> outcome();
  // What operators are shown: rounds, phase, history.
  Result<nlohmann::json> progress();

 private:
  TrainingRun(io::Files& files, io::Random& random, Setup setup)
      : files_(files), random_(random), setup_(std::move(setup)) {}
  // After an error of the disk it is opened anew.
  Result<federated::Coordinator*> coordinator();
  template <class Work>
  auto with(Work work) -> std::invoke_result_t<Work&, federated::Coordinator&>;
  std::string part_path(const std::string& device, size_t attempt) const;
  Result<Received> store_part(const std::string& path, uint64_t offset, std::string_view bytes);

  io::Files& files_;
  io::Random& random_;
  Setup setup_;
  uint64_t base_bytes_ = 0;
  std::unique_ptr<federated::Coordinator> coordinator_;
};

}  // namespace skerry::fleet::learning
