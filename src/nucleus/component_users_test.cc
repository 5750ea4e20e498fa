// The allocation of user ids: for good, without collisions, whatever happens to its file.
#include "nucleus/component_users.h"

#include <gtest/gtest.h>

#include "io/fault_files.h"

namespace skerry::nucleus {
namespace {

class ComponentUsersTest : public testing::Test {
 protected:
  ComponentUsers open() {
    auto opened = ComponentUsers::open(files_, {"/gg/state/users.json", "/gg/work"},
                                       [this](uint32_t uid) { return taken_.contains(uid); });
    EXPECT_TRUE(opened) << opened.error().message();
    return std::move(*opened);
  }
  static uint32_t uid(ComponentUsers& users, const std::string& name) {
    auto allocated = users.uid_of(ComponentName(name));
    EXPECT_TRUE(allocated) << allocated.error().message();
    return allocated.value_or(0);
  }
  void write_table(const std::string& text) {
    EXPECT_TRUE(io::make_directories(files_, "/gg/state"));
    EXPECT_TRUE(io::write_file_atomic(files_, "/gg/state/users.json", text));
  }

  io::FaultFiles files_;
  std::set<uint32_t> taken_;
};

TEST_F(ComponentUsersTest, EachComponentHasItsOwnForGood) {
  std::map<std::string, uint32_t> given;
  {
    ComponentUsers users = open();
    std::set<uint32_t> distinct;
    for (int i = 0; i < 500; ++i) {
      const std::string name = "component-" + std::to_string(i);
      distinct.insert(given[name] = uid(users, name));
    }
    EXPECT_EQ(distinct.size(), 500u);
    EXPECT_GE(*distinct.begin(), ComponentUsers::kFirst);
  }
  ComponentUsers again = open();
  for (const auto& [name, expected] : given) EXPECT_EQ(uid(again, name), expected);
  EXPECT_EQ(uid(again, "new"), ComponentUsers::kFirst + 500);
}

TEST_F(ComponentUsersTest, WhatTheMachineUsesIsLeftOut) {
  taken_ = {ComponentUsers::kFirst, ComponentUsers::kFirst + 1};
  ComponentUsers users = open();
  EXPECT_EQ(uid(users, "a"), ComponentUsers::kFirst + 2);
}

TEST_F(ComponentUsersTest, ADamagedTableIsMadeAgainFromTheOwnersOfWorkFolders) {
  ASSERT_TRUE(io::make_directories(files_, "/gg/work/kept"));
  ASSERT_TRUE(files_.set_owner("/gg/work/kept", 70'123, 61'183));
  for (const char* damage :
       {"", "{", R"({"version":2,"users":{}})", R"({"version":1,"users":{"a":70000,"b":70000}})",
        R"({"version":1,"users":{"a":0}})"}) {
    write_table(damage);
    ComponentUsers users = open();
    EXPECT_EQ(uid(users, "kept"), 70'123u) << damage;
    EXPECT_EQ(uid(users, "other"), 70'124u) << damage;
  }
}

TEST_F(ComponentUsersTest, NothingIsGivenThatIsNotOnTheDisk) {
  ComponentUsers users = open();
  files_.fail_from(0, EIO);
  EXPECT_FALSE(users.uid_of(ComponentName("a")));
}

TEST_F(ComponentUsersTest, TheEndOfTheRangeIsAnErrorThatSaysWhatToDo) {
  write_table(R"({"version":1,"users":{"last":89999}})");
  ComponentUsers users = open();
  auto none = users.uid_of(ComponentName("one more"));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kResourceExhausted);
}

}  // namespace
}  // namespace skerry::nucleus
