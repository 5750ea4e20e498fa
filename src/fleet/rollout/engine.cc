// The engine: facts, effects, and the loop around them.
#include "fleet/rollout/engine.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "fleet/endings.h"
#include "fleet/rollout/model_evidence.h"
#include "fleet/rollout/restart_evidence.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

constexpr int64_t kTickMs = 500;
constexpr int64_t kKeepTimeMs = 10'000;  // so much watched time may be lost to a crash
constexpr int64_t kJumpMs = 30'000;      // the clock has jumped where it disagrees by so much
constexpr int64_t kForeverMs = int64_t{1} << 52;
// A look may take so much of the writer's time at most, in a fleet of any size.
constexpr int64_t kRestPerLook = 10;
constexpr int64_t kMostRestMs = 60'000;

void tell(Store& store, const std::vector<ThingName>& things) {
  auto& told = store.effects().jobs;
  told.insert(told.end(), things.begin(), things.end());
}

std::string site_of(const std::string& attributes_json, const std::string& attribute) {
  auto attributes = formats::parse_json(attributes_json);
  if (!attributes || !attributes->is_object()) return "";
  const auto value = attributes->find(attribute);
  return value != attributes->end() && value->is_string() ? value->get<std::string>() : "";
}

std::string printed(const std::vector<Finding>& findings) {
  json list = json::array();
  for (const Finding& each : findings) list.push_back(to_json(each));
  return formats::json_text(list);
}

// What the plan's caps leave to each site.
class SiteBudget {
 public:
  SiteBudget(const SiteCaps& caps, int64_t release_bytes, int64_t now_ms)
      : caps_(caps), now_ms_(now_ms) {
    if (caps.max_bytes_per_second > 0) {
      interval_ms_ = release_bytes * 1000 / caps.max_bytes_per_second;
    }
  }
  void load(const SiteLoad& load) {
    Site& site = sites_[site_of(load.attributes_json, caps_.attribute)];
    site.open += load.is_open ? 1 : 0;
    site.last_ms = std::max(site.last_ms, load.queued_ms);
  }
  int64_t interval_ms() const { return interval_ms_; }
  // Takes a place at the device's site where there is one.
  bool take(const std::string& attributes_json) {
    Site& site = sites_[site_of(attributes_json, caps_.attribute)];
    if (caps_.max_concurrent > 0 && site.open >= caps_.max_concurrent) return false;
    const bool too_soon = site.last_ms <= now_ms_ && site.last_ms + interval_ms_ > now_ms_;
    if (interval_ms_ > 0 && too_soon) return false;
    ++site.open;
    site.last_ms = now_ms_;
    return true;
  }

 private:
  struct Site {
    int64_t open = 0;
    int64_t last_ms = 0;
  };
  const SiteCaps& caps_;
  const int64_t now_ms_;
  int64_t interval_ms_ = 0;
  std::map<std::string, Site> sites_;
};

// What is left at this moment.
Result<SiteBudget> site_budget(Store& store, const Record& record, int64_t now_ms) {
  SiteBudget budget(record.plan.site, record.release_bytes, now_ms);
  const int64_t silence_ms =
      record.plan.silence_timeout_s == 0 ? kForeverMs : record.plan.silence_timeout_s * 1000;
  SKERRY_ASSIGN(const auto loads,
                site_loads(store, record, silence_ms, budget.interval_ms(), now_ms));
  for (const SiteLoad& each : loads) budget.load(each);
  return budget;
}

}  // namespace

Result<Evidence> Rollouts::evidence(Store& store, const Record& record, Metric metric,
                                    const Census& release, int64_t now_ms) const {
  const auto compare = [&](Result<Share> with, Result<Share> without,
                           const Share& before = {}) -> Result<Evidence> {
    if (!with) return fail(std::move(with.error()));
    if (!without) return fail(std::move(without.error()));
    // In the last stages hardly anybody is left who was not asked.
    const bool few_left =
        without->devices < kLeastObservations && 2 * without->devices < before.devices;
    if (few_left) without = before;
    Evidence evidence;
    evidence.release.devices = with->devices;
    evidence.release.events = with->events;
    evidence.control.devices = without->devices;
    evidence.control.events = without->events;
    return evidence;
  };
  switch (metric) {
    case Metric::kDeploymentFailures:
      return compare(Share{release.ended() + release.silent, release.failures() + release.silent},
                     Share{record.previous.devices, record.previous.failures});
    case Metric::kUnhealthyDevices:
      return compare(unhealthy(store, record, Cohort::kRelease),
                     unhealthy(store, record, Cohort::kControl),
                     {record.previous.reporting, record.previous.unhealthy});
    case Metric::kComponentErrors:
      return compare(with_errors(store, record, Cohort::kRelease),
                     with_errors(store, record, Cohort::kControl),
                     {record.previous.reporting, record.previous.with_errors});
    case Metric::kFiringAlerts:
      return compare(with_alerts(store, record, Cohort::kRelease),
                     with_alerts(store, record, Cohort::kControl),
                     {record.previous.reporting, record.previous.with_alerts});
    case Metric::kComponentRestarts:
      return restart_evidence(store, record, now_ms);
    default:
      break;
  }
  return Evidence();
}

Result<std::vector<Finding>> Rollouts::findings(Store& store, const Record& record,
                                                const Census& release, int64_t now_ms) const {
  const double alpha = alpha_of(record.plan);
  std::vector<Finding> found;
  std::vector<Gate> of_models;
  for (const Gate& gate : gates_of(record.plan, record.state.stage)) {
    if (is_of_models(gate.metric)) {
      of_models.push_back(gate);
      continue;
    }
    SKERRY_ASSIGN(const Evidence shown, evidence(store, record, gate.metric, release, now_ms));
    found.push_back(judge(gate, shown, alpha));
  }
  if (of_models.empty()) return found;
  SKERRY_ASSIGN(const auto shown, model_evidence(store, record, of_models, release.succeeded));
  for (size_t i = 0; i < of_models.size(); ++i) {
    found.push_back(judge_models(of_models[i], shown.by_gate[i], shown.why, alpha));
  }
  return found;
}

Result<Facts> Rollouts::look(Store& store, const Record& record, const Moment& moment) const {
  Facts facts;
  facts.elapsed_ms = moment.elapsed_ms;
  facts.is_continuous = moment.is_continuous;
  facts.window_is_open = moment.has_room && is_open(record.plan.windows, moment.wall_ms);
  // Whoever seems late after a jump of the clock has only seen the jump.
  const Deadlines due = moment.is_continuous ? deadlines(record.plan, record.state) : Deadlines();
  const bool is_back = record.state.phase == Phase::kRollingBack;
  CensusCut cut{due.silence_ms, moment.wall_ms, is_back ? 0 : record.plan.retry.attempts};
  SKERRY_ASSIGN(facts.release, census(store, record.job_id, cut));
  if (due.in_progress_ms) {
    SKERRY_ASSIGN(auto late, overdue(store, record.job_id, *due.in_progress_ms, moment.wall_ms));
    facts.overdue = static_cast<int64_t>(late.size());
  }
  if (is_back) {
    cut.retries = record.plan.retry.attempts;
    facts.has_rollback = !record.rollback_id.empty();
    if (!facts.has_rollback) return facts;
    SKERRY_ASSIGN(facts.rollback, census(store, record.rollback_job_id, cut));
    SKERRY_ASSIGN(auto behind, waiting_for_rollback(store, record, 1));
    facts.rollback_waiting = static_cast<int64_t>(behind.size());
    SKERRY_ASSIGN(auto again,
                  retries_due(store, record.rollback_job_id, record.plan.retry, moment.wall_ms));
    facts.retries_due = static_cast<int64_t>(again.size());
    if (due.in_progress_ms) {
      SKERRY_ASSIGN(auto late,
                    overdue(store, record.rollback_job_id, *due.in_progress_ms, moment.wall_ms));
      facts.overdue += static_cast<int64_t>(late.size());
    }
    return facts;
  }
  SKERRY_ASSIGN(facts.waiting, count_waiting(store, record, kBatch));
  SKERRY_ASSIGN(auto again, retries_due(store, record.job_id, record.plan.retry, moment.wall_ms));
  facts.retries_due = static_cast<int64_t>(again.size());
  SKERRY_ASSIGN(facts.findings, findings(store, record, facts.release, moment.wall_ms));
  return facts;
}

Result<Rollouts::Outcome> Rollouts::tick(Store& store, const DeploymentId& id, const Moment& moment,
                                         bool keep_time) const {
  Outcome outcome;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(Record record, find_rollout(store, id));
    if (is_over(record.state.phase)) return {};
    SKERRY_ASSIGN(const Facts facts, look(store, record, moment));
    SKERRY_ASSIGN(const Step made, step(record.plan, record.state, Tick{facts}));
    const std::string seen = printed(facts.findings);
    const State& before = record.state;
    const bool moved = made.state.phase != before.phase || made.state.stage != before.stage;
    const bool news = before.phase != Phase::kRollingBack && seen != record.findings_json;
    const bool differs = moved || news || made.state.reason != before.reason;
    if (!differs && made.effects.empty() && !keep_time) return {};
    if (news) record.findings_json = seen;
    outcome.stored = true;
    SKERRY_ASSIGN(const bool did, apply(store, record, made, moment.wall_ms));
    outcome.more = moved || did;
    return {};
  }));
  return outcome;
}

Result<bool> Rollouts::go_on(Store& store, const DeploymentId& id, int64_t now_ms) const {
  bool more = false;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(Record record, find_rollout(store, id));
    const State& state = record.state;
    const Plan& plan = record.plan;
    if (state.phase == Phase::kRollingBack && !record.rollback_id.empty()) {
      SKERRY_ASSIGN(const int64_t ended, cancel(store, record, now_ms));
      more = ended > 0;
      if (!more) {
        SKERRY_ASSIGN(more, ask_everyone_back(store, record, now_ms));
      }
    } else if (state.phase == Phase::kAsking && state.stage_is_open && !record.group.empty() &&
               plan.rate.per_minute == 0 && plan.site.attribute.empty() &&
               is_open(plan.windows, now_ms)) {
      SKERRY_ASSIGN(const int64_t asked, ask_members(store, record, batch_, now_ms));
      more = asked > 0 && record.asked_to < state.boundary;
    } else {
      return {};
    }
    return save_rollout(store, record);
  }));
  return more;
}

Result<Record> Rollouts::command(Store& store, const DeploymentId& id, const Event& event,
                                 int64_t now_ms) const {
  Record record;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(record, find_rollout(store, id));
    SKERRY_ASSIGN(const Step made, step(record.plan, record.state, event));
    SKERRY_TRY(apply(store, record, made, now_ms));
    return {};
  }));
  return record;
}

Result<bool> Rollouts::apply(Store& store, Record& record, const Step& made, int64_t now_ms) const {
  record.state = made.state;
  record.updated_ms = now_ms;
  bool did = false;
  for (const Effect& effect : made.effects) {
    SKERRY_ASSIGN(const bool more, apply(store, record, effect, now_ms));
    did = did || more;
  }
  SKERRY_TRY(save_rollout(store, record));
  return did;
}

Result<bool> Rollouts::apply(Store& store, Record& record, const Effect& effect,
                             int64_t now_ms) const {
  switch (effect.kind) {
    case Effect::Kind::kOpenStage:
      SKERRY_TRY(open_stage(store, record));
      return true;
    case Effect::Kind::kAsk: {
      SKERRY_ASSIGN(const int64_t asked, ask(store, record, effect.amount, now_ms));
      return asked > 0;
    }
    case Effect::Kind::kTimeOut:
      SKERRY_TRY(time_out(store, record, record.job_id, now_ms));
      SKERRY_TRY(time_out(store, record, record.rollback_job_id, now_ms));
      return false;
    case Effect::Kind::kRetry:
      SKERRY_TRY(retry(store, record,
                       record.rollback_job_id.empty() ? record.job_id : record.rollback_job_id,
                       now_ms));
      return false;
    case Effect::Kind::kCancel: {
      SKERRY_ASSIGN(const int64_t ended, cancel(store, record, now_ms));
      return ended > 0;
    }
    case Effect::Kind::kBeginRollback:
      SKERRY_TRY(begin_rollback(store, record, now_ms));
      return !record.rollback_id.empty();
    case Effect::Kind::kAskBack:
      SKERRY_TRY(ask_everyone_back(store, record, now_ms));
      return true;
    case Effect::Kind::kNote:
      SKERRY_TRY(add_history(store, record.id, now_ms, effect.text));
      return false;
  }
  return false;
}

Result<void> Rollouts::open_stage(Store& store, Record& record) const {
  const Stage& stage = record.plan.stages.at(record.state.stage);
  if (record.group.empty() || stage.size == Stage::Size::kCanaryGroup) return {};
  const bool is_last = record.state.stage + 1 == record.plan.stages.size();
  int64_t boundary = INT64_MAX;  // whoever joins from now on, too
  if (!is_last) {
    SKERRY_ASSIGN(const int64_t members, count_members(store, record.group));
    SKERRY_ASSIGN(boundary, cohort_at(store, record.group, quota(stage, members)));
  }
  record.state.boundary = std::max(record.state.boundary, boundary);
  return {};
}

Result<int64_t> Rollouts::ask(Store& store, Record& record, int64_t amount, int64_t now_ms) const {
  amount = std::min(amount, batch_);
  if (!record.plan.site.attribute.empty()) return ask_within_caps(store, record, amount, now_ms);
  SKERRY_ASSIGN(const auto canaries, waiting_canaries(store, record, amount));
  if (canaries.empty()) return ask_members(store, record, amount, now_ms);
  std::vector<ThingName> asked;
  for (const Candidate& each : canaries) {
    SKERRY_TRY(ask_one(store, record, each.thing, now_ms));
    asked.push_back(each.thing);
  }
  tell(store, asked);
  return static_cast<int64_t>(asked.size());
}

// Those in the range that were asked before, canaries, are told once more what they know.
Result<int64_t> Rollouts::ask_members(Store& store, Record& record, int64_t amount,
                                      int64_t now_ms) const {
  SKERRY_ASSIGN(const int64_t upto, cohort_after(store, record, amount));
  SKERRY_ASSIGN(const auto asked, ask_range(store, record, upto, now_ms));
  record.asked_to = upto;
  tell(store, asked);
  return static_cast<int64_t>(asked.size());
}

Result<int64_t> Rollouts::ask_within_caps(Store& store, Record& record, int64_t amount,
                                          int64_t now_ms) const {
  SKERRY_ASSIGN(const auto candidates, waiting(store, record, batch_));
  SKERRY_ASSIGN(SiteBudget budget, site_budget(store, record, now_ms));
  std::vector<ThingName> asked;
  int64_t waits_at = INT64_MAX;  // the first who is not asked now
  for (const Candidate& each : candidates) {
    const bool has_room =
        static_cast<int64_t>(asked.size()) < amount && budget.take(each.attributes_json);
    if (!has_room) {
      waits_at = std::min(waits_at, each.cohort);
      continue;
    }
    SKERRY_TRY(ask_one(store, record, each.thing, now_ms));
    asked.push_back(each.thing);
  }
  // Where the next look begins. What follows a full batch was not looked at.
  const bool is_members = !candidates.empty() && !candidates.front().is_canary;
  if (static_cast<int64_t>(candidates.size()) == batch_) {
    waits_at = std::min(waits_at, candidates.back().cohort);
  }
  if (is_members) {
    record.asked_to =
        waits_at == INT64_MAX ? record.state.boundary : std::max(record.asked_to, waits_at - 1);
  }
  tell(store, asked);
  return static_cast<int64_t>(asked.size());
}

Result<void> Rollouts::time_out(Store& store, const Record& record, const JobId& job,
                                int64_t now_ms) const {
  const Deadlines due = deadlines(record.plan, record.state);
  if (job.empty() || !due.in_progress_ms) return {};
  SKERRY_ASSIGN(auto late, overdue(store, job, *due.in_progress_ms, now_ms));
  for (const ThingName& thing : late) {
    Store::ExecutionChange change;
    change.status = ExecutionStatus::kTimedOut;
    change.now_ms = now_ms;
    SKERRY_TRY(deployments_.update_execution(store, job, thing, change));
    // The way back has no other end: whoever returns finds it.
    if (job == record.rollback_job_id) SKERRY_TRY(store.queue_execution(job, thing, now_ms));
  }
  return {};
}

Result<void> Rollouts::retry(Store& store, const Record& record, const JobId& job,
                             int64_t now_ms) const {
  SKERRY_ASSIGN(auto due, retries_due(store, job, record.plan.retry, now_ms));
  if (job == record.job_id && !record.plan.site.attribute.empty()) {
    // Who is asked once more loads its site once more.
    SKERRY_ASSIGN(SiteBudget budget, site_budget(store, record, now_ms));
    std::vector<ThingName> allowed;
    for (const ThingName& thing : due) {
      SKERRY_ASSIGN(const Thing registered, store.find_thing(thing));
      if (budget.take(registered.attributes_json)) allowed.push_back(thing);
    }
    due = std::move(allowed);
  }
  for (const ThingName& thing : due) SKERRY_TRY(store.queue_execution(job, thing, now_ms));
  tell(store, due);
  return {};
}

Result<int64_t> Rollouts::cancel(Store& store, const Record& record, int64_t now_ms) const {
  SKERRY_ASSIGN(const int64_t ended, end_executions(store, record.job_id, Ends::kQueued,
                                                    ExecutionStatus::kCanceled, now_ms, batch_));
  SKERRY_ASSIGN(const auto release, store.find_deployment(record.id));
  if (release.status == DeploymentStatus::kActive) {
    SKERRY_TRY(store.set_deployment_status(record.id, DeploymentStatus::kCanceled));
  }
  return ended;
}

Result<void> Rollouts::begin_rollback(Store& store, Record& record, int64_t now_ms) const {
  // Whatever becomes of the rollback: nobody else gets the release.
  SKERRY_ASSIGN(const int64_t ended, cancel(store, record, now_ms));
  auto back = deployments_.create_rollback(store, record);
  if (!back) {
    // A component of the previous revision was deleted, for example. The next tick tries again.
    const bool is_final =
        back.error().code() == Code::kNotFound || back.error().code() == Code::kInvalidArgument;
    if (!is_final) return fail(std::move(back.error()));
    record.state.reason = "the previous revision cannot be deployed: " + back.error().message();
    return {};
  }
  record.rollback_id = back->id;
  record.rollback_job_id = back->job_id;
  record.back_to.clear();
  if (ended == batch_) return {};
  SKERRY_TRY(ask_everyone_back(store, record, now_ms));
  return {};
}

Result<bool> Rollouts::ask_everyone_back(Store& store, Record& record, int64_t now_ms) const {
  SKERRY_ASSIGN(auto things, waiting_for_rollback(store, record, batch_));
  if (things.empty()) return false;
  SKERRY_TRY(ask_back(store, record, things.back(), now_ms));
  record.back_to = things.back().str();
  tell(store, things);
  return static_cast<int64_t>(things.size()) == batch_;
}

// --- The loop -----------------------------------------------------------------------------------

RolloutEngine::RolloutEngine(io::Env& env, StorePool& stores, const Rollouts& rollouts,
                             std::function<bool()> hears_devices)
    : env_(env), stores_(stores), rollouts_(rollouts), hears_devices_(std::move(hears_devices)) {
  tasks_.spawn(run());
}

io::Task<void> RolloutEngine::run() {
  for (;;) {
    const int64_t began_ms = env_.clock.monotonic_ms();
    const bool more = co_await tick_all();
    const int64_t took_ms = env_.clock.monotonic_ms() - began_ms;
    // Others have their turn between any two units of work. A program that was stopped for an hour
    // has not looked for an hour.
    const int64_t rest_ms = std::clamp(took_ms * kRestPerLook, kTickMs, kMostRestMs);
    co_await io::sleep(env_.loop, more ? 0 : rest_ms);
  }
}

io::Task<bool> RolloutEngine::tick_all() {
  auto live = co_await stores_.read([](Store& store) { return live_rollouts(store); });
  if (!live) {
    log::warn("rollout", "no look at the rollouts", {{"error", live.error().message()}});
    co_return false;
  }
  std::erase_if(watches_, [&](const auto& watch) {
    return std::ranges::find(*live, watch.first) == live->end();
  });
  bool more = false;
  for (const DeploymentId& id : *live) {
    if (co_await tick_one(id)) more = true;
  }
  if (co_await end_more()) more = true;
  co_return more;
}

// A piece of what was cancelled, of whatever deployment. On a full disk, too.
io::Task<bool> RolloutEngine::end_more() {
  const auto left = co_await stores_.read([](Store& store) { return has_endings(store); });
  if (!left.value_or(false)) co_return false;
  const auto end = [now_ms = env_.clock.wall_ms()](Store& store) {
    return fleet::end_more(store, now_ms);
  };
  auto ended = co_await stores_.write(end);
  if (!ended) ended = co_await stores_.write(end, StorePool::Need::kRelief);
  if (!ended) {
    log::warn("rollout", "what was cancelled does not end in the store yet",
              {{"error", ended.error().message()}});
  }
  co_return ended.has_value();
}

io::Task<bool> RolloutEngine::tick_one(DeploymentId id) {
  const bool hears = hears_devices_();
  const Watch now{env_.clock.monotonic_ms(), env_.clock.wall_ms(), hears};
  const auto [watch, is_first] = watches_.try_emplace(id, now);
  const Watch before = watch->second;
  const int64_t elapsed_ms = now.monotonic_ms - before.monotonic_ms;
  const int64_t disagreement_ms = now.wall_ms - before.wall_ms - elapsed_ms;
  const bool jumped = std::abs(disagreement_ms) > kJumpMs;
  const Moment moment{now.wall_ms, hears ? elapsed_ms : 0, hears && !is_first && !jumped};
  const bool falls_silent = before.heard && !hears;
  const bool keep_time = is_first || jumped || falls_silent || elapsed_ms >= kKeepTimeMs;
  auto outcome = co_await tick(id, moment, keep_time);
  if (!outcome) {
    // Nothing was done, and the time that passes is counted then.
    log::warn("rollout", "a rollout does not go on",
              {{"rollout", id.str()}, {"error", outcome.error().message()}});
    co_return false;
  }
  if (outcome->stored || !hears) watches_[id] = now;
  bool goes_on = outcome->more;
  while (goes_on && env_.clock.monotonic_ms() - now.monotonic_ms < Rollouts::kLookMs) {
    const int64_t wall_ms = env_.clock.wall_ms();
    auto went = co_await stores_.write(
        [this, id, wall_ms](Store& store) { return rollouts_.go_on(store, id, wall_ms); });
    goes_on = went.value_or(false);
  }
  co_return outcome->more;
}

// On a full disk a release that is bad still goes back, in what is kept for relief.
io::Task<Result<Rollouts::Outcome>> RolloutEngine::tick(DeploymentId id, Moment moment,
                                                        bool keep_time) {
  auto outcome = co_await stores_.write([this, id, moment, keep_time](Store& store) {
    return rollouts_.tick(store, id, moment, keep_time);
  });
  if (outcome) co_return outcome;
  moment.has_room = false;
  co_return co_await stores_.write(
      [this, id, moment, keep_time](Store& store) {
        return rollouts_.tick(store, id, moment, keep_time);
      },
      StorePool::Need::kRelief);
}

}  // namespace skerry::fleet::rollout
