// Shadows as rows, and what is announced of their changes.
#include "fleet/shadow_store.h"

#include "fleet/store.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

using formats::Shadow;
using formats::ShadowError;
using formats::ShadowKey;

std::unexpected<ShadowError> reject(int code, std::string message) {
  return std::unexpected(ShadowError{code, std::move(message)});
}

// One that there never was, or that has been deleted for long, has version 0.
Result<Shadow> read(Store& store, const ShadowKey& key, int64_t now_ms) {
  struct Kept {
    std::string record;
    int64_t changed_ms;
  };
  SKERRY_ASSIGN(
      const auto rows,
      store.database().select(
          "SELECT record, changed_ms FROM shadows WHERE thing = :thing AND name = :name",
          [](const Row& row) { return Kept{row.text("record"), row.number("changed_ms")}; },
          key.thing.str(), key.name));
  if (rows.empty()) return Shadow();
  SKERRY_ASSIGN(Shadow shadow, formats::parse_shadow_record(rows.front().record));
  if (shadow.deleted && rows.front().changed_ms <= now_ms - kDeletedShadowMs) return Shadow();
  return shadow;
}

Result<void> write(Store& store, const ShadowKey& key, const Shadow& shadow, int64_t now_ms) {
  SKERRY_TRY(store.database().execute(
      "INSERT INTO shadows (thing, name, record, deleted, changed_ms) VALUES (:thing, :name, "
      ":record, :deleted, :changed) ON CONFLICT (thing, name) DO UPDATE SET record = "
      "excluded.record, deleted = excluded.deleted, changed_ms = excluded.changed_ms",
      key.thing.str(), key.name, formats::shadow_record(shadow), int64_t{shadow.deleted ? 1 : 0},
      now_ms));
  return {};
}

// False where the thing has as many as it may, none of them deleted.
Result<bool> make_room(Store& store, const ThingName& thing) {
  Database& database = store.database();
  SKERRY_ASSIGN(const auto counts,
                database.select(
                    "SELECT COUNT(*) AS shadows FROM shadows WHERE thing = :thing",
                    [](const Row& row) { return row.number("shadows"); }, thing.str()));
  if (counts.front() < static_cast<int64_t>(kShadowsOfThing)) return true;
  SKERRY_ASSIGN(const int64_t gone,
                database.execute("DELETE FROM shadows WHERE thing = :thing AND name IN (SELECT "
                                 "name FROM shadows WHERE thing = :same AND deleted = 1 ORDER BY "
                                 "changed_ms, name LIMIT 1)",
                                 thing.str(), thing.str()));
  return gone > 0;
}

void announce(Store& store, const ShadowKey& key, std::string_view what, std::string document) {
  store.effects().shadows.push_back(
      {formats::shadow_topic(key.thing.str(), key.name) + std::string(what), std::move(document)});
}

}  // namespace

Result<ShadowAnswer> get_shadow(Store& store, const ShadowKey& key, std::string_view payload,
                                int64_t now_ms) {
  SKERRY_ASSIGN(const Shadow shadow, read(store, key, now_ms));
  if (!shadow.exists()) return ShadowAnswer(std::unexpected(formats::no_shadow(key.name)));
  return ShadowAnswer(
      formats::shadow_document(shadow, now_ms / 1000, formats::shadow_client_token(payload)));
}

Result<ShadowAnswer> update_shadow(Store& store, const ShadowKey& key, std::string_view payload,
                                   int64_t now_ms) {
  const int64_t now_s = now_ms / 1000;
  const auto update = formats::parse_shadow_update(payload);
  if (!update) return ShadowAnswer(std::unexpected(update.error()));
  if (auto thing = store.find_thing(key.thing); !thing) {
    if (thing.error().code() != Code::kNotFound) return fail(thing.error());
    return ShadowAnswer(reject(404, thing.error().message()));
  }
  SKERRY_ASSIGN(const Shadow before, read(store, key, now_ms));
  auto after = formats::apply_shadow_update(before, *update, now_s);
  if (!after) return ShadowAnswer(std::unexpected(after.error()));
  if (before.version == 0) {
    SKERRY_ASSIGN(const bool has_room, make_room(store, key.thing));
    if (!has_room) {
      return ShadowAnswer(
          reject(400, "The thing has as many shadows as it may: delete one of them"));
    }
  }
  SKERRY_TRY(write(store, key, *after, now_ms));
  std::string accepted = formats::shadow_accepted(*after, *update, now_s);
  announce(store, key, "/update/accepted", accepted);
  announce(store, key, "/update/documents",
           formats::shadow_change(before, *after, now_s, update->client_token));
  if (auto delta = formats::shadow_delta(*after, now_s, update->client_token)) {
    announce(store, key, "/update/delta", *std::move(delta));
  }
  return ShadowAnswer(std::move(accepted));
}

Result<ShadowAnswer> delete_shadow(Store& store, const ShadowKey& key, std::string_view payload,
                                   int64_t now_ms) {
  SKERRY_ASSIGN(const Shadow before, read(store, key, now_ms));
  if (!before.exists()) return ShadowAnswer(std::unexpected(formats::no_shadow(key.name)));
  Shadow deleted;
  deleted.version = before.version;
  deleted.deleted = true;
  SKERRY_TRY(write(store, key, deleted, now_ms));
  std::string document =
      formats::shadow_deleted(before, now_ms / 1000, formats::shadow_client_token(payload));
  announce(store, key, "/delete/accepted", document);
  return ShadowAnswer(std::move(document));
}

Result<Slice<std::string>> list_named_shadows(Store& store, const ThingName& thing,
                                              const Page& page) {
  SKERRY_ASSIGN(auto names,
                store.database().select(
                    "SELECT name FROM shadows WHERE thing = :thing AND name > :after AND "
                    "deleted = 0 ORDER BY name LIMIT :limit",
                    [](const Row& row) { return row.text("name"); }, thing.str(), page.after,
                    limit_of(page)));
  return slice_of(std::move(names), page, [](const std::string& name) { return name; });
}

Result<int64_t> prune_shadows(Store& store, int64_t now_ms, int64_t limit) {
  return store.database().execute(
      "DELETE FROM shadows WHERE (thing, name) IN (SELECT thing, name FROM shadows WHERE "
      "deleted = 1 AND changed_ms <= :oldest ORDER BY changed_ms LIMIT :limit)",
      now_ms - kDeletedShadowMs, limit);
}

}  // namespace skerry::fleet
