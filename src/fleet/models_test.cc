// Versions of models: described once, traced both ways, promoted by name.
#include "fleet/models.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fleet/store_sql.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

const ComponentName kVadComponent("com.example.Vad");

ModelVersion version(const std::string& number, const std::string& dataset_version,
                     char source = 'b') {
  ModelVersion model{kVadComponent, number, {}, "ann", 1000};
  formats::ModelProvenance& from = model.provenance;
  from.model = "vad";
  from.trained_on = "2026-11-27";
  from.dataset = "speech";
  from.dataset_version = dataset_version;
  from.source_sha256 = std::string(64, source);
  from.metric = "auc";
  from.metrics = {{"auc", 0.9}};
  from.artifact = formats::release_name_of(from) + ".onnx";
  return model;
}

class ModelsTest : public testing::Test {
 protected:
  void publish(const ModelVersion& model) {
    ASSERT_TRUE(describe_model(*fleet.store, model));
    ASSERT_TRUE(fleet.store->create_component(
        {model.component, model.version, "{}", "", "", "{}", model.created_ms}));
  }
  void run_on(const std::string& thing, const std::string& number,
              const ComponentName& component = kVadComponent) {
    if (!fleet.store->find_thing(ThingName(thing))) fleet.add_thing(thing);
    CoreDevice device;
    device.thing = ThingName(thing);
    ASSERT_TRUE(fleet.store->upsert_core_device(device));
    InstalledComponent installed;
    installed.name = component;
    installed.version = number;
    installed.state = "FINISHED";
    ASSERT_TRUE(fleet.store->merge_installed_components(ThingName(thing), {installed}));
  }
  std::vector<std::string> things(const ModelFilter& filter, size_t limit = 100) {
    std::vector<std::string> found;
    Page page{limit, ""};
    do {
      auto slice = trace_models(*fleet.store, filter, page);
      EXPECT_TRUE(slice) << slice.error().message();
      if (!slice) break;
      for (const RunningModel& one : slice->items) found.push_back(one.thing.str());
      page.after = slice->next;
    } while (!page.after.empty());
    return found;
  }
  TestFleet fleet;
};

TEST_F(ModelsTest, DescribedOnceAndNeverOtherwise) {
  const ModelVersion first = version("1.0.0", "1");
  ASSERT_TRUE(describe_model(*fleet.store, version("1.0.0", "typo")));
  publish(first);  // not published before: corrected
  EXPECT_EQ(find_model(*fleet.store, kVadComponent, "1.0.0").value(), first);
  EXPECT_TRUE(describe_model(*fleet.store, first));
  EXPECT_EQ(describe_model(*fleet.store, version("1.0.0", "2")).error().code(),
            Code::kAlreadyExists);
  EXPECT_EQ(find_model(*fleet.store, kVadComponent, "9.0.0").error().code(), Code::kNotFound);
}

TEST_F(ModelsTest, OnlyPublishedOnesAreListed) {
  publish(version("1.0.0", "1"));
  publish(version("1.1.0", "2"));
  ASSERT_TRUE(describe_model(*fleet.store, version("2.0.0", "2")));
  EXPECT_EQ(list_models(*fleet.store, {}, 10)->size(), 2u);
  EXPECT_EQ(list_models(*fleet.store, {.dataset = "speech", .dataset_version = "2"}, 10)->size(),
            1u);
  EXPECT_TRUE(list_models(*fleet.store, {.dataset = "' OR 1=1 --"}, 10)->empty());
}

TEST_F(ModelsTest, TracedBackAndForward) {
  publish(version("1.0.0", "1", 'b'));
  publish(version("1.1.0", "2", 'c'));
  run_on("press-1", "1.0.0");
  run_on("press-2", "1.1.0");
  run_on("press-3", "1.1.0");
  run_on("press-3", "5.0.0", ComponentName("com.example.NoModel"));
  run_on("press-4", "7.0.0");  // nobody said what it is
  using Things = std::vector<std::string>;
  EXPECT_EQ(things({.dataset = "speech"}), (Things{"press-1", "press-2", "press-3"}));
  EXPECT_EQ(things({.dataset = "speech", .dataset_version = "2"}), (Things{"press-2", "press-3"}));
  EXPECT_EQ(things({.source_sha256 = std::string(64, 'b')}), Things{"press-1"});
  EXPECT_EQ(things({.component = kVadComponent}, 1), (Things{"press-1", "press-2", "press-3"}));
  EXPECT_TRUE(things({.dataset = "speech", .thing = ThingName("press-4")}).empty());
  const auto back = trace_models(*fleet.store, {.thing = ThingName("press-3")}, {10, ""});
  ASSERT_EQ(back->items.size(), 1u);
  EXPECT_EQ(back->items[0].model, version("1.1.0", "2", 'c'));
}

TEST_F(ModelsTest, APageMayEndBetweenTwoModelsOfOneThing) {
  publish(version("1.0.0", "1"));
  ModelVersion other = version("1.0.0", "1");
  other.component = ComponentName("com.example.Wake");
  publish(other);
  run_on("a", "1.0.0");
  run_on("a-b", "1.0.0");
  run_on("b", "1.0.0");
  for (const char* thing : {"a", "a-b", "b"}) {
    InstalledComponent installed;
    installed.name = other.component;
    installed.version = "1.0.0";
    ASSERT_TRUE(fleet.store->merge_installed_components(ThingName(thing), {installed}));
  }
  const auto all = things({.dataset = "speech"});
  EXPECT_EQ(all.size(), 6u);
  for (size_t limit = 1; limit < 6; ++limit) EXPECT_EQ(things({.dataset = "speech"}, limit), all);
}

TEST_F(ModelsTest, TheQueriesUseTheirIndexes) {
  const auto plan = [&](const std::string& where) {
    const auto rows = fleet.store->database().select(
        "EXPLAIN QUERY PLAN SELECT m.*, i.thing FROM models m JOIN installed_components i ON "
        "i.name = m.component AND i.version = m.version WHERE " +
            where + " ORDER BY i.thing",
        [](const Row& row) { return row.text("detail"); });
    std::string text;
    for (const std::string& line : *rows) text += line + "\n";
    return text;
  };
  EXPECT_NE(plan("m.dataset = 'x'").find("models_by_dataset"), std::string::npos);
  EXPECT_NE(plan("m.source_sha256 = 'x'").find("models_by_source"), std::string::npos);
  for (const char* where : {"m.dataset = 'x'", "m.source_sha256 = 'x'", "i.thing = 'x'"}) {
    EXPECT_EQ(plan(where).find("SCAN"), std::string::npos) << plan(where);
  }
}

TEST_F(ModelsTest, TagsMoveAndRememberWhoAndFromWhere) {
  publish(version("1.0.0", "1"));
  publish(version("1.1.0", "2"));
  const auto promote = [&](const std::string& number, const std::string& tag, int64_t at_ms) {
    return promote_model(
        *fleet.store,
        {.component = kVadComponent, .tag = tag, .version = number, .by = "ann", .at_ms = at_ms});
  };
  EXPECT_EQ(promote("1.0.0", "production", 1)->previous, "");
  EXPECT_EQ(promote("1.1.0", "staging", 2)->previous, "");
  EXPECT_EQ(promote("1.1.0", "production", 3)->previous, "1.0.0");
  EXPECT_EQ(promote("3.0.0", "production", 4).error().code(), Code::kNotFound);
  const auto tags = model_tags(*fleet.store, kVadComponent);
  ASSERT_EQ(tags->size(), 2u);
  EXPECT_EQ((*tags)[0].version, "1.1.0");
  EXPECT_EQ((*tags)[0].by, "ann");
  EXPECT_EQ((*tags)[0].at_ms, 3);
  EXPECT_EQ(list_promotions(*fleet.store, kVadComponent, "production", 10)->size(), 2u);
  EXPECT_EQ(list_promotions(*fleet.store, kVadComponent, "", 10)->size(), 3u);
  EXPECT_TRUE(list_promotions(*fleet.store, ComponentName("x"), "", 10)->empty());
}

}  // namespace
}  // namespace skerry::fleet
