// Shapes and binding: what is refused, what is taken away, and that nothing can throw.
#include "fleet/aws/model.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "fleet/aws/fields.h"
#include "fleet/aws/patterns.h"
#include "fleet/aws/router.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

std::string problem(const Shape& shape, json value) {
  auto checked = check(shape, value, "x");
  return checked ? "" : checked.error().message();
}

TEST(Model, LengthsAreOfCharacters) {
  std::string text;
  for (int i = 0; i < 256; ++i) text += "ä";
  EXPECT_EQ(problem(kDeploymentName, text), "");
  EXPECT_EQ(problem(kDeploymentName, text + "ä"), "x: must have 1 to 256 characters, has 257");
}

TEST(Model, NullIsAbsentAndTheUnknownGoes) {
  json value = {{"componentVersion", "1.0.0"},
                {"runWith", nullptr},
                {"configurationUpdate", {{"merge", nullptr}, {"reset", {""}}, {"more", 1}}},
                {"unknown", {1, 2, 3}}};
  json all = {{"c", value}, {"gone", nullptr}};
  ASSERT_TRUE(check(kDeploymentComponents, all, "components"));
  EXPECT_EQ(
      all,
      (json{{"c", {{"componentVersion", "1.0.0"}, {"configurationUpdate", {{"reset", {""}}}}}}}));
  EXPECT_EQ(problem(kDeploymentComponents, {{"c", {{"componentVersion", nullptr}}}}),
            "x.c.componentVersion: is required");
}

TEST(Model, EveryOtherTypeIsRefusedWithThePlace) {
  const json others[] = {
      1, -1, 1.5, true, "text", json::array(), json::object(), json::array({nullptr})};
  for (const Route& route : all_routes()) {
    for (const Field& field : route.fields()) {
      for (const json& other : others) {
        json value = other;
        auto checked = check(*field.shape, value, "place");
        if (!checked) {
          EXPECT_EQ(checked.error().message().find("place"), 0u) << route.name;
        }
      }
    }
  }
}

TEST(Model, PatternsHoldForTheWholeText) {
  EXPECT_EQ(problem(kName, "a b"), "x: must match [a-zA-Z0-9:_-]+");
  EXPECT_NE(problem(kName, "a\n"), "");
  EXPECT_NE(problem(kTargetArn, "arn:aws:iot:r:1:thing/"), "");
  EXPECT_NE(problem(kTargetArn, "arn:aws:iot:r:x:thing/a"), "");
  EXPECT_EQ(problem(kTargetArn, "arn:aws:iot:r:1:thinggroup/a"), "");
  EXPECT_NE(problem(kAttributePayload, {{"attributes", {{"a b", "c"}}}}), "");
  EXPECT_NE(problem(kAttributePayload, {{"attributes", {{"a", "c d"}}}}), "");
  EXPECT_EQ(problem(kAttributePayload, {{"attributes", {{"a", ""}}}}), "");
}

TEST(Model, NumbersStayInTheirBounds) {
  EXPECT_NE(problem(kLong, 18446744073709551615ULL), "");
  EXPECT_NE(problem(kPageSize100, 1.5), "");
  EXPECT_FALSE(from_text(kPageSize100, "101", "maxResults"));
  EXPECT_FALSE(from_text(kPageSize100, "1x", "maxResults"));
  EXPECT_FALSE(from_text(kPageSize100, "", "maxResults"));
  EXPECT_EQ(*from_text(kPageSize100, "7", "maxResults"), json(7));
}

TEST(Model, TextThatIsNoUtf8IsRefused) {
  for (const char* bytes :
       {"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"}) {
    EXPECT_FALSE(is_utf8(bytes));
    EXPECT_FALSE(from_text(kText, bytes, "x"));
  }
  EXPECT_TRUE(is_utf8("aä€\xf0\x9f\x98\x80"));
  EXPECT_EQ(utf8_length("aä€\xf0\x9f\x98\x80"), 4u);
}

// A field whose member is of another type than its shape would end the program at the first
// request.
TEST(Model, EveryFieldsMemberTakesItsShape) {
  for (const Route& route : all_routes()) {
    for (const Field& field : route.fields()) {
      EXPECT_NE(field.store, nullptr) << route.name;
      EXPECT_EQ(field.in == In::kPath,
                route.path.find("{" + std::string(field.name) + "}") != std::string_view::npos)
          << route.name << " " << field.name;
    }
  }
}

}  // namespace
}  // namespace skerry::fleet::aws
