// Random sources, the identifiers made from them, clocks and the checksum.
#include "io/random.h"

#include <gtest/gtest.h>

#include <cctype>
#include <set>

#include "io/clock.h"
#include "io/crc32c.h"

namespace skerry::io {
namespace {

TEST(Random, TheSameSeedGivesTheSameNumbers) {
  SeededRandom a(7), b(7), c(8);
  std::vector<uint64_t> from_a, from_b, from_c;
  for (int i = 0; i < 10; ++i) {
    from_a.push_back(a.next());
    from_b.push_back(b.next());
    from_c.push_back(c.next());
  }
  EXPECT_EQ(from_a, from_b);
  EXPECT_NE(from_a, from_c);
  for (int i = 0; i < 1000; ++i) EXPECT_LT(a.below(3), 3u);
}

TEST(Random, UuidsHaveTheirFormAndDoNotRepeat) {
  RealRandom random;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = random.uuid();
    ASSERT_EQ(uuid.size(), 36u);
    for (size_t at = 0; at < uuid.size(); ++at) {
      const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
      EXPECT_TRUE(dash ? uuid[at] == '-' : std::isxdigit(uuid[at]) && !std::isupper(uuid[at]));
    }
    EXPECT_EQ(uuid[14], '4');
    EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
    seen.insert(uuid);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(Random, TokensUseTheWholeAlphabetEvenly) {
  SeededRandom random(1);
  const std::string token = random.token(36'000);
  ASSERT_EQ(token.size(), 36'000u);
  std::map<char, int> counts;
  for (char c : token) ++counts[c];
  EXPECT_EQ(counts.size(), 36u);
  for (const auto& [c, count] : counts) {
    EXPECT_TRUE(std::isupper(c) || std::isdigit(c));
    EXPECT_NEAR(count, 1000, 160) << c;  // five standard deviations; the seed makes it certain
  }
}

TEST(Clock, IsInMillisecondsOfTheEraAndNeverGoesBack) {
  RealClock clock;
  EXPECT_GT(clock.wall_ms(), 1'700'000'000'000);
  EXPECT_LT(clock.wall_ms(), 10'000'000'000'000);
  int64_t last = clock.monotonic_ms();
  for (int i = 0; i < 1000; ++i) {
    const int64_t now = clock.monotonic_ms();
    EXPECT_GE(now, last);
    last = now;
  }
}

TEST(Crc32c, MatchesTheExamplesOfRfc3720) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("6789", crc32c("12345")), crc32c("123456789"));
}

}  // namespace
}  // namespace skerry::io
