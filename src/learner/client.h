// A device that learns: asks for work, trains on its own rows, sends how the model changed. Killed
// at any point it goes on: what was trained is on its disk until the server has it.
//
//   DIR/models/SHA256.onnx   the model of the last training
//   DIR/step/                what the engine loads
//   DIR/updates/ID-ATTEMPT   trained, not yet acknowledged
//   DIR/controls/ID          of SCAFFOLD: the device's control variate, as the server has counted
//   it
#pragma once

#include <string>
#include <vector>

#include "io/env.h"
#include "io/pool.h"
#include "learner/fleet_link.h"
#include "learner/identity.h"
#include "learner/learner.h"
#include "learner/policy.h"

namespace skerry::learner {

struct DataSource {
  std::string name;          // as trainings call it
  std::string rows, labels;  // files (optimise/measure/dataset.h); read anew for each task
};

struct ClientOptions {
  std::string directory;
  std::vector<DataSource> data;
  optimise::Preprocess preprocess;
  optimise::EngineSpec engine;
  double validation =
      0.2;  // share of the rows that are not trained on but tell how good a model is
  LocalPolicy policy;
};

// A task of a training with secure aggregation, while it is under way.
struct SecureAttempt;

class Client {
 public:
  // A task, and where its files are.
  struct Work {
    federated::TaskMessage task;
    DataSource data;
    std::string model_path, update_path;
    std::shared_ptr<const Vector> parameters;
  };

  // `pool` trains; it ends before this.
  // `identity`: null for one that takes no part in secure aggregation.
  Client(io::Env& env, FleetLink& fleet, io::Pool& pool, ClientOptions options,
         const Identity* identity = nullptr)
      : env_(env), fleet_(fleet), pool_(pool), options_(std::move(options)), identity_(identity) {}

  io::Task<void> run();  // for ever
  // One task, if there is one; how many seconds to wait before the next. An error is one of the
  // link or of this device: the next call tries again.
  io::Task<Result<double>> work();

 private:
  io::Task<Result<void>> train(Work work);
  // secure_client.cc
  io::Task<Result<void>> train_securely(Work work);
  Result<federated::secure::Said> answer_to(SecureAttempt& attempt,
                                            const federated::secure::Step& step);
  io::Task<Result<void>> do_step(SecureAttempt& attempt, const federated::secure::Step& step);
  Result<std::string> masked(SecureAttempt& attempt);  // blocking
  io::Task<Result<void>> evaluate(Work work);
  io::Task<Result<void>> take_part(Work work);
  io::Task<Result<Work>> prepare(federated::TaskMessage task);
  Result<Update> trained(const Work& work);  // blocking
  std::string control_path(const federated::TaskMessage& task) const;
  struct Control {
    size_t attempt = 0;  // whose update changed it last
    Vector values;       // noughts where it is empty
  };
  Result<Control> read_control(const federated::TaskMessage& task) const;
  Result<void> keep_control(const federated::TaskMessage& task, std::string_view update);
  Result<std::string> encoded(const Work& work);
  Result<federated::Evaluation> tried(const Work& work);

  io::Env& env_;
  FleetLink& fleet_;
  io::Pool& pool_;
  const ClientOptions options_;
  const Identity* identity_;
};

}  // namespace skerry::learner
