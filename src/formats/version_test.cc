// Versions and ranges, against what npm's own implementation says (tests/data/semver).
#include "formats/version.h"
#include "test_paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace skerry::formats {
namespace {

const std::string kSemverData = SKERRY_SOURCE_DIR "/tests/data/semver/";

Version version(std::string_view text) {
  auto parsed = Version::parse(text);
  EXPECT_TRUE(parsed) << parsed.error().message();
  return parsed.value_or(Version());
}

VersionRange range(std::string_view text) {
  auto parsed = VersionRange::parse(text);
  EXPECT_TRUE(parsed) << parsed.error().message();
  return parsed.value_or(VersionRange());
}

std::vector<Version> versions_in_order() {
  std::ifstream file(kSemverData + "order.txt");
  std::vector<Version> versions;
  for (std::string line; std::getline(file, line);) versions.push_back(version(line));
  EXPECT_GT(versions.size(), 40u);
  return versions;
}

TEST(VersionTest, PrintsWhatItParsed) {
  for (const char* text : {"0.0.0", "1.2.3", "999999.999999.999999", "1.0.0-alpha.1",
                           "1.0.0+001.b-c", "1.0.0-x-y.0.z+build.7"}) {
    EXPECT_EQ(version(text).str(), text);
  }
  const Version parsed = version("1.2.3-rc.1+b.7");
  EXPECT_EQ(parsed.major(), 1u);
  EXPECT_EQ(parsed.minor(), 2u);
  EXPECT_EQ(parsed.patch(), 3u);
  EXPECT_EQ(parsed.prerelease(), "rc.1");
}

TEST(VersionTest, RefusesWhatIsNoVersion) {
  for (const char* text :
       {"",           "1",        "1.2",       "1.2.3.4",     "v1.2.3",
        "01.2.3",     "1.2.3-",   "1.2.3-01",  "1.2.3-a..b",  "1.2.3+",
        "1.2.3+a..b", "1.2.3+a.", "1.2.3+a+b", " 1.2.3",      "1.2.3 ",
        "1.2.x",      "-1.2.3",   "1.2.3-é",   "1000000.0.0", "0.0.99999999999999999999",
        "1..3",       "1.2."}) {
    EXPECT_FALSE(Version::parse(text)) << text;
  }
}

// REC-10
TEST(VersionTest, HasAtMost64Characters) {
  const std::string longest = "1.0.0-" + std::string(58, 'a');
  EXPECT_TRUE(Version::parse(longest));
  auto refused = Version::parse(longest + "a");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("64 characters"), std::string::npos);
}

TEST(VersionTest, SortsAsNpmDoes) {
  const auto expected = versions_in_order();
  auto shuffled = expected;
  std::ranges::shuffle(shuffled, std::mt19937(1));
  std::ranges::sort(shuffled);
  EXPECT_EQ(shuffled, expected);
}

TEST(VersionTest, OrdersNumbersBeyondEveryIntegerType) {
  EXPECT_LT(version("1.0.0-99999999999999999999"), version("1.0.0-100000000000000000000"));
}

TEST(VersionTest, BuildMetadataOrdersButHasNoPrecedence) {
  EXPECT_NE(version("1.0.0+a"), version("1.0.0+b"));
  EXPECT_LT(version("1.0.0"), version("1.0.0+a"));
  EXPECT_TRUE(version("1.0.0+a").compare_precedence(version("1.0.0+b")) == 0);
  EXPECT_TRUE(range("=1.0.0").matches(version("1.0.0+a")));
}

// REC-10
TEST(VersionRangeTest, AgreesWithNpm) {
  const auto versions = versions_in_order();
  std::ifstream file(kSemverData + "ranges.tsv");
  size_t ranges = 0;
  for (std::string line; std::getline(file, line); ++ranges) {
    const size_t tab = line.find('\t');
    const auto text = nlohmann::json::parse(line.substr(0, tab)).get<std::string>();
    const std::string expected = line.substr(tab + 1);
    auto parsed = VersionRange::parse(text);
    if (expected == "invalid") {
      EXPECT_FALSE(parsed) << "'" << text << "'";
      continue;
    }
    ASSERT_TRUE(parsed) << parsed.error().message();
    for (size_t i = 0; i < versions.size(); ++i) {
      EXPECT_EQ(parsed->matches(versions[i]), expected[i] == '1')
          << "'" << text << "' and " << versions[i].str();
    }
  }
  EXPECT_GT(ranges, 400u);
}

TEST(VersionRangeTest, SaysWhatIsWrong) {
  auto wrong = VersionRange::parse(">=1.2.3 foo");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), Code::kInvalidArgument);
  EXPECT_NE(wrong.error().message().find("'foo'"), std::string::npos) << wrong.error().message();
}

TEST(VersionRangeTest, HasAtMost256Characters) {
  EXPECT_TRUE(VersionRange::parse("1.2.3" + std::string(251, ' ')));
  EXPECT_FALSE(VersionRange::parse("1.2.3" + std::string(252, ' ')));
}

TEST(VersionRangeTest, DefaultMatchesEveryRelease) {
  EXPECT_TRUE(VersionRange().matches(version("1.2.3")));
  EXPECT_FALSE(VersionRange().matches(version("1.2.3-alpha")));
}

TEST(VersionRangeTest, ExactlyOneVersion) {
  const auto only = VersionRange::exactly(version("1.2.3-rc.1"));
  EXPECT_TRUE(only.matches(version("1.2.3-rc.1")));
  EXPECT_FALSE(only.matches(version("1.2.3")));
  EXPECT_EQ(only.str(), "=1.2.3-rc.1");
}

}  // namespace
}  // namespace skerry::formats
