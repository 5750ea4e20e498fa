// Variables in scripts, and JSON pointers.
#include "formats/interpolate.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/json_pointer.h"

namespace skerry::formats {
namespace {

using nlohmann::json;
using Keys = std::vector<std::string>;

// Knows {artifacts:path}, {configuration:/…} and {com.example.Model:artifacts:path}.
std::optional<std::string> lookup(std::string_view dependency, std::string_view name_space,
                                  std::string_view key) {
  static const json configuration = {{"name", "world"}, {"list", {1, 2}}, {"Deep", {{"On", true}}}};
  if (dependency == "com.example.Model" && name_space == "artifacts" && key == "path")
    return "/model";
  if (!dependency.empty()) return std::nullopt;
  if (name_space == "artifacts" && key == "path") return "/own";
  if (name_space == "configuration") return configuration_text(configuration, key);
  return std::nullopt;
}

TEST(InterpolateTest, ReplacesKnownVariables) {
  EXPECT_EQ(interpolate("run {artifacts:path}/a.py {com.example.Model:artifacts:path}/m", lookup),
            "run /own/a.py /model/m");
  EXPECT_EQ(
      interpolate("{configuration:/name}{configuration:/list}{configuration:/deep/on}", lookup),
      "world[1,2]true");
}

TEST(InterpolateTest, LeavesEverythingElseAlone) {
  for (const char* text : {"", "{", "}", "{}", "{:}", "{a:", "{a:b", "${HOME}", "awk '{print $1}'",
                           "{unknown:path}", "{artifacts:nothing}", "{other:artifacts:path}",
                           "{configuration:/missing}", "{a:b:c:d}", "{ artifacts:path}", "{a b:c}",
                           "if [ x ]; then { echo; }; fi", "{com.example.Model:a b:path}"}) {
    EXPECT_EQ(interpolate(text, lookup), text);
  }
}

TEST(InterpolateTest, FindsAVariableInsideBraces) {
  EXPECT_EQ(interpolate("{{artifacts:path}} {a:{artifacts:path}", lookup), "{/own} {a:/own");
}

TEST(InterpolateTest, ValuesAreNotSearchedAgain) {
  const auto echo = [](std::string_view, std::string_view, std::string_view) {
    return std::optional<std::string>("{artifacts:path}");
  };
  EXPECT_EQ(interpolate("{a:b}", echo), "{artifacts:path}");
}

TEST(JsonPointerTest, Parses) {
  EXPECT_EQ(*parse_json_pointer(""), Keys());
  EXPECT_EQ(*parse_json_pointer("/"), Keys{""});
  EXPECT_EQ(*parse_json_pointer("/a/b c/0"), (Keys{"a", "b c", "0"}));
  EXPECT_EQ(*parse_json_pointer("/a~1b/~0/~01"), (Keys{"a/b", "~", "~1"}));
  for (const char* wrong : {"a", "a/b", "/~", "/~2", "#/a"})
    EXPECT_FALSE(parse_json_pointer(wrong)) << wrong;
}

TEST(JsonPointerTest, RoundTrips) {
  const Keys keys = {"a/b", "", "~c", "d"};
  EXPECT_EQ(json_pointer(keys), "/a~1b//~0c/d");
  EXPECT_EQ(*parse_json_pointer(json_pointer(keys)), keys);
}

TEST(JsonPointerTest, FindsPlaces) {
  const json root = json::parse(R"({"a": {"B": [10, {"c": null}]}, "A": 1, "": 2})");
  const auto find = [&](const char* pointer) {
    return find_at(root, *parse_json_pointer(pointer));
  };
  EXPECT_EQ(find(""), &root);
  EXPECT_EQ(*find("/a/b/0"), 10);
  EXPECT_EQ(*find("/a/B/1/C"), json());
  EXPECT_EQ(*find("/A"), 1) << "the same to the letter comes first";
  EXPECT_EQ(*find("/"), 2);
  for (const char* missing : {"/b", "/a/b/2", "/a/b/00", "/a/b/-", "/a/b/", "/A/x"}) {
    EXPECT_EQ(find(missing), nullptr) << missing;
  }
}

TEST(JsonPointerTest, ConfigurationText) {
  const json root = {
      {"text", "a \"b\""}, {"number", 1.5}, {"object", {{"k", "v"}}}, {"none", nullptr}};
  EXPECT_EQ(configuration_text(root, "/text"), "a \"b\"");
  EXPECT_EQ(configuration_text(root, "/number"), "1.5");
  EXPECT_EQ(configuration_text(root, "/object"), "{\"k\":\"v\"}");
  EXPECT_EQ(configuration_text(root, "/none"), "null");
  EXPECT_EQ(configuration_text(root, "/missing"), std::nullopt);
  EXPECT_EQ(configuration_text(root, "not a pointer"), std::nullopt);
}

}  // namespace
}  // namespace skerry::formats
