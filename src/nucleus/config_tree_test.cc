// The merge rule, limits, reset, persistence and comparison of the configuration tree.
#include "nucleus/config_tree.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::nucleus {
namespace {

using nlohmann::json;

const ComponentName kExampleApp("com.example.App");

json j(std::string_view text) {
  return json::parse(text);
}

ConfigTree tree_with(std::string_view config, int64_t time = 100) {
  ConfigTree tree;
  EXPECT_TRUE(tree.merge(kExampleApp, {}, j(config), time));
  return tree;
}

std::vector<KeyPath> merged(ConfigTree& tree, const KeyPath& path, std::string_view value,
                            int64_t time) {
  auto changed = tree.merge(kExampleApp, path, j(value), time);
  EXPECT_TRUE(changed) << changed.error().message();
  return changed ? *changed : std::vector<KeyPath>{};
}

json get(const ConfigTree& tree, const KeyPath& path = {}) {
  auto value = tree.get(kExampleApp, path);
  EXPECT_TRUE(value) << value.error().message();
  return value ? *value : json("absent");
}

TEST(ConfigTree, MergesMapsKeyByKeyAndReplacesListsWhole) {
  ConfigTree tree = tree_with(R"({"mqtt":{"port":8883,"hosts":["a","b"]},"name":"x"})");
  EXPECT_EQ(merged(tree, {}, R"({"mqtt":{"hosts":["c"]},"extra":{"deep":{"k":null}}})", 200),
            (std::vector<KeyPath>{{"extra"}, {"mqtt", "hosts"}}));
  EXPECT_EQ(get(tree),
            j(R"({"mqtt":{"port":8883,"hosts":["c"]},"name":"x","extra":{"deep":{"k":null}}})"));
}

TEST(ConfigTree, ALeafChangesOnlyIfTheTimeIsNotOlder) {
  ConfigTree tree = tree_with(R"({"k":1})", 100);
  EXPECT_TRUE(merged(tree, {"k"}, "2", 99).empty());
  EXPECT_EQ(get(tree, {"k"}), 1);
  EXPECT_EQ(merged(tree, {"k"}, "2", 100), (std::vector<KeyPath>{{"k"}}));
  EXPECT_EQ(get(tree, {"k"}), 2);
  // The same value again is no change, but it is newer now.
  EXPECT_TRUE(merged(tree, {"k"}, "2", 300).empty());
  EXPECT_TRUE(merged(tree, {"k"}, "3", 200).empty());
  EXPECT_EQ(get(tree, {"k"}), 2);
}

TEST(ConfigTree, AChangeOfKindReplacesTheWholeUnlessSomethingInItIsNewer) {
  ConfigTree tree = tree_with(R"({"k":{"a":1}})", 100);
  merged(tree, {"k", "b"}, "2", 300);
  EXPECT_TRUE(merged(tree, {"k"}, R"("leaf")", 200).empty());
  EXPECT_EQ(merged(tree, {"k"}, R"("leaf")", 300), (std::vector<KeyPath>{{"k"}}));
  EXPECT_EQ(get(tree), j(R"({"k":"leaf"})"));
  EXPECT_TRUE(merged(tree, {"k", "x"}, "1", 299).empty());
  EXPECT_EQ(merged(tree, {"k", "x"}, "1", 300), (std::vector<KeyPath>{{"k"}}));
  EXPECT_EQ(get(tree), j(R"({"k":{"x":1}})"));
}

TEST(ConfigTree, KeysCompareWithoutCaseAndKeepTheirFirstSpelling) {
  ConfigTree tree = tree_with(R"({"Mqtt":{"Port":1}})");
  merged(tree, {"MQTT", "port"}, "2", 200);
  EXPECT_EQ(get(tree), j(R"({"Mqtt":{"Port":2}})"));
  EXPECT_EQ(get(tree, {"mqtt", "PORT"}), 2);
  const char* twice = R"({"A":{"x":1},"a":2})";
  EXPECT_EQ(merged(tree, {}, twice, 300), (std::vector<KeyPath>{{"A"}}));
  EXPECT_TRUE(merged(tree, {}, twice, 300).empty());
  EXPECT_EQ(get(tree, {"a"}), 2);
  EXPECT_FALSE(tree.has(ComponentName("com.example.app"))) << "component names are exact";
}

TEST(ConfigTree, DefaultsNeverOverrideWhatWasSet) {
  ConfigTree tree = tree_with(R"({"set":1})", 100);
  ASSERT_TRUE(tree.apply_defaults(kExampleApp, j(R"({"set":0,"fresh":0})")));
  EXPECT_EQ(get(tree), j(R"({"set":1,"fresh":0})"));
  ASSERT_TRUE(tree.apply_defaults(kExampleApp, j(R"({"fresh":5})")));
  EXPECT_EQ(get(tree, {"fresh"}), 5) << "a new version's default replaces the old one's";
}

TEST(ConfigTree, ResetRemovesWhatPointersName) {
  ConfigTree tree = tree_with(R"({"a":{"b":1,"c/d":2,"e~f":3},"g":4})");
  auto removed = tree.reset(kExampleApp, {"/a/B", "/a/c~1d", "/a/e~0f", "/none/here"});
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->size(), 3u);
  EXPECT_EQ(get(tree), j(R"({"a":{},"g":4})"));
  EXPECT_TRUE(tree.reset(kExampleApp, {""}));
  EXPECT_EQ(get(tree), json::object());
  EXPECT_TRUE(tree.reset(ComponentName("unknown"), {"/a"}));
  // A default comes back after a reset; it would not over a newer value.
  ASSERT_TRUE(tree.apply_defaults(kExampleApp, j(R"({"g":0})")));
  EXPECT_EQ(get(tree, {"g"}), 0);
}

TEST(ConfigTree, ABadPointerResetsNothing) {
  ConfigTree tree = tree_with(R"({"a":1})");
  for (const char* bad : {"a", "/a~", "/a~2"}) {
    auto removed = tree.reset(kExampleApp, {"/a", bad});
    ASSERT_FALSE(removed) << bad;
    EXPECT_EQ(removed.error().code(), Code::kInvalidArgument);
    EXPECT_NE(removed.error().message().find(bad), std::string::npos);
  }
  EXPECT_EQ(get(tree), j(R"({"a":1})"));
}

TEST(ConfigTree, ReadsAsCompactText) {
  ConfigTree tree = tree_with(R"({"b":[1,{"z":"ü\n"}],"a":{},"c":1.5,"q\"":true})");
  std::string text = ">";
  EXPECT_TRUE(tree.append_json(kExampleApp, {}, text));
  EXPECT_EQ(text, R"(>{"a":{},"b":[1,{"z":"ü\n"}],"c":1.5,"q\"":true})");
  EXPECT_FALSE(tree.append_json(kExampleApp, {"nothing"}, text));
  EXPECT_EQ(tree.kind(kExampleApp, {"a"}), ConfigTree::Kind::kMap);
  EXPECT_EQ(tree.kind(kExampleApp, {"c"}), ConfigTree::Kind::kLeaf);
  EXPECT_EQ(tree.kind(kExampleApp, {"c", "d"}), ConfigTree::Kind::kAbsent);
  auto missing = tree.get(kExampleApp, {"no", "such"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_EQ(missing.error().message(),
            "component com.example.App has no configuration \"/no/such\"");
}

TEST(ConfigTree, LimitsNameThePlaceAndChangeNothing) {
  ConfigTree tree(ConfigLimits{.depth = 3, .key_bytes = 8, .component_bytes = 64});
  ASSERT_TRUE(tree.merge(kExampleApp, {}, j(R"({"a":1})"), 1));
  struct Case {
    KeyPath path;
    const char* value;
    Code code;
    const char* says;
  };
  for (const Case& c : {
           Case{{}, "5", Code::kInvalidArgument, "must be a JSON object"},
           Case{{}, R"({"a":{"b":{"c":{"d":1}}}})", Code::kInvalidArgument, "deeper than 3"},
           Case{{"a", "b", "c"}, R"([[]])", Code::kInvalidArgument, "deeper than 3"},
           Case{{"x"}, R"({"much too long":1})", Code::kInvalidArgument, "longer than 8 bytes"},
           Case{{"much too long"}, "1", Code::kInvalidArgument, "longer than 8 bytes"},
           Case{{"a"},
                R"("0123456789012345678901234567890123456789012345678901234567890123")",
                Code::kResourceExhausted,
                "at most 64"},
       }) {
    auto changed = tree.merge(kExampleApp, c.path, j(c.value), 9);
    ASSERT_FALSE(changed) << c.value;
    EXPECT_EQ(changed.error().code(), c.code);
    EXPECT_NE(changed.error().message().find(c.says), std::string::npos)
        << changed.error().message();
    EXPECT_NE(changed.error().message().find("com.example.App"), std::string::npos);
  }
  EXPECT_EQ(get(tree), j(R"({"a":1})"));
  EXPECT_TRUE(tree.merge(kExampleApp, {}, j(R"({"b":{"c":{"d":1}}})"), 9))
      << "three levels are allowed";
  const json large = std::string(40, 'x');
  EXPECT_TRUE(tree.merge(kExampleApp, {"a"}, large, 9));
  EXPECT_TRUE(tree.merge(kExampleApp, {"a"}, large, 9)) << "a value may replace another as large";
}

TEST(ConfigTree, HostileNestingIsRefusedNotRecursedInto) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  ConfigTree tree;
  EXPECT_FALSE(tree.merge(kExampleApp, {"k"}, json::parse(deep), 1));
}

TEST(ConfigTree, PersistsWithTimestamps) {
  ConfigTree tree = tree_with(R"({"a":{"b":[1,{"v":2}]},"v":1,"m":{"t":{}}})", 100);
  ASSERT_TRUE(tree.apply_defaults(ComponentName("other"), j(R"({"k":"d"})")));
  auto copy = ConfigTree::from_json(json::parse(tree.to_json().dump()));
  ASSERT_TRUE(copy) << copy.error().message();
  EXPECT_EQ(*copy, tree);
  EXPECT_TRUE(merged(*copy, {"v"}, "9", 99).empty()) << "times survive";
  for (const char* bad : {"[]", R"({"c":1})", R"({"c":{"v":1}})", R"({"c":{"v":1,"t":"x"}})",
                          R"({"c":{"m":[],"t":1}})", R"({"c":{"v":{},"t":1}})",
                          R"({"c":{"x":1,"t":1}})", R"({"c":{"m":{"k":{"m":5,"t":1}},"t":1}})"}) {
    auto refused = ConfigTree::from_json(json::parse(bad));
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code(), Code::kCorrupt);
  }
}

TEST(ConfigTree, DifferencesAreThePathsThatReadDifferently) {
  const ConfigTree before = tree_with(R"({"same":1,"leaf":1,"map":{"gone":1,"same":2},"kind":{}})");
  ConfigTree after =
      tree_with(R"({"same":1,"leaf":2,"map":{"same":2,"new":{"x":1}},"kind":0})", 999);
  ASSERT_TRUE(after.merge(ComponentName("new.component"), {}, j("{}"), 1));
  using Difference = std::pair<ComponentName, KeyPath>;
  EXPECT_EQ(before.differences(after),
            (std::vector<Difference>{{kExampleApp, {"kind"}},
                                     {kExampleApp, {"leaf"}},
                                     {kExampleApp, {"map", "gone"}},
                                     {kExampleApp, {"map", "new"}},
                                     {ComponentName("new.component"), {}}}));
  EXPECT_TRUE(before.differences(before).empty());
}

}  // namespace
}  // namespace skerry::nucleus
