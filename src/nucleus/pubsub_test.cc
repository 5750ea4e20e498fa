// Who receives what on local topics.
#include "nucleus/pubsub.h"

#include <gtest/gtest.h>

#include <vector>

namespace skerry::nucleus {
namespace {

using Mode = LocalTopics::ReceiveMode;
const ComponentName kA("a"), kB("b");

class LocalTopicsTest : public testing::Test {
 protected:
  uint64_t subscribe(const ComponentName& who, std::string filter, Mode mode) {
    return topics_.subscribe(who, filter, mode, [this, who, filter](const std::string& payload) {
      got_.push_back(who.str() + " " + filter + " " + payload);
    });
  }
  std::vector<std::string> published(const std::string& topic, const ComponentName& from) {
    got_.clear();
    topics_.publish(topic, from, "m");
    return got_;
  }
  LocalTopics topics_;
  std::vector<std::string> got_;
};

TEST_F(LocalTopicsTest, FiltersMatchAsInMqtt) {
  subscribe(kB, "x/y", Mode::kAll);
  subscribe(kB, "x/+", Mode::kAll);
  subscribe(kB, "x/#", Mode::kAll);
  subscribe(kB, "y", Mode::kAll);
  using List = std::vector<std::string>;
  EXPECT_EQ(published("x/y", kA), (List{"b x/y m", "b x/+ m", "b x/# m"}));
  EXPECT_EQ(published("x/z", kA), (List{"b x/+ m", "b x/# m"}));
  EXPECT_EQ(published("x", kA), (List{"b x/# m"}));
  EXPECT_EQ(published("x/y/z", kA), (List{"b x/# m"}));
  EXPECT_EQ(published("z", kA), List{});
}

TEST_F(LocalTopicsTest, OwnMessagesComeBackByMode) {
  subscribe(kA, "t", Mode::kAll);
  subscribe(kA, "t", Mode::kFromOthers);
  EXPECT_EQ(published("t", kA).size(), 1u);
  EXPECT_EQ(published("t", kB).size(), 2u);
}

TEST_F(LocalTopicsTest, TheDefaultModeDependsOnWildcards) {
  EXPECT_EQ(LocalTopics::default_mode("a/b"), Mode::kAll);
  EXPECT_EQ(LocalTopics::default_mode("a/+"), Mode::kFromOthers);
  EXPECT_EQ(LocalTopics::default_mode("#"), Mode::kFromOthers);
}

TEST_F(LocalTopicsTest, ADeliveryMayEndItsOwnAndOtherSubscriptions) {
  uint64_t first = 0, second = 0;
  int delivered = 0;
  first = topics_.subscribe(kA, "t", Mode::kAll, [&](const std::string&) {
    ++delivered;
    topics_.unsubscribe(first);
    topics_.unsubscribe(second);
  });
  second = subscribe(kB, "t", Mode::kAll);
  EXPECT_TRUE(published("t", kB).empty());
  EXPECT_TRUE(published("t", kB).empty());
  EXPECT_EQ(delivered, 1);
  EXPECT_EQ(topics_.size(), 0u);
}

}  // namespace
}  // namespace skerry::nucleus
