// The grammar of RFC 8259 against an independent parser.
#include "serve/json_cursor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace skerry::serve {
namespace {

using nlohmann::json;
using testing::HasSubstr;

bool accepts(std::string_view text) {
  JsonCursor cursor(text);
  cursor.skip();
  return cursor.ok() && cursor.at_end();
}

TEST(JsonCursor, AcceptsWhatIsJsonAndNothingElse) {
  for (const char* text :
       {"null", " true ", "[]", "[ ]", "{}", R"({"a":[1,-0,0.5,1e9,-1.5E-3,"x",{"b":null}]})",
        R"("\"\\\/\b\f\n\r\té\ud83d\ude00")", "0", "[[[[]]]]"}) {
    EXPECT_TRUE(accepts(text)) << text;
  }
  for (const char* text : {"",
                           "nul",
                           "tru",
                           "[",
                           "[1",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "{",
                           "{a:1}",
                           R"({"a"})",
                           R"({"a":})",
                           R"({"a":1,})",
                           R"({"a":1 "b":2})",
                           "01",
                           "-",
                           "1.",
                           ".5",
                           "1e",
                           "+1",
                           "\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           R"("\ud800")",
                           R"("\udc00x")",
                           "\"\n\"",
                           "1 2",
                           "]",
                           "NaN"}) {
    EXPECT_FALSE(accepts(text)) << text;
  }
  EXPECT_FALSE(accepts(std::string(100, '[') + std::string(100, ']')));  // a limit of depth
}

// Mutations of a real text: both parsers say the same.
TEST(JsonCursor, AgreesWithAnotherParserOnDamagedTexts) {
  const std::string whole =
      R"({"id":"aé\n","inputs":[{"name":"x","shape":[1, 2],"data":[1.5,-2e3,true,null]}]})";
  std::mt19937 random(11);
  for (int i = 0; i < 20'000; ++i) {
    std::string text = whole;
    for (int edits = 1 + static_cast<int>(random() % 2); edits > 0; --edits) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text.erase(at, 1);
      } else {
        constexpr std::string_view kPieces = "{}[]\",:0-.e\\u tn";
        text[at] = kPieces[random() % kPieces.size()];
      }
    }
    const json parsed = json::parse(text, nullptr, false);
    // The other one also refuses numbers out of range and text that is not UTF-8.
    if (!parsed.is_discarded()) EXPECT_TRUE(accepts(text)) << text;
    if (parsed.is_discarded() && accepts(text)) {
      EXPECT_THAT(text, testing::AnyOf(HasSubstr("e"), HasSubstr("\xc3"), HasSubstr("\xa9")));
    }
  }
}

TEST(JsonCursor, ReadsValuesOfTheTypeThatIsAskedFor) {
  JsonCursor cursor(R"([ "a\u00e9\ud83d\ude00", 7, -7, 18446744073709551615, 1.5, true, null ])");
  std::string text;
  ASSERT_TRUE(cursor.first_element());
  EXPECT_EQ(cursor.read_int(), std::nullopt);
  ASSERT_TRUE(cursor.read_string(text));
  EXPECT_EQ(text, "aé😀");
  ASSERT_TRUE(cursor.next_element());
  EXPECT_FALSE(cursor.read_bool());
  EXPECT_EQ(cursor.read_int(), 7);
  ASSERT_TRUE(cursor.next_element());
  EXPECT_EQ(cursor.read_uint(), std::nullopt);
  EXPECT_EQ(cursor.read_int(), -7);
  ASSERT_TRUE(cursor.next_element());
  EXPECT_EQ(cursor.read_int(), std::nullopt);
  EXPECT_EQ(cursor.read_uint(), UINT64_MAX);
  ASSERT_TRUE(cursor.next_element());
  EXPECT_EQ(cursor.read_int(), std::nullopt);
  EXPECT_EQ(cursor.read_double(), 1.5);
  ASSERT_TRUE(cursor.next_element());
  EXPECT_FALSE(cursor.read_null());
  EXPECT_EQ(cursor.read_bool(), true);
  ASSERT_TRUE(cursor.next_element());
  EXPECT_TRUE(cursor.read_null());
  EXPECT_FALSE(cursor.next_element());
  EXPECT_TRUE(cursor.ok() && cursor.at_end());
}

TEST(JsonCursor, ReadsNumbersOfAnySize) {
  const auto number = [](std::string_view text) { return JsonCursor(text).read_double(); };
  EXPECT_EQ(number("5e-324"), 5e-324);
  EXPECT_EQ(number("1e-400"), 0.0);
  EXPECT_EQ(number("1e400"), HUGE_VAL);
  EXPECT_EQ(number("-1e400"), -HUGE_VAL);
  EXPECT_EQ(number("123456789012345678901234567890"), 123456789012345678901234567890.0);
  EXPECT_EQ(JsonCursor("-0").read_uint(), 0u);
}

TEST(JsonCursor, SaysWhereTheGrammarBreaks) {
  JsonCursor cursor(R"({"a":1 "b":2})");
  cursor.skip();
  EXPECT_EQ(cursor.problem(), "',' or '}' is missing at byte 7");
}

}  // namespace
}  // namespace skerry::serve
