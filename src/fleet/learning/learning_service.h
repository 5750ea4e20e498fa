// Federated learning in the control plane: runs the trainings that the store has, answers devices,
// and publishes what came of it. All work on a training's files happens on one pool, in turn.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "fleet/artifacts.h"
#include "fleet/deployments.h"
#include "fleet/learning/training_run.h"
#include "fleet/learning/trainings.h"
#include "fleet/store_pool.h"
#include "io/env.h"
#include "io/pool.h"
#include "net/http.h"

namespace skerry::fleet::learning {

class LearningService {
 public:
  // `pool` has one thread, or does its work inline; it ends before this.
  LearningService(io::Env& env, StorePool& stores, ArtifactStore& artifacts,
                  const Deployments& deployments, std::string directory, io::Pool& pool);

  // A request below federated::kLearningPath by a device that the data plane knows.
  io::Task<net::HttpResponse> handle(ThingName thing, net::HttpRequest request);
  // Begins what is new, moves deadlines on, publishes what is done; every second, for ever.
  io::Task<void> run();
  io::Task<void> tick();  // once

 private:
  struct Active {
    Training training;
    std::shared_ptr<TrainingRun> run;  // null: it could not be opened; tried again
    std::string progress;              // as it was stored last
  };

  io::Task<Result<net::HttpResponse>> answer(const ThingName& thing,
                                             const net::HttpRequest& request);
  io::Task<Result<net::HttpResponse>> next_task(const ThingName& thing, const std::string& body);
  io::Task<Result<net::HttpResponse>> of_training(const ThingName& thing,
                                                  const net::HttpRequest& request,
                                                  std::string_view rest);
  io::Task<Result<net::HttpResponse>> send_file(std::shared_ptr<TrainingRun> run,
                                                std::optional<size_t> round, uint64_t offset);
  io::Task<Result<bool>> is_member(const ThingName& thing, const ThingGroupName& group);
  template <class Work>
  auto on(std::shared_ptr<TrainingRun> run, Work work);

  io::Task<Result<void>> begin(Training training);
  io::Task<Result<void>> move_on(const std::string& id);
  io::Task<Result<void>> finish(const std::string& id);
  io::Task<Result<void>> forget(const std::string& id);
  io::Task<Result<void>> forget_old();
  io::Task<Result<void>> end(const std::string& id, State state, std::string reason);
  double now_s() const { return static_cast<double>(env_.clock.wall_ms()) / 1000; }

  io::Env& env_;
  StorePool& stores_;
  ArtifactStore& artifacts_;
  const Deployments& deployments_;
  const std::string directory_;
  io::Pool& pool_;
  std::map<std::string, Active> active_;
  int64_t look_for_old_ms_ = 0;  // next
};

}  // namespace skerry::fleet::learning
