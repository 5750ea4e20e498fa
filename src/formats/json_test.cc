// JSON and YAML text into trees, limits, and the reader's errors.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "formats/json_ptr.h"
#include "formats/node.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

json yaml(std::string_view text) {
  auto tree = parse_yaml(text);
  EXPECT_TRUE(tree) << tree.error().message();
  return tree.value_or(json());
}

template <class T>
std::string message_of(const Result<T>& result) {
  return result ? "no error" : result.error().message();
}

TEST(YamlTest, ScalarsHaveTheTypesOfYaml12) {
  EXPECT_EQ(yaml("{a: 1, b: -2, c: 1.5, d: 1e3, e: .5, f: 5., g: +7, h: 0}"), (json{{"a", 1},
                                                                                    {"b", -2},
                                                                                    {"c", 1.5},
                                                                                    {"d", 1e3},
                                                                                    {"e", 0.5},
                                                                                    {"f", 5.0},
                                                                                    {"g", 7},
                                                                                    {"h", 0}}));
  EXPECT_EQ(yaml("[true, False, null, ~, yes, on]"),
            (json{true, false, nullptr, nullptr, "yes", "on"}));
  EXPECT_EQ(yaml("['1', \"true\", !!str 2, 'null']"), (json{"1", "true", "2", "null"}));
}

TEST(YamlTest, WhatLooksLikeANumberButIsAnIdentifierStaysText) {
  EXPECT_EQ(
      yaml("[000000000000, 0755, 2020-01-25, 1.0.0, 0x10, 1_000, .inf, '-', -, e1, 1e]").dump(),
      R"(["000000000000","0755","2020-01-25","1.0.0","0x10","1_000",".inf","-","-","e1","1e"])");
  EXPECT_EQ(yaml("[1e999]").dump(), R"(["1e999"])");
}

TEST(YamlTest, BlocksAndNesting) {
  EXPECT_EQ(yaml("a:\n  - b: |\n      one\n      two\n  - c:\n"),
            (json{{"a", {{{"b", "one\ntwo\n"}}, {{"c", nullptr}}}}}));
  EXPECT_EQ(yaml(""), json());
  EXPECT_EQ(yaml("# nothing\n"), json());
}

TEST(YamlTest, AliasesAreRefusedBecauseTheyMultiply) {
  auto bomb = parse_yaml("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n");
  EXPECT_EQ(message_of(bomb),
            "not YAML: line 2, column 8: aliases are not supported: write the value out");
  EXPECT_TRUE(parse_yaml("a: &unused 1\n"));
}

TEST(YamlTest, NamesThePlaceOfAMistake) {
  EXPECT_EQ(message_of(parse_yaml("a: 1\na: 2\n")),
            "not YAML: line 2, column 1: the key 'a' stands here twice");
  EXPECT_NE(message_of(parse_yaml("a: [1\nb: 2\n")).find("line 2"), std::string::npos);
  EXPECT_NE(message_of(parse_yaml("? [a]\n: 1\n")).find("a key has to be a string"),
            std::string::npos);
  EXPECT_EQ(message_of(parse_yaml("a: \"\xff\"")), "not YAML: the text is not UTF-8");
}

TEST(LimitsTest, DepthIsLimitedBeforeAnythingRecurses) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  for (auto* parse : {&parse_json, &parse_yaml}) {
    EXPECT_TRUE((*parse)(nested(64), JsonLimits()));
    EXPECT_NE(message_of((*parse)(nested(65), JsonLimits())).find("deeper than 64"),
              std::string::npos);
    EXPECT_FALSE((*parse)(std::string(500'000, '['), JsonLimits()));
  }
  EXPECT_TRUE(parse_json(R"(["[[[[", "\"[[[", {}])", {.depth = 2}));
}

TEST(LimitsTest, SizeIsLimited) {
  for (auto* parse : {&parse_json, &parse_yaml}) {
    auto refused = (*parse)("[1, 2, 3]", {.size_bytes = 8});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  }
}

TEST(JsonTest, SaysWhereTheTextIsWrong) {
  EXPECT_NE(message_of(parse_json("{\"a\": 1,\n x}")).find("line 2"), std::string::npos);
  EXPECT_NE(message_of(parse_json("\"\xff\"")).find("UTF-8"), std::string::npos);
  EXPECT_FALSE(parse_json(""));
}

TEST(JsonTest, AKeyThatStandsTwiceIsWrongAsInYaml) {
  EXPECT_EQ(message_of(parse_json(R"({"a": 1, "a": 2})")),
            "not JSON: the key 'a' stands here twice: a");
  EXPECT_EQ(message_of(parse_json(R"({"x": [{"a": 1}, {"b": {"c": 1, "d": {}, "c": null}}]})")),
            "not JSON: the key 'c' stands here twice: x.b.c");
  EXPECT_EQ(message_of(parse_json(R"({"\u0061": 1, "a": 2})")),
            "not JSON: the key 'a' stands here twice: a");
  EXPECT_TRUE(parse_json(R"([{"a": {"a": 1}}, {"a": [{"a": 1}, {"a": 1}]}])"));
  EXPECT_EQ(*parse_json(R"({"a": [1, {"b": null}], "c": "d"})"),
            (json{{"a", {1, {{"b", nullptr}}}}, {"c", "d"}}));
}

TEST(JsonTest, PrintingNeverFails) {
  EXPECT_EQ(json_text(json("\xff")), "\"\xEF\xBF\xBD\"");
}

TEST(NodeTest, FindsKeysWithoutCaseAndTakesNullForAbsent) {
  const json tree = {{"ComponentName", "a"}, {"empty", nullptr}};
  const Node root(tree, "");
  EXPECT_EQ(root.require("componentNAME")->path(), "ComponentName");
  EXPECT_FALSE(*root.find("empty"));
  EXPECT_EQ(message_of(root.require("Empty")), "Empty: is missing");
}

TEST(NodeTest, TwoSpellingsOfOneKeyAreWrong) {
  const json tree = {{"outer", {{"Run", "a"}, {"run", "b"}}}};
  EXPECT_EQ(message_of(Node(tree, "").require("outer")->find("Run")),
            "outer.Run: stands here twice");
}

TEST(NodeTest, TheWordsOfYaml11AreBooleans) {
  const json tree = {"yes", "Yes", "ON", "y", "true", "TRUE", "no", "No", "off", "n", "False"};
  const Node root(tree, "");
  size_t i = 0;
  for (const Node& each : *root.elements()) EXPECT_EQ(each.as_bool(), i++ < 6) << each.path();
  const json others = {"1", "ja", "", " yes", "yes!"};
  for (const Node& each : *Node(others, "").elements()) EXPECT_FALSE(each.as_bool());
}

TEST(NodeTest, ScalarsMayBeStrings) {
  const json tree = {{"yes", "True"}, {"number", "120"}, {"whole", 60.0}, {"half", "0.5"}};
  const Node root(tree, "");
  EXPECT_EQ(root.require("yes")->as_bool(), true);
  EXPECT_EQ(root.require("number")->as_integer(), 120);
  EXPECT_EQ(root.require("whole")->as_integer(), 60);
  EXPECT_EQ(root.require("half")->as_number(), 0.5);
}

TEST(NodeTest, ErrorsNameThePlace) {
  const json tree = json::parse(R"({"list": [{"a": 1}, null], "text": "x\u0000y", "big": 1e300,
                                    "huge": 18446744073709551615, "number": "12a"})");
  const Node root(tree, "");
  EXPECT_EQ(message_of(root.require("list")->elements()),
            "list[1]: is empty: remove it or fill it in");
  EXPECT_EQ(message_of(root.require("list")->find("a")), "list: must be an object");
  EXPECT_EQ(message_of(root.require("text")->as_string()), "text: holds a NUL character");
  EXPECT_EQ(message_of(root.require("big")->as_integer()), "big: must be a whole number");
  EXPECT_EQ(message_of(root.require("huge")->as_integer()), "huge: must be a whole number");
  EXPECT_EQ(message_of(root.require("number")->as_integer()), "number: must be a whole number");
  EXPECT_EQ(message_of(root.require("number")->as_bool()), "number: must be true or false");
}

}  // namespace
}  // namespace skerry::formats
