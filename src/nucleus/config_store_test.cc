// Durable before visible, replay, and who is told what.
#include "nucleus/config_store.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nucleus/test_config.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

const ComponentName kApp("app");

struct Journal {
  std::vector<std::string> records;
  bool full = false;
  ConfigStore::Persister persister() {
    return persist_at_once([this](const std::string& record) -> Result<void> {
      if (full) return fail(Code::kResourceExhausted, "disk full");
      records.push_back(record);
      return {};
    });
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
  auto changed = update_now(store, kApp, {"k"}, 1, 100);
  ASSERT_TRUE(changed);
  EXPECT_EQ(*changed, (std::vector<KeyPath>{{"k"}}));
  EXPECT_EQ(seen, *changed);

  journal.full = true;
  const uint64_t version = store.version();
  auto refused = update_now(store, kApp, {"k"}, 2, 200);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "disk full");
  EXPECT_EQ(store.tree().get(kApp, {"k"}), json(1));
  EXPECT_EQ(store.version(), version);
  EXPECT_EQ(seen.size(), 1u);
}

TEST(ConfigStore, ReplayGivesTheSameTree) {
  Journal journal;
  ConfigStore store(journal.persister());
  ASSERT_TRUE(update_now(store, kApp, {}, json::parse(R"({"a":{"b":[1,2]}})"), 100));
  ASSERT_TRUE(update_now(store, kApp, {"A", "c"}, "text", 200));
  ASSERT_TRUE(update_now(store, kApp, {"a", "c"}, "older", 150));
  ConfigStore again(persist_at_once([](const std::string&) -> Result<void> {
    ADD_FAILURE() << "a replay persists nothing";
    return {};
  }));
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
  ASSERT_TRUE(update_now(store, kApp, {}, json::parse(R"({"a":{"b":1,"c":1}})"), 1));
  int all = 0, at_b = 0, other = 0;
  auto watch_all = store.watch(kApp, {}, [&](const auto&, const auto&) { ++all; });
  auto watch_b = store.watch(kApp, {"A", "B"}, [&](const auto&, const auto&) { ++at_b; });
  auto watch_other =
      store.watch(ComponentName("other"), {}, [&](const auto&, const auto&) { ++other; });
  ASSERT_TRUE(update_now(store, kApp, {"a", "b"}, 2, 2));  // at
  ASSERT_TRUE(update_now(store, kApp, {"a", "c"}, 2, 2));  // beside
  ASSERT_TRUE(update_now(store, kApp, {"a"}, "leaf", 3));  // above
  ASSERT_TRUE(update_now(store, kApp, {"a"}, "leaf", 4));  // no change
  EXPECT_EQ(all, 3);
  EXPECT_EQ(at_b, 2);
  EXPECT_EQ(other, 0);
  watch_all = {};
  ASSERT_TRUE(update_now(store, kApp, {"a"}, "again", 5));
  EXPECT_EQ(all, 3);
  EXPECT_EQ(at_b, 3);
}

// A persister that takes its time.
struct SlowJournal {
  std::string record;
  std::function<void(Result<void>)> done;
  ConfigStore::Persister persister() {
    return [this](std::string text, std::function<void(Result<void>)> when_done) {
      EXPECT_FALSE(done) << "one at a time";
      record = std::move(text);
      done = std::move(when_done);
    };
  }
  void finish(Result<void> result = {}) { std::exchange(done, nullptr)(std::move(result)); }
};

TEST(ConfigStore, ChangesAreMadeOneAfterTheOtherAndEachIsCheckedAgainstTheOneBefore) {
  SlowJournal journal;
  ConfigStore store(journal.persister());
  const std::string large(700'000, 'x');
  std::vector<std::string> answers;
  auto update = [&](const std::string& key, const json& value) {
    store.update(kApp, {key}, value, 1, [&answers, key](const auto& changed) {
      answers.push_back(key + (changed ? "" : ": " + changed.error().message()));
    });
  };
  update("a", large);
  update("b", large);  // either alone would fit
  update("c", 1);
  EXPECT_EQ(answers.size(), 0u);
  EXPECT_FALSE(store.tree().has(kApp)) << "not durable yet";
  journal.finish();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[0], "a");
  EXPECT_TRUE(answers[1].starts_with("b: ")) << answers[1];
  EXPECT_NE(journal.record.find("\"c\""), std::string::npos);
  journal.finish(fail(Code::kUnavailable, "the disk"));
  EXPECT_EQ(answers.back(), "c: the disk");
  EXPECT_EQ(store.tree().kind(kApp, {"c"}), ConfigTree::Kind::kAbsent);
}

TEST(ConfigStore, OneThatChangesWhatItWatchesIsServedAfterwards) {
  SlowJournal journal;
  ConfigStore store(journal.persister());
  std::vector<std::string> answers;
  auto watch = store.watch(kApp, {"a"}, [&](const auto&, const auto&) {
    store.update(kApp, {"b"}, 2, 2, [&](const auto&) { answers.emplace_back("b"); });
  });
  store.update(kApp, {"a"}, 1, 1, [&](const auto&) { answers.emplace_back("a"); });
  journal.finish();
  EXPECT_EQ(answers, (std::vector<std::string>{"a"}));
  journal.finish();
  EXPECT_EQ(answers, (std::vector<std::string>{"a", "b"}));
}

TEST(ConfigStore, WhatWaitsIsLimited) {
  SlowJournal journal;
  ConfigStore store(journal.persister());
  const std::string large(900'000, 'x');
  int taken = 0, refused = 0;
  for (int i = 0; i < 100; ++i) {
    store.update(kApp, {"k"}, large, i, [&](const auto& changed) {
      taken += changed.has_value();
      refused += !changed && changed.error().code() == Code::kResourceExhausted;
    });
  }
  EXPECT_EQ(refused, 96);
  while (journal.done) journal.finish();
  EXPECT_EQ(taken, 4);
}

TEST(ConfigStore, ReplaceTellsTheDifferences) {
  Journal journal;
  ConfigStore store(journal.persister());
  ASSERT_TRUE(update_now(store, kApp, {}, json::parse(R"({"a":1,"b":1})"), 1));
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
  ASSERT_TRUE(update_now(store, kApp, {"k"}, 1, 1));
  ASSERT_TRUE(update_now(store, kApp, {"k"}, 2, 2));
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 0);
}

}  // namespace
}  // namespace skerry::nucleus
