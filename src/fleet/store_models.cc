// Models in the store.
#include <nlohmann/json.hpp>

#include "fleet/models.h"
#include "fleet/store_sql.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

ModelVersion read_model(const Row& row) {
  ModelVersion model;
  model.component = ComponentName(row.text("component"));
  model.version = row.text("version");
  model.created_by = row.text("created_by");
  model.created_ms = row.number("created_ms");
  auto document = formats::parse_json(row.text("provenance"));
  if (!document) return model;
  if (auto provenance = formats::parse_model_provenance(*document)) {
    model.provenance = std::move(*provenance);
  }
  return model;
}

Promotion read_promotion(const Row& row) {
  return {row.number("sequence"), ComponentName(row.text("component")),
          row.text("tag"),        row.text("version"),
          row.text("previous"),   row.text("promoted_by"),
          row.number("at_ms")};
}

const std::string kPromotionColumns =
    "sequence, component, tag, version, previous, promoted_by, at_ms";

// For one position of a query: a value, or anything where it is "".
struct Condition {
  std::string sql;
  std::string value;
};

// The index that narrows most has its column compared alone.
std::string where(const std::vector<Condition>& conditions) {
  std::string sql = "1 = 1";
  for (const Condition& condition : conditions) {
    if (!condition.value.empty()) sql += " AND " + condition.sql;
  }
  return sql;
}

std::vector<Condition> conditions_of(const ModelFilter& filter) {
  return {{"m.component = ?", filter.component.str()},
          {"m.version = ?", filter.version},
          {"m.dataset = ?", filter.dataset},
          {"m.dataset_version = ?", filter.dataset_version},
          {"m.source_sha256 = ?", filter.source_sha256}};
}

}  // namespace

Result<void> describe_model(Store& store, const ModelVersion& model) {
  const std::string document = formats::json_text(formats::to_json(model.provenance));
  return store.transaction([&]() -> Result<void> {
    auto before = find_model(store, model.component, model.version);
    if (before && before->provenance == model.provenance) return {};
    if (before && store.find_component(model.component, model.version)) {
      return fail(Code::kAlreadyExists, "model " + model.component.str() + " " + model.version +
                                            " is published and described otherwise: publish "
                                            "another version");
    }
    Database& database = store.database();
    SKERRY_TRY(
        database.execute("DELETE FROM models WHERE component = :component AND version = :version",
                         model.component.str(), model.version));
    const formats::ModelProvenance& from = model.provenance;
    SKERRY_TRY(database.execute(
        "INSERT INTO models (component, version, model, dataset, dataset_version, source_sha256, "
        "provenance, created_by, created_ms) VALUES (:component, :version, :model, :dataset, "
        ":datasetversion, :source, :provenance, :by, :created)",
        model.component.str(), model.version, from.model, from.dataset, from.dataset_version,
        from.source_sha256, document, model.created_by, model.created_ms));
    return {};
  });
}

Result<ModelVersion> find_model(Store& store, const ComponentName& component,
                                const std::string& version) {
  return store.database().select_one(
      "no model is described as " + component.str() + " " + version,
      "SELECT * FROM models WHERE component = :component AND version = :version", read_model,
      component.str(), version);
}

Result<std::vector<ModelVersion>> list_models(Store& store, const ModelFilter& filter,
                                              size_t limit) {
  const auto conditions = conditions_of(filter);
  return store.database().select_where(
      "SELECT m.* FROM models m JOIN components c ON c.name = m.component AND "
      "c.version = m.version WHERE " +
          where(conditions) + " ORDER BY m.component, m.created_ms DESC, m.version DESC LIMIT " +
          std::to_string(limit),
      read_model, [&](auto bind) {
        for (const Condition& condition : conditions) {
          if (!condition.value.empty()) bind(condition.value);
        }
      });
}

Result<Slice<RunningModel>> trace_models(Store& store, const ModelFilter& filter,
                                         const Page& page) {
  auto conditions = conditions_of(filter);
  conditions.push_back({"i.thing = ?", filter.thing.str()});
  // A page ends with "THING COMPONENT"; a name has nothing that sorts before the space.
  conditions.push_back({"i.thing >= ?", page.after.substr(0, page.after.find(' '))});
  conditions.push_back({"i.thing || ' ' || m.component > ?", page.after});
  // A component that is no model has no row in `models`.
  SKERRY_ASSIGN(auto rows,
                store.database().select_where(
                    "SELECT m.*, i.thing, i.state FROM models m JOIN installed_components i ON "
                    "i.name = m.component AND i.version = m.version WHERE " +
                        where(conditions) + " ORDER BY i.thing, m.component LIMIT " +
                        std::to_string(page.limit + 1),
                    [](const Row& row) {
                      return RunningModel{ThingName(row.text("thing")), row.text("state"),
                                          read_model(row)};
                    },
                    [&](auto bind) {
                      for (const Condition& condition : conditions) {
                        if (!condition.value.empty()) bind(condition.value);
                      }
                    }));
  return slice_of(std::move(rows), page, [](const RunningModel& row) {
    return row.thing.str() + " " + row.model.component.str();
  });
}

Result<Promotion> promote_model(Store& store, Promotion promotion) {
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_TRY(store.find_component(promotion.component, promotion.version));
    SKERRY_ASSIGN(const auto before, list_promotions(store, promotion.component, promotion.tag, 1));
    promotion.previous = before.empty() ? "" : before.front().version;
    Database& database = store.database();
    SKERRY_ASSIGN(promotion.sequence,
                  database.select_one(
                      "", "SELECT COALESCE(MAX(sequence), 0) + 1 AS next FROM model_promotions",
                      [](const Row& row) { return row.number("next"); }));
    SKERRY_TRY(database.execute(
        "INSERT INTO model_promotions (" + kPromotionColumns +
            ") VALUES (:sequence, :component, :tag, :version, :previous, :by, :at)",
        promotion.sequence, promotion.component.str(), promotion.tag, promotion.version,
        promotion.previous, promotion.by, promotion.at_ms));
    return {};
  }));
  return promotion;
}

Result<std::vector<Promotion>> list_promotions(Store& store, const ComponentName& component,
                                               const std::string& tag, size_t limit) {
  const auto count = static_cast<int64_t>(limit);
  if (tag.empty()) {
    return store.database().select("SELECT " + kPromotionColumns +
                                       " FROM model_promotions WHERE component = :component "
                                       "ORDER BY sequence DESC LIMIT :limit",
                                   read_promotion, component.str(), count);
  }
  return store.database().select("SELECT " + kPromotionColumns +
                                     " FROM model_promotions WHERE component = :component AND "
                                     "tag = :tag ORDER BY sequence DESC LIMIT :limit",
                                 read_promotion, component.str(), tag, count);
}

Result<std::vector<Promotion>> model_tags(Store& store, const ComponentName& component) {
  return store.database().select(
      "SELECT " + kPromotionColumns +
          " FROM model_promotions WHERE sequence IN (SELECT MAX(sequence) FROM model_promotions "
          "WHERE component = :component GROUP BY tag) ORDER BY tag",
      read_promotion, component.str());
}

}  // namespace skerry::fleet
