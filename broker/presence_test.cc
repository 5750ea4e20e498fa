// What the control plane hears of who is there.
#include "presence.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace skerry::broker {
namespace {

TEST(Presence, ChangesOfOneTurnAreOneMessage) {
  Presence presence;
  for (const char* thing : {"b", "a", "c"}) presence.session_began(thing);
  presence.session_ended("c");
  EXPECT_EQ(presence.take_message(), "+a\n+b\n-c\n");
  EXPECT_EQ(presence.take_message(), std::nullopt);
}

TEST(Presence, AThingIsThereUntilItsLastSessionEnds) {
  Presence presence;
  presence.session_began("a");
  presence.session_began("a");
  EXPECT_EQ(presence.take_message(), "+a\n");
  presence.session_ended("a");
  EXPECT_EQ(presence.take_message(), std::nullopt);
  presence.session_ended("a");
  presence.session_ended("a");  // never began
  EXPECT_EQ(presence.take_message(), "-a\n");
}

TEST(Presence, WhoAsksHearsOfAllAndOfWhatChangesAfterwards) {
  Presence presence;
  presence.ask();
  EXPECT_EQ(presence.take_message(), "=\n.\n");
  presence.session_began("a");
  presence.session_began("b");
  presence.ask();
  presence.session_ended("a");
  EXPECT_EQ(presence.take_message(), "=\n+a\n+b\n.\n-a\n");
}

TEST(Presence, TenThousandThingsComeInMessagesThatFit) {
  Presence presence;
  for (int i = 0; i < 10'000; ++i) {
    presence.session_began(std::to_string(i) + std::string(120, 'x'));
  }
  presence.ask();
  size_t messages = 0;
  std::string all;
  while (auto message = presence.take_message()) {
    EXPECT_LE(message->size(), Presence::kMessageBytes);
    EXPECT_EQ(message->back(), '\n');
    all += *message;
    ++messages;
  }
  EXPECT_LT(messages, 25u);
  EXPECT_EQ(std::ranges::count(all, '\n'), 10'002);
  EXPECT_TRUE(all.starts_with("=\n+0x") && all.ends_with("\n.\n"));
}

}  // namespace
}  // namespace skerry::broker
