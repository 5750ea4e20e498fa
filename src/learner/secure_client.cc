// Client's part of secure aggregation: asks what is next until the attempt is over, in one go. What
// it is made of is in memory only, so that a device that is killed has dropped out; as has one for
// which the control plane was away too long.
#include "base/log.h"
#include "federated/secure/participant.h"
#include "learner/client.h"

namespace skerry::learner {

namespace secure = federated::secure;
using federated::TaskMessage;

struct SecureAttempt {
  Client::Work work;
  secure::Participant participant;
  bool has_announced = false;
  std::string upload;  // masked: the same, however often it is sent
};

namespace {

constexpr int kMostFailures = 60;  // of requests in a row, a second apart
constexpr int64_t kAfterFailureMs = 1000;

bool is_passing(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kTimeout;
}
bool has_gone_on(const Error& error) {
  return error.code() == Code::kFailedPrecondition || error.code() == Code::kNotFound;
}

// What came too late for its step: the next step says how it goes on.
Result<void> asking_again(Result<void> sent) {
  if (sent || !has_gone_on(sent.error())) return sent;
  return fail(Code::kUnavailable, sent.error().message());
}

}  // namespace

io::Task<Result<void>> Client::train_securely(Work work) {
  if (identity_ == nullptr) {
    co_return fail(Code::kPermissionDenied, "this device has no identity to sign its keys with");
  }
  const TaskMessage task = work.task;
  SecureAttempt attempt{.work = std::move(work), .participant = secure::Participant(env_.random)};
  for (int failures = 0;;) {
    auto step = co_await fleet_.secure_step(task.training, task.attempt);
    const bool is_over = step ? step->kind == secure::StepKind::kDone : has_gone_on(step.error());
    if (is_over) break;
    auto done = step ? co_await do_step(attempt, *step) : Result<void>(fail(step.error()));
    if (done) {
      failures = 0;
      continue;
    }
    if (!is_passing(done.error()) || ++failures > kMostFailures) co_return done;
    co_await io::sleep(env_.loop, kAfterFailureMs);
  }
  log::info("learn", "the attempt is over",
            {{"training", task.training}, {"attempt", std::to_string(task.attempt)}});
  co_return Result<void>();
}

// The answer to a step with which devices exchange keys and shares.
Result<secure::Said> Client::answer_to(SecureAttempt& attempt, const secure::Step& step) {
  const TaskMessage& task = attempt.work.task;
  if (step.kind == secure::StepKind::kUnmask) return attempt.participant.unmask(step);
  if (step.kind == secure::StepKind::kKeys) {
    secure::Said said{.kind = step.kind, .keys = attempt.participant.announce()};
    SKERRY_TRY(identity_->sign(said.keys, task.training, task.attempt));
    attempt.has_announced = true;
    return said;
  }
  // Else the keys that others have are those of a process that is gone.
  if (!attempt.has_announced) {
    return fail(Code::kPermissionDenied, "this attempt has keys of before a restart");
  }
  if (step.peers.size() < options_.policy.fewest_peers) {
    return fail(Code::kPermissionDenied,
                "this device's policy wants more others than " + std::to_string(step.peers.size()));
  }
  for (const secure::Peer& peer : step.peers) {
    SKERRY_TRY(identity_->verify(peer.keys, task.training, task.attempt));
  }
  return attempt.participant.share(step);
}

io::Task<Result<void>> Client::do_step(SecureAttempt& attempt, const secure::Step& step) {
  const TaskMessage& task = attempt.work.task;
  if (step.kind == secure::StepKind::kWait) {
    co_await io::sleep(env_.loop, static_cast<int64_t>(step.retry_after_s * 1000) + 1);
    co_return Result<void>();
  }
  if (step.kind == secure::StepKind::kUpdate) {
    SKERRY_CO_TRY(attempt.participant.receive(step));
    if (attempt.upload.empty()) {
      SKERRY_CO_ASSIGN(attempt.upload, co_await io::run_on(pool_, env_.loop, [this, &attempt] {
                         return masked(attempt);
                       }));
    }
    auto sent = co_await fleet_.upload(task.training, task.attempt, attempt.upload);
    if (sent) {
      log::info("learn", "sent a masked update",
                {{"training", task.training},
                 {"attempt", std::to_string(task.attempt)},
                 {"peers", std::to_string(attempt.participant.peers())}});
    }
    co_return asking_again(std::move(sent));
  }
  SKERRY_CO_ASSIGN(secure::Said said, answer_to(attempt, step));
  co_return asking_again(co_await fleet_.say(task.training, task.attempt, std::move(said)));
}

// Trained, cut, with its noise, and masked before anything else sees it.
Result<std::string> Client::masked(SecureAttempt& attempt) {
  const TaskMessage& task = attempt.work.task;
  SKERRY_ASSIGN(federated::Update update, trained(attempt.work));
  // Of a device that tells no counts, and where noise hides each device, the loss is nought.
  if (!options_.policy.tells_counts || task.secure->noise > 0) update.loss = 0;
  const secure::FixedPoint fixed{.longest = task.local.clip, .levels = task.secure->levels};
  SKERRY_ASSIGN(secure::Numbers numbers,
                secure::to_numbers(update, fixed, task.secure->noise, env_.random));
  if (task.secure->count_noise) {
    secure::add_count(numbers, update.within, *task.secure->count_noise, env_.random);
  }
  SKERRY_TRY(attempt.participant.mask(numbers));
  return secure::encode_masked(task.attempt, numbers);
}

}  // namespace skerry::learner
