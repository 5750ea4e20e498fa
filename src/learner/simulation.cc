// Devices take turns; time is counted, not waited for.
#include "learner/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "train/draw.h"

namespace skerry::learner {
namespace {

using federated::Coordinator;
using federated::Task;
using train::Draw;

constexpr uint64_t kPartition = 10;
constexpr uint64_t kLives = 11;

// Marsaglia and Tsang (2000), by the boost for shapes below 1.
double gamma(Draw& draw, double shape) {
  if (shape < 1) return gamma(draw, shape + 1) * std::pow(1 - draw.uniform(), 1 / shape);
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = draw.normal();
    const double v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(1 - draw.uniform()) < x * x / 2 + d - d * v + d * std::log(v)) {
      return d * v;
    }
  }
}

using Shares = std::vector<std::vector<size_t>>;

Shares in_shards(const std::vector<int64_t>& labels, size_t devices, size_t each, Draw& draw) {
  std::vector<size_t> order(labels.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](size_t row) { return std::pair(labels[row], row); });
  const size_t shards = devices * each;
  const auto dealt = draw.permutation(shards);
  Shares shares(devices);
  for (size_t i = 0; i < shards; ++i) {
    const size_t begin = dealt[i] * order.size() / shards;
    const size_t end = (dealt[i] + 1) * order.size() / shards;
    auto& rows = shares[i / each];
    rows.insert(rows.end(), order.begin() + static_cast<std::ptrdiff_t>(begin),
                order.begin() + static_cast<std::ptrdiff_t>(end));
  }
  return shares;
}

Shares by_dirichlet(const std::vector<int64_t>& labels, size_t devices, double alpha, Draw& draw) {
  Shares shares(devices);
  for (const int64_t label : std::set<int64_t>(labels.begin(), labels.end())) {
    std::vector<double> weights;
    for (size_t i = 0; i < devices; ++i) weights.push_back(gamma(draw, alpha));
    std::partial_sum(weights.begin(), weights.end(), weights.begin());
    std::vector<size_t> rows;
    for (const size_t row : draw.permutation(labels.size())) {
      if (labels[row] == label) rows.push_back(row);
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      const double at =
          (static_cast<double>(i) + 0.5) / static_cast<double>(rows.size()) * weights.back();
      const auto device = std::ranges::lower_bound(weights, at) - weights.begin();
      shares[std::min(static_cast<size_t>(device), devices - 1)].push_back(rows[i]);
    }
  }
  return shares;
}

void attack(Update& update, Attack how) {
  const float factor = how == Attack::kScale ? 1000.0F : how == Attack::kFlip ? -5.0F : 1.0F;
  for (float& value : update.delta) value *= factor;
  if (how == Attack::kNan) update.delta[0] = std::numeric_limits<float>::quiet_NaN();
}

class Simulating {
 public:
  Simulating(const SimulationInput& input, const Simulation& simulation, io::Files& files,
             io::Random& noise, const std::function<void(const SimulatedRound&)>& on_round)
      : input_(input),
        simulation_(simulation),
        files_(files),
        noise_(noise),
        on_round_(on_round),
        draw_(simulation.seed, kLives),
        rounding_(simulation.seed) {}

  Result<SimulationResult> run() {
    SKERRY_TRY(prepare());
    double now = 0;
    // However unlucky the devices are, it ends.
    const size_t most = 20 * input_.plan.rounds + 100;
    for (size_t turn = 0; turn < most && !coordinator_->done(); ++turn) {
      SKERRY_TRY(take_turns(now));
      now += input_.plan.deadline_s;
      SKERRY_TRY(coordinator_->tick(now));
      SKERRY_TRY(note_rounds());
    }
    if (!coordinator_->done() || coordinator_->gave_up()) {
      return fail(Code::kFailedPrecondition,
                  "too many rounds failed: ask for fewer updates or a smaller quorum");
    }
    result_.epsilon = input_.plan.noise > 0 ? coordinator_->epsilon() : 0;
    result_.model = learner_->with(*input_.model, coordinator_->model());
    return std::move(result_);
  }

 private:
  Result<void> prepare() {
    if (!input_.training->has_labels() || !input_.test->has_labels()) {
      return fail(Code::kInvalidArgument, "training and test data need labels");
    }
    std::vector<int64_t> labels;
    for (size_t row = 0; row < input_.training->rows(); ++row) {
      labels.push_back(input_.training->label(row));
    }
    SKERRY_ASSIGN(shares_, partition_rows(labels, simulation_));
    SKERRY_ASSIGN(learner_,
                  Learner::open(*input_.model, input_.local, input_.engine, input_.directory));
    SKERRY_ASSIGN(batches_, train::Batches::open(*input_.training, learner_->answer(),
                                                 train::Loss::kCrossEntropy, false));
    SKERRY_ASSIGN(test_, train::Batches::open(*input_.test, learner_->answer(),
                                              train::Loss::kCrossEntropy, false));
    test_rows_.resize(input_.test->rows());
    std::iota(test_rows_.begin(), test_rows_.end(), 0);
    Vector initial = learner_->initial();
    initial.resize(federated::numbers_of(input_.local, initial.size()));
    SKERRY_ASSIGN(coordinator_, Coordinator::open(files_, input_.directory + "/rounds", input_.plan,
                                                  initial, noise_));
    result_.parameters = learner_->initial().size();
    result_.rows = labels.size();
    SKERRY_ASSIGN(const auto before, learner_->evaluate(coordinator_->model(), *test_, test_rows_));
    result_.accuracy_before = before.accuracy();
    result_.accuracy = before.accuracy();
    seen_ = coordinator_->history().size();
    return {};
  }

  // With an asynchronous strategy what is trained arrives later, in any order.
  Result<void> take_turns(double now) {
    const size_t rounds = coordinator_->rounds();
    for (const size_t device : draw_.permutation(simulation_.devices)) {
      if ((!is_asynchronous() && coordinator_->rounds() != rounds) || coordinator_->done()) break;
      const std::string name = name_of(device);
      SKERRY_ASSIGN(const Task task, coordinator_->ask(name, now));
      if (task.kind != Task::Kind::kTrain) continue;
      if (draw_.uniform() < simulation_.dropped) {
        ++vanished_;
        continue;
      }
      learner_->set_clip(coordinator_->clip());
      auto update = learner_->train(coordinator_->model(), *batches_, shares_[device], task.attempt,
                                    simulation_.seed * 1000003 + device, controls_[device]);
      if (!update) {
        if (update.error().code() != Code::kFailedPrecondition) {
          return fail(std::move(update.error()));
        }
        SKERRY_TRY(coordinator_->give_up(name, now));
        continue;
      }
      if (device < simulation_.malicious) attack(*update, simulation_.attack);
      const std::string bytes = federated::encode(*update, simulation_.coding, rounding_);
      result_.update_bytes = bytes.size();
      if (is_asynchronous()) {
        on_their_way_.emplace_back(device, bytes);
      } else {
        SKERRY_TRY(arrive(device, bytes, now));
      }
    }
    const auto order = draw_.permutation(on_their_way_.size());
    for (const size_t i : order) {
      SKERRY_TRY(arrive(on_their_way_[i].first, on_their_way_[i].second, now));
    }
    on_their_way_.clear();
    return {};
  }

  bool is_asynchronous() const { return input_.plan.strategy.name == "fedbuff"; }

  Result<void> arrive(size_t device, const std::string& bytes, double now) {
    const auto sent = coordinator_->upload(name_of(device), bytes, now);
    if (!sent && sent.error().code() == Code::kInternal) return fail(sent.error());
    if (!sent || !input_.local.scaffold) return {};
    SKERRY_ASSIGN(const Update update,
                  federated::decode_update(bytes, coordinator_->model().size()));
    const size_t size = update.delta.size() / 2;
    Vector& control = controls_[device];
    control.resize(size, 0);
    for (size_t i = 0; i < size; ++i) control[i] += update.delta[size + i];
    return {};
  }
  static std::string name_of(size_t device) { return fmt::format("device-{}", device); }

  Result<void> note_rounds() {
    for (; seen_ < coordinator_->history().size(); ++seen_) {
      const RoundReport& report = coordinator_->history()[seen_];
      result_.refused += report.refused;
      if (report.round == 0) {
        ++result_.failed_attempts;
        continue;
      }
      SKERRY_ASSIGN(const auto measured,
                    learner_->evaluate(coordinator_->model(), *test_, test_rows_));
      result_.rounds.push_back({report, measured.accuracy(), measured.loss, vanished_});
      result_.accuracy = measured.accuracy();
      if (on_round_) on_round_(result_.rounds.back());
    }
    result_.vanished += vanished_;
    vanished_ = 0;
    return {};
  }

  const SimulationInput& input_;
  const Simulation& simulation_;
  io::Files& files_;
  io::Random& noise_;
  const std::function<void(const SimulatedRound&)>& on_round_;
  Draw draw_;
  io::SeededRandom rounding_;
  Shares shares_;
  std::optional<Learner> learner_;
  std::optional<train::Batches> batches_, test_;
  std::vector<size_t> test_rows_;
  std::unique_ptr<Coordinator> coordinator_;
  size_t seen_ = 0;
  size_t vanished_ = 0;
  std::vector<std::pair<size_t, std::string>> on_their_way_;
  std::map<size_t, Vector> controls_;  // of SCAFFOLD, by device
  SimulationResult result_;
};

}  // namespace

Result<Shares> partition_rows(const std::vector<int64_t>& labels, const Simulation& simulation) {
  const size_t equals = simulation.partition.find('=');
  const std::string name = simulation.partition.substr(0, equals);
  double number = 0;
  if (equals != std::string::npos) {
    const char* end = simulation.partition.data() + simulation.partition.size();
    const auto parsed = std::from_chars(simulation.partition.data() + equals + 1, end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end) number = 0;
  }
  if (simulation.devices < 1 || labels.size() < simulation.devices) {
    return fail(Code::kInvalidArgument, fmt::format("{} rows do not go round {} devices",
                                                    labels.size(), simulation.devices));
  }
  Draw draw(simulation.seed, kPartition);
  if (name == "iid" && equals == std::string::npos) {
    Shares shares(simulation.devices);
    const auto order = draw.permutation(labels.size());
    for (size_t i = 0; i < order.size(); ++i) shares[i % simulation.devices].push_back(order[i]);
    return shares;
  }
  if (name == "shards" && number >= 1 && number <= 1000) {
    return in_shards(labels, simulation.devices, static_cast<size_t>(number), draw);
  }
  if (name == "dirichlet" && number > 0) {
    return by_dirichlet(labels, simulation.devices, number, draw);
  }
  return fail(Code::kInvalidArgument,
              fmt::format("there is no partition '{}'; there are iid, shards=2 and dirichlet=0.5",
                          simulation.partition));
}

Result<SimulationResult> simulate(const SimulationInput& input, const Simulation& simulation,
                                  io::Files& files, io::Random& noise,
                                  const std::function<void(const SimulatedRound&)>& on_round) {
  return Simulating(input, simulation, files, noise, on_round).run();
}

}  // namespace skerry::learner
