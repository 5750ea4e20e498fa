// One table.
#include "fleet/learning/trainings.h"

#include <array>

#include "fleet/store_sql.h"

namespace skerry::fleet::learning {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"running", "stopping", "done", "stopped",
                                                    "failed"};

State state_of(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<State>(i);
  }
  return State::kFailed;
}

Training read_training(const Row& row) {
  return {.id = row.text("id"),
          .component = ComponentName(row.text("component")),
          .from_version = row.text("from_version"),
          .version = row.text("version"),
          .model_sha256 = row.text("model_sha256"),
          .layout_json = row.text("layout"),
          .group = ThingGroupName(row.text("group_name")),
          .data = row.text("data"),
          .plan_json = row.text("plan"),
          .rollout_json = row.text("rollout"),
          .state = state_of(row.text("state")),
          .publishes = row.number("publishes") != 0,
          .reason = row.text("reason"),
          .progress_json = row.text("progress"),
          .deployment_id = row.text("deployment_id"),
          .created_by = row.text("created_by"),
          .created_ms = row.number("created_ms"),
          .updated_ms = row.number("updated_ms")};
}

// Times have 13 digits, from 2001 to 2286.
const std::string kKey = "CAST(created_ms AS TEXT) || ' ' || id";

int64_t number(bool value) {
  return value ? 1 : 0;
}

}  // namespace

std::string_view name_of(State state) {
  return kNames.at(static_cast<size_t>(state));
}

bool is_over(State state) {
  return state == State::kDone || state == State::kStopped || state == State::kFailed;
}

Result<void> create_training(Store& store, const Training& training) {
  return store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(const auto others, unfinished_trainings(store));
    if (others.size() >= kMostRunning) {
      return fail(Code::kResourceExhausted,
                  std::to_string(kMostRunning) + " trainings go on already: stop one, or wait");
    }
    for (const Training& other : others) {
      if (other.component != training.component || other.version != training.version) continue;
      return fail(Code::kAlreadyExists, "training " + other.id + " makes " +
                                            training.component.str() + " " + training.version +
                                            " already: choose another version");
    }
    SKERRY_TRY(store.database().execute(
        "INSERT INTO trainings (id, component, from_version, version, model_sha256, layout, "
        "group_name, data, plan, rollout, state, is_over, publishes, reason, progress, "
        "deployment_id, created_by, created_ms, updated_ms) VALUES (:id, :component, :from, "
        ":version, :sha, :layout, :group, :data, :plan, :rollout, :state, 0, 1, '', '{}', '', "
        ":by, :created, :updated)",
        training.id, training.component.str(), training.from_version, training.version,
        training.model_sha256, training.layout_json, training.group.str(), training.data,
        training.plan_json, training.rollout_json, std::string(name_of(State::kRunning)),
        training.created_by, training.created_ms, training.created_ms));
    return {};
  });
}

Result<Training> find_training(Store& store, const std::string& id) {
  return store.database().select_one("there is no training " + id,
                                     "SELECT * FROM trainings WHERE id = :id", read_training, id);
}

Result<Slice<Training>> list_trainings(Store& store, const Page& page) {
  const std::string before = page.after.empty() ? "~" : page.after;
  SKERRY_ASSIGN(auto rows,
                store.database().select("SELECT * FROM trainings WHERE " + kKey +
                                            " < :before ORDER BY " + kKey + " DESC LIMIT :limit",
                                        read_training, before, limit_of(page)));
  return slice_of(std::move(rows), page, [](const Training& training) {
    return std::to_string(training.created_ms) + " " + training.id;
  });
}

Result<std::vector<Training>> unfinished_trainings(Store& store) {
  return store.database().select(
      "SELECT * FROM trainings WHERE is_over = 0 ORDER BY created_ms, id", read_training);
}

Result<void> change_training(Store& store, const Training& training) {
  SKERRY_ASSIGN(const int64_t changed,
                store.database().execute(
                    "UPDATE trainings SET state = :state, is_over = :over, publishes = :publishes, "
                    "reason = :reason, deployment_id = :deployment, updated_ms = :updated WHERE "
                    "id = :id AND is_over = 0",
                    std::string(name_of(training.state)), number(is_over(training.state)),
                    number(training.publishes), training.reason, training.deployment_id,
                    training.updated_ms, training.id));
  if (changed > 0) return {};
  return fail(Code::kFailedPrecondition, "training " + training.id + " is over");
}

Result<std::vector<std::string>> old_trainings(Store& store, int64_t before_ms, int64_t most) {
  return store.database().select(
      "SELECT id FROM trainings WHERE is_over = 1 AND updated_ms < :before ORDER BY updated_ms "
      "LIMIT :most",
      [](const Row& row) { return row.text("id"); }, before_ms, most);
}

Result<void> remove_trainings(Store& store, const std::vector<std::string>& ids) {
  return store.transaction([&]() -> Result<void> {
    for (const std::string& id : ids) {
      SKERRY_TRY(
          store.database().execute("DELETE FROM trainings WHERE id = :id AND is_over = 1", id));
    }
    return {};
  });
}

Result<void> set_training_progress(Store& store, const std::string& id,
                                   const std::string& progress_json, int64_t now_ms) {
  SKERRY_TRY(store.database().execute(
      "UPDATE trainings SET progress = :progress, updated_ms = :updated WHERE id = :id",
      progress_json, now_ms, id));
  return {};
}

}  // namespace skerry::fleet::learning
