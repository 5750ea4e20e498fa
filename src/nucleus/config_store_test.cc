// Durable before visible, replay, and who is told what.
#include "nucleus/config_store.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::nucleus {
namespace {

using nlohmann::json;

const ComponentName kApp("app");

struct Journal {
  std::vector<std::string> records;
  bool full = false;
  ConfigStore::Persister persister() {
    return [this](const std::string& record) -> Result<void> {
      if (full) return fail(Code::kResourceExhausted, "disk full");
      records.push_back(record);
      return {};
    };
  }
};

TEST(ConfigStore, AChangeIsDurableBeforeItIsVisible) {
  Journal journal;
  ConfigStore store(journal.persister());
  std::vector<KeyPath> seen;
  auto watch = store.watch(kApp, {}, [&](const ComponentName&, const KeyPath& path) {
    EXPECT_EQ(journal.records.size(), 1u);
    EXPECT_EQ(store.tree().get(kApp, {"k"}), json(1));
    seen.push_back(path);
  });
  auto changed = store.update(kApp, {"k"}, 1, 100);
  ASSERT_TRUE(changed);
  EXPECT_EQ(*changed, (std::vector<KeyPath>{{"k"}}));
  EXPECT_EQ(seen, *changed);

  journal.full = true;
  const uint64_t version = store.version();
  auto refused = store.update(kApp, {"k"}, 2, 200);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "disk full");
  EXPECT_EQ(store.tree().get(kApp, {"k"}), json(1));
  EXPECT_EQ(store.version(), version);
  EXPECT_EQ(seen.size(), 1u);
}

TEST(ConfigStore, ReplayGivesTheSameTree) {
  Journal journal;
  ConfigStore store(journal.persister());
  ASSERT_TRUE(store.update(kApp, {}, json::parse(R"({"a":{"b":[1,2]}})"), 100));
  ASSERT_TRUE(store.update(kApp, {"A", "c"}, "text", 200));
  ASSERT_TRUE(store.update(kApp, {"a", "c"}, "older", 150));
  ConfigStore again([](const std::string&) -> Result<void> {
    ADD_FAILURE() << "a replay persists nothing";
    return {};
  });
  for (const std::string& record : journal.records) ASSERT_TRUE(again.apply_record(record));
  EXPECT_EQ(again.tree(), store.tree());
  for (const char* bad :
       {"", "[]", "{}", R"({"component":"c","path":[1],"value":1,"timestamp_ms":1})",
        R"({"component":"c","path":["a"],"value":1,"timestamp_ms":"x"})"}) {
    auto refused = again.apply_record(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code(), Code::kCorrupt);
  }
}

TEST(ConfigStore, WatchersHearOfChangesAtAboveAndBelow) {
  Journal journal;
  ConfigStore store(journal.persister());
  ASSERT_TRUE(store.update(kApp, {}, json::parse(R"({"a":{"b":1,"c":1}})"), 1));
  int all = 0, at_b = 0, other = 0;
  auto watch_all = store.watch(kApp, {}, [&](const auto&, const auto&) { ++all; });
  auto watch_b = store.watch(kApp, {"A", "B"}, [&](const auto&, const auto&) { ++at_b; });
  auto watch_other =
      store.watch(ComponentName("other"), {}, [&](const auto&, const auto&) { ++other; });
  ASSERT_TRUE(store.update(kApp, {"a", "b"}, 2, 2));  // at
  ASSERT_TRUE(store.update(kApp, {"a", "c"}, 2, 2));  // beside
  ASSERT_TRUE(store.update(kApp, {"a"}, "leaf", 3));  // above
  ASSERT_TRUE(store.update(kApp, {"a"}, "leaf", 4));  // no change
  EXPECT_EQ(all, 3);
  EXPECT_EQ(at_b, 2);
  EXPECT_EQ(other, 0);
  watch_all = {};
  ASSERT_TRUE(store.update(kApp, {"a"}, "again", 5));
  EXPECT_EQ(all, 3);
  EXPECT_EQ(at_b, 3);
}

TEST(ConfigStore, ReplaceTellsTheDifferences) {
  Journal journal;
  ConfigStore store(journal.persister());
  ASSERT_TRUE(store.update(kApp, {}, json::parse(R"({"a":1,"b":1})"), 1));
  ConfigTree next = store.tree();
  ASSERT_TRUE(next.merge(kApp, {"b"}, 2, 5));
  std::vector<KeyPath> seen;
  auto watch =
      store.watch(kApp, {}, [&](const auto&, const KeyPath& path) { seen.push_back(path); });
  const uint64_t version = store.version();
  store.replace(next);
  EXPECT_EQ(seen, (std::vector<KeyPath>{{"b"}}));
  EXPECT_EQ(store.tree(), next);
  EXPECT_NE(store.version(), version);
  EXPECT_EQ(journal.records.size(), 1u) << "the deployment has made it durable already";
}

TEST(ConfigStore, ACallbackMayStopItsOwnWatchAndOthers) {
  Journal journal;
  ConfigStore store(journal.persister());
  int first = 0, second = 0;
  ConfigStore::Watch a, b;
  a = store.watch(kApp, {}, [&, big = std::string(100, 'x')](const auto&, const auto&) {
    a = {};
    b = {};
    first += static_cast<int>(big.size()) / 100;
  });
  b = store.watch(kApp, {}, [&](const auto&, const auto&) { ++second; });
  ASSERT_TRUE(store.update(kApp, {"k"}, 1, 1));
  ASSERT_TRUE(store.update(kApp, {"k"}, 2, 2));
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 0);
}

}  // namespace
}  // namespace skerry::nucleus
