// Numbers in files, and what devices are told: what is put comes out, and nothing leaves the file.
#include "federated/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "federated/messages.h"

namespace skerry::federated {
namespace {

using nlohmann::json;
using testing::ElementsAre;

TEST(Layouts, WhatIsPutComesOutAndNothingElseChanges) {
  std::string file = "headAAAABBBBmidCCCCtail";
  const auto layout = parse_layout(json::parse("[[15, 1], [4, 2]]"), file.size());
  ASSERT_TRUE(layout) << layout.error().message();
  put_numbers({1, 2, 3}, *layout, file);
  EXPECT_THAT(numbers_of(file, *layout), ElementsAre(1, 2, 3));
  EXPECT_EQ(file.substr(0, 4) + file.substr(12, 3) + file.substr(19), "headmidtail");
  EXPECT_EQ(*parse_layout(to_json(*layout), file.size()), *layout);
}

TEST(Layouts, NeverLeaveTheFileAndNeverOverlap) {
  for (const char* text :
       {"[]", "{}", "[[0, 0]]", "[[0, 6]]", "[[17, 1]]", "[[21, 1]]", "[[-1, 1]]", "[[0.5, 1]]",
        "[[0, 2], [7, 1]]", "[[0, 1], [0, 1]]", "[[0]]", "[0, 1]", "[[18446744073709551612, 1]]",
        "[[0, 4611686018427387905]]"}) {
    EXPECT_FALSE(parse_layout(json::parse(text), 20)) << text;
  }
  EXPECT_TRUE(parse_layout(json::parse("[[0, 5]]"), 20));
  EXPECT_TRUE(parse_layout(json::parse("[[4, 1], [0, 1], [16, 1]]"), 20));
}

TEST(Tasks, ComeBackAsTheyWereSent) {
  TaskMessage task{.kind = Task::Kind::kTrain,
                   .training = "3f2a",
                   .attempt = 7,
                   .round = 6,
                   .data = "digits",
                   .model_sha256 = std::string(64, 'a'),
                   .model_bytes = 123456,
                   .parameters = 1000,
                   .local = {.epochs = 3, .batch = 20, .rate = 0.5, .clip = 2},
                   .coding = "int8",
                   .noise = 1.5};
  const auto back = parse_task(to_json(task).dump());
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(to_json(*back), to_json(task));
  const auto wait = parse_task(to_json(TaskMessage{.retry_after_s = 30}).dump());
  ASSERT_TRUE(wait);
  EXPECT_EQ(wait->kind, Task::Kind::kWait);
  EXPECT_EQ(wait->retry_after_s, 30);
}

TEST(Tasks, OfAHostileServerAreRefused) {
  const json good = to_json(TaskMessage{.kind = Task::Kind::kTrain,
                                        .training = "3f2a",
                                        .data = "digits",
                                        .model_sha256 = std::string(64, 'a'),
                                        .model_bytes = 10,
                                        .parameters = 2});
  ASSERT_TRUE(parse_task(good.dump()));
  const std::pair<const char*, json> bad[] = {{"task", "format"},
                                              {"training", "../../etc"},
                                              {"training", ""},
                                              {"model", json::object()},
                                              {"parameters", 0},
                                              {"parameters", -1},
                                              {"attempt", "1"},
                                              {"local", {{"rate", -1}}},
                                              {"local", {{"shell", "rm"}}},
                                              {"coding", "zip"},
                                              {"noise", -1},
                                              {"data", 3}};
  for (const auto& [name, value] : bad) {
    json task = good;
    task[name] = value;
    EXPECT_FALSE(parse_task(task.dump())) << name << " " << value;
  }
  json masked = good;
  masked["local"]["clip"] = 1;
  masked["secure"] = {{"levels", 1000}, {"noise", 0.5}};
  const auto task = parse_task(masked.dump());
  ASSERT_TRUE(task);
  EXPECT_EQ(task->secure->levels, 1000u);
  EXPECT_EQ(to_json(*task), masked);
  for (const json& wrong : {json(true), json{{"levels", 0}, {"noise", 0}}, json{{"levels", 9}},
                            json{{"levels", 1e9}, {"noise", 0}}}) {
    masked["secure"] = wrong;
    EXPECT_FALSE(parse_task(masked.dump())) << wrong;
  }
  masked["secure"] = {{"levels", 1000}, {"noise", 0.5}};
  masked["local"]["clip"] = 0;  // in units of what?
  EXPECT_FALSE(parse_task(masked.dump()));
  EXPECT_FALSE(parse_task("[]"));
  EXPECT_FALSE(parse_task("nonsense"));
}

}  // namespace
}  // namespace skerry::federated
