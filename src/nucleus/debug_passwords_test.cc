// How long a debug password is good.
#include "nucleus/debug_passwords.h"

#include <gtest/gtest.h>

namespace skerry::nucleus {
namespace {

TEST(DebugPasswords, AreGoodForEightHours) {
  io::SeededRandom random(1);
  DebugPasswords passwords;
  const auto made = passwords.create(random, 1'000'000, 50);
  EXPECT_EQ(made.expires_ms, 1'000'000 + 8 * 3'600'000);
  EXPECT_TRUE(passwords.accepts(made.text, 50));
  EXPECT_TRUE(passwords.accepts(made.text, 50 + DebugPasswords::kLifeMs - 1));
  EXPECT_FALSE(passwords.accepts(made.text, 50 + DebugPasswords::kLifeMs));
  for (const char* other : {"", "debug", "A"}) EXPECT_FALSE(passwords.accepts(other, 50)) << other;
}

TEST(DebugPasswords, ANewOneTakesTheOldestsPlace) {
  io::SeededRandom random(1);
  DebugPasswords passwords;
  const auto first = passwords.create(random, 0, 0), second = passwords.create(random, 0, 0);
  for (size_t i = 2; i < DebugPasswords::kMost; ++i) passwords.create(random, 0, 0);
  EXPECT_TRUE(passwords.accepts(first.text, 1));
  const auto last = passwords.create(random, 0, 0);
  EXPECT_FALSE(passwords.accepts(first.text, 1));
  EXPECT_TRUE(passwords.accepts(second.text, 1));
  EXPECT_TRUE(passwords.accepts(last.text, 1));
}

}  // namespace
}  // namespace skerry::nucleus
