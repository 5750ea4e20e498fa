// Requests of devices, and the second by second life of trainings.
#include "fleet/learning/learning_service.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/log_limit.h"
#include "fleet/aws/router.h"
#include "fleet/learning/outcome.h"
#include "formats/json_ptr.h"
#include "net/x509.h"

namespace skerry::fleet::learning {
namespace {

using federated::Task;
using federated::TaskMessage;
using nlohmann::json;

constexpr int64_t kTickMs = 1000;
// A training that is over is shown for so long, and the files of one that failed are kept.
constexpr int64_t kKeptMs = int64_t{90} * 24 * 3600 * 1000;
constexpr int64_t kLookForOldMs = 3600 * 1000;
constexpr int64_t kMostAtOnce = 100;
constexpr double kNothingToLearnS = 30;  // until the device asks again
constexpr size_t kMostDataNames = 32;
constexpr size_t kMostBodyBytes = 64 << 10;  // of what is no part of an update

net::HttpResponse refusal(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
    case Code::kCorrupt:
      return aws::error_response(400, "ValidationException", error.message());
    case Code::kNotFound:
      return aws::error_response(404, "ResourceNotFoundException", error.message());
    case Code::kFailedPrecondition:
      return aws::error_response(409, "ConflictException", error.message());
    case Code::kResourceExhausted:
    case Code::kUnavailable:
      return aws::error_response(503, "ServiceUnavailableException", error.message());
    default:
      static log::Limit limit;
      limit.write(log::Level::kError, "learning", "request failed", {{"error", error.message()}});
      return aws::error_response(500, "InternalServerException",
                                 "the control plane could not do this; its log says why");
  }
}

net::HttpResponse json_answer(const json& document) {
  return net::json_response(200, document.dump());
}

Result<uint64_t> number_in(std::string_view text, const char* what) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (!text.empty() && parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()) {
    return value;
  }
  return fail(Code::kInvalidArgument, std::string(what) + ": must be a whole number");
}

// "a/b/c" → {"a", "b/c"}.
std::pair<std::string_view, std::string_view> first_part(std::string_view path) {
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos) return {path, ""};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

Result<uint64_t> query_number(const net::HttpRequest& request, const char* name,
                              uint64_t otherwise) {
  SKERRY_ASSIGN(const auto query, net::parse_query(net::split_target(request.target).second));
  for (const auto& [key, value] : query) {
    if (key == name) return number_in(value, name);
  }
  return otherwise;
}

Result<std::vector<std::string>> data_names(const std::string& body) {
  auto document = formats::parse_json(body, {.size_bytes = kMostBodyBytes, .depth = 4});
  const auto wrong = [] {
    return fail(Code::kInvalidArgument, "data: a list of names of the data that there is");
  };
  if (!document || !document->is_object()) return wrong();
  const json data = document->value("data", json());
  if (!data.is_array() || data.size() > kMostDataNames) return wrong();
  std::vector<std::string> names;
  for (const json& name : data) {
    if (!name.is_string()) return wrong();
    names.push_back(name.get<std::string>());
  }
  return names;
}

// Keys are under the certificate that the device shows here, which our CA has signed: what its
// peers will look at. Others would make them refuse the attempt.
Result<void> check_announced(const federated::secure::Said& said, const net::Peer& peer,
                             const std::string& training, size_t attempt) {
  if (said.kind != federated::secure::StepKind::kKeys) return {};
  const auto certificate = net::x509::parse_certificate(said.keys.certificate);
  if (certificate && net::x509::fingerprint(certificate.get()) == peer.certificate_sha256 &&
      net::x509::has_signed(certificate.get(),
                            federated::secure::signed_text(said.keys, training, attempt),
                            said.keys.signature)) {
    return {};
  }
  return fail(Code::kInvalidArgument, "the keys are not signed by this device's certificate");
}

Result<TrainingRun::Setup> setup_of(const Training& training, const std::string& directory,
                                    const ArtifactStore& artifacts) {
  SKERRY_ASSIGN(const json plan, formats::parse_json(training.plan_json));
  SKERRY_ASSIGN(const json layout, formats::parse_json(training.layout_json));
  TrainingRun::Setup setup{.id = training.id,
                           .data = training.data,
                           .model_sha256 = training.model_sha256,
                           .plan = {},
                           .layout = {},
                           .directory = directory + "/" + training.id,
                           .base_file = artifacts.path_of(training.model_sha256)};
  SKERRY_ASSIGN(setup.plan, federated::parse_training_plan(plan));
  // Within the file: looked at where the file is read.
  SKERRY_ASSIGN(setup.layout, federated::parse_layout(layout, UINT64_MAX));
  return setup;
}

}  // namespace

LearningService::LearningService(io::Env& env, StorePool& stores, ArtifactStore& artifacts,
                                 const Deployments& deployments, std::string directory,
                                 io::Pool& pool)
    : env_(env),
      stores_(stores),
      artifacts_(artifacts),
      deployments_(deployments),
      directory_(std::move(directory)),
      pool_(pool) {}

// `work(run)` on the pool.
template <class Work>
auto LearningService::on(std::shared_ptr<TrainingRun> run, Work work) {
  return io::run_on(pool_, env_.loop, [run = std::move(run), work = std::move(work)]() mutable {
    return work(*run);
  });
}

// --- Devices ------------------------------------------------------------------------------------

io::Task<net::HttpResponse> LearningService::handle(ThingName thing, net::HttpRequest request) {
  auto answered = co_await answer(thing, request);
  co_return answered ? std::move(*answered) : refusal(answered.error());
}

io::Task<Result<net::HttpResponse>> LearningService::answer(const ThingName& thing,
                                                            const net::HttpRequest& request) {
  std::string_view path = net::split_target(request.target).first;
  path.remove_prefix(std::string_view(federated::kLearningPath).size());
  if (path == "/tasks" && request.method == "POST") {
    co_return co_await next_task(thing, request.body);
  }
  if (path.starts_with("/")) path.remove_prefix(1);
  co_return co_await of_training(thing, request, path);
}

io::Task<Result<bool>> LearningService::is_member(const ThingName& thing,
                                                  const ThingGroupName& group) {
  return stores_.read(
      [thing, group](Store& store) -> Result<bool> { return store.is_in_group(thing, group); });
}

io::Task<Result<net::HttpResponse>> LearningService::next_task(const ThingName& thing,
                                                               const std::string& body) {
  SKERRY_CO_ASSIGN(const auto names, data_names(body));
  TaskMessage task{.retry_after_s = kNothingToLearnS};
  std::vector<std::string> ids;
  for (const auto& [id, active] : active_) {
    const bool fits = std::ranges::find(names, active.training.data) != names.end();
    if (fits && active.run && active.training.state == State::kRunning) ids.push_back(id);
  }
  for (const std::string& id : ids) {
    const auto found = active_.find(id);
    if (found == active_.end() || !found->second.run) continue;
    const auto run = found->second.run;
    SKERRY_CO_ASSIGN(const bool member, co_await is_member(thing, found->second.training.group));
    if (!member) continue;
    auto asked = co_await on(run, [device = thing.str(), now = now_s()](TrainingRun& one) {
      return one.ask(device, now);
    });
    if (!asked) {
      log::warn("learning", "a device gets no task",
                {{"training", id}, {"error", asked.error().message()}});
      continue;
    }
    task = *asked;
    if (task.kind != Task::Kind::kWait) break;
  }
  co_return json_answer(federated::to_json(task));
}

io::Task<Result<net::HttpResponse>> LearningService::send_file(std::shared_ptr<TrainingRun> run,
                                                               std::optional<size_t> round,
                                                               uint64_t offset) {
  io::Files* files = &env_.files;
  co_return co_await on(
      std::move(run), [files, round, offset](TrainingRun& one) -> Result<net::HttpResponse> {
        std::string path = one.base_path();
        if (round) {
          SKERRY_ASSIGN(path, one.parameters_path(*round));
        }
        SKERRY_ASSIGN(const io::FileInfo info, files->stat(path));
        if (offset > info.size_bytes) {
          return fail(Code::kInvalidArgument,
                      "offset: the file has " + std::to_string(info.size_bytes) + " bytes");
        }
        net::HttpResponse response;
        response.headers.add("content-type", "application/octet-stream");
        response.file_path = path;
        response.file_offset = offset;
        response.file_size = info.size_bytes - offset;
        return response;
      });
}

io::Task<Result<net::HttpResponse>> LearningService::of_training(const ThingName& thing,
                                                                 const net::HttpRequest& request,
                                                                 std::string_view rest) {
  const auto [id, below] = first_part(rest);
  const auto [what, number_text] = first_part(below);
  const auto found = active_.find(std::string(id));
  if (found == active_.end() || !found->second.run) {
    co_return fail(Code::kNotFound, "no such training is going on");
  }
  const auto run = found->second.run;
  SKERRY_CO_ASSIGN(const bool member, co_await is_member(thing, found->second.training.group));
  if (!member) co_return fail(Code::kNotFound, "no such training is going on");
  const std::string& device = thing.str();
  const double now = now_s();
  SKERRY_CO_ASSIGN(const uint64_t offset, query_number(request, "offset", 0));
  if (what == "model" && request.method == "GET") {
    co_return co_await send_file(run, std::nullopt, offset);
  }
  SKERRY_CO_ASSIGN(const uint64_t number, number_in(number_text, "the number in the path"));
  if (what == "parameters" && request.method == "GET") {
    co_return co_await send_file(run, number, offset);
  }
  if (what == "updates" && (request.method == "GET" || request.method == "PUT")) {
    SKERRY_CO_ASSIGN(const uint64_t size, query_number(request, "size", 0));
    const bool asks = request.method == "GET";
    SKERRY_CO_ASSIGN(const auto received,
                     co_await on(run, [=, bytes = request.body](TrainingRun& one) {
                       if (asks) return one.received(device, number);
                       return one.upload(device, number, offset, size, bytes, now);
                     }));
    co_return json_answer({{"bytes", received.bytes}, {"complete", received.complete}});
  }
  if (request.body.size() > kMostBodyBytes) {
    co_return fail(Code::kInvalidArgument, "the request is too long");
  }
  if (what == "evaluations" && request.method == "POST") {
    SKERRY_CO_ASSIGN(const auto evaluation, federated::parse_evaluation(request.body));
    SKERRY_CO_TRY(co_await on(
        run, [=](TrainingRun& one) { return one.evaluated(device, number, evaluation, now); }));
    co_return json_answer(json::object());
  }
  if (what == "secure" && request.method == "GET") {
    SKERRY_CO_ASSIGN(const auto step, co_await on(run, [=](TrainingRun& one) {
                       return one.secure_step(device, number);
                     }));
    co_return json_answer(federated::secure::to_json(step));
  }
  if (what == "secure" && request.method == "POST") {
    SKERRY_CO_ASSIGN(const auto said, federated::secure::parse_said(request.body));
    SKERRY_CO_TRY(check_announced(said, request.peer, std::string(id), number));
    SKERRY_CO_TRY(
        co_await on(run, [=](TrainingRun& one) { return one.hear(device, number, said, now); }));
    co_return json_answer(json::object());
  }
  if (what == "refusals" && request.method == "POST") {
    log::info("learning", "a device does not take part",
              {{"training", std::string(id)}, {"thing", device}});
    SKERRY_CO_TRY(co_await on(run, [=](TrainingRun& one) { return one.give_up(device, now); }));
    co_return json_answer(json::object());
  }
  co_return fail(Code::kNotFound, "learning has no " + request.method + " " + std::string(what));
}

// --- Trainings ----------------------------------------------------------------------------------

io::Task<void> LearningService::run() {
  for (;;) {
    co_await tick();
    co_await io::sleep(env_.loop, kTickMs);
  }
}

io::Task<void> LearningService::tick() {
  if (auto forgotten = co_await forget_old(); !forgotten) {
    log::warn("learning", "old trainings are not forgotten",
              {{"error", forgotten.error().message()}});
  }
  auto unfinished = co_await stores_.read([](Store& store) { return unfinished_trainings(store); });
  if (!unfinished) {
    log::warn("learning", "trainings cannot be read", {{"error", unfinished.error().message()}});
    co_return;
  }
  for (Training& training : *unfinished) {
    const std::string id = training.id;
    auto moved = co_await begin(std::move(training));
    if (moved) moved = co_await move_on(id);
    if (!moved) {
      static log::Limit limit;
      limit.write(log::Level::kWarn, "learning", "a training does not go on",
                  {{"training", id}, {"error", moved.error().message()}});
    }
  }
}

// Makes it active, or brings what operators changed.
io::Task<Result<void>> LearningService::begin(Training training) {
  const std::string id = training.id;
  Active& active = active_[id];
  active.training = std::move(training);
  if (active.run) co_return Result<void>();
  auto setup = setup_of(active.training, directory_, artifacts_);
  if (!setup) co_return co_await end(id, State::kFailed, setup.error().message());
  io::Files* files = &env_.files;
  io::Random* random = &env_.random;
  auto opened = co_await io::run_on(
      pool_, env_.loop,
      [files, random, setup = std::move(*setup)]() -> Result<std::shared_ptr<TrainingRun>> {
        SKERRY_ASSIGN(auto run, TrainingRun::open(*files, *random, setup));
        return std::shared_ptr<TrainingRun>(std::move(run));
      });
  if (opened) {
    active_[id].run = std::move(*opened);
    log::info("learning", "a training goes on", {{"training", id}});
    co_return Result<void>();
  }
  // A full or failing disk may get better; what was not right from the beginning does not.
  const Code code = opened.error().code();
  if (code == Code::kInternal || code == Code::kResourceExhausted) {
    co_return fail(std::move(opened.error()));
  }
  co_return co_await end(id, State::kFailed, opened.error().message());
}

io::Task<Result<void>> LearningService::move_on(const std::string& id) {
  const auto found = active_.find(id);
  if (found == active_.end() || !found->second.run) co_return Result<void>();
  const auto run = found->second.run;
  const State state = found->second.training.state;
  struct Seen {
    std::string progress;
    bool done = false;
  };
  SKERRY_CO_ASSIGN(Seen seen, co_await on(run, [now = now_s()](TrainingRun& one) -> Result<Seen> {
                     SKERRY_TRY(one.tick(now));
                     SKERRY_ASSIGN(const bool done, one.done());
                     SKERRY_ASSIGN(const json progress, one.progress());
                     return Seen{progress.dump(), done};
                   }));
  if (seen.progress != active_[id].progress) {
    SKERRY_CO_TRY(co_await stores_.write(
        [id, progress = seen.progress, now_ms = env_.clock.wall_ms()](Store& store) {
          return set_training_progress(store, id, progress, now_ms);
        }));
    active_[id].progress = std::move(seen.progress);
  }
  if (seen.done || state == State::kStopping) co_return co_await finish(id);
  co_return Result<void>();
}

io::Task<Result<void>> LearningService::finish(const std::string& id) {
  Training training = active_[id].training;
  const bool stopped = training.state == State::kStopping;
  SKERRY_CO_ASSIGN(const auto outcome,
                   co_await on(active_[id].run, [](TrainingRun& one) { return one.outcome(); }));
  if (stopped && !training.publishes) {
    co_return co_await end(id, State::kStopped, "stopped by an operator");
  }
  if (outcome.rounds == 0) {
    co_return co_await end(id, stopped ? State::kStopped : State::kFailed,
                           outcome.reason + ", and no round came of it");
  }
  training.state = stopped ? State::kStopped : State::kDone;
  training.reason = outcome.reason;
  const int64_t now_ms = env_.clock.wall_ms();
  ArtifactStore* artifacts = &artifacts_;
  const Deployments* deployments = &deployments_;
  const auto base = co_await stores_.read([artifacts, training](Store& store) {
    return package_of(store, *artifacts, training.component, training.from_version);
  });
  if (!base) co_return co_await end(id, State::kFailed, base.error().message());
  SKERRY_CO_ASSIGN(const Made made, co_await io::run_on(pool_, env_.loop, [=, base = *base]() {
                     return make_files(*artifacts, training, base, outcome, now_ms);
                   }));
  auto published = co_await stores_.write([=](Store& store) mutable {
    return publish(store, *artifacts, *deployments, made, now_ms, training);
  });
  if (published) {
    log::info(
        "learning", "a training has made a model",
        {{"training", id}, {"component", training.component.str()}, {"version", training.version}});
    co_return co_await forget(id);
  }
  if (published.error().retryable() || published.error().code() == Code::kInternal ||
      published.error().code() == Code::kResourceExhausted) {
    co_return fail(std::move(published.error()));  // again in a second
  }
  co_return co_await end(id, State::kFailed, published.error().message());
}

io::Task<Result<void>> LearningService::end(const std::string& id, State state,
                                            std::string reason) {
  Training training = active_[id].training;
  training.state = state;
  training.reason = std::move(reason);
  training.updated_ms = env_.clock.wall_ms();
  log::info(
      "learning", "a training is over",
      {{"training", id}, {"state", std::string(name_of(state))}, {"reason", training.reason}});
  SKERRY_CO_TRY(
      co_await stores_.write([training](Store& store) { return change_training(store, training); },
                             StorePool::Need::kRelief));
  if (state != State::kFailed) co_return co_await forget(id);
  active_.erase(id);  // its files stay: they have what was learned
  co_return Result<void>();
}

// Files first: what a crash leaves is found by its record.
io::Task<Result<void>> LearningService::forget_old() {
  const int64_t now_ms = env_.clock.wall_ms();
  // The clock may go back.
  if (now_ms < look_for_old_ms_ && look_for_old_ms_ - now_ms <= kLookForOldMs) {
    co_return Result<void>();
  }
  look_for_old_ms_ = now_ms + kLookForOldMs;
  SKERRY_CO_ASSIGN(const auto old, co_await stores_.read([=](Store& store) {
    return old_trainings(store, now_ms - kKeptMs, kMostAtOnce);
  }));
  for (const std::string& id : old) SKERRY_CO_TRY(co_await forget(id));
  if (old.empty()) co_return Result<void>();
  log::info("learning", "old trainings are forgotten", {{"trainings", std::to_string(old.size())}});
  co_return co_await stores_.write([old](Store& store) { return remove_trainings(store, old); },
                                   StorePool::Need::kRelief);
}

io::Task<Result<void>> LearningService::forget(const std::string& id) {
  active_.erase(id);
  io::Files* files = &env_.files;
  const std::string path = directory_ + "/" + id;
  co_return co_await io::run_on(pool_, env_.loop,
                                [files, path] { return io::remove_all(*files, path); });
}

}  // namespace skerry::fleet::learning
