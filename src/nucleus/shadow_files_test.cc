// Shadows on a disk: what is acknowledged is there after a power cut, and damage is never silent.
#include "nucleus/shadow_files.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/fault_files.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

const ShadowKey kClassic{ThingName("press"), ""};
const ShadowKey kNamed{ThingName("press"), "config"};

class ShadowFilesTest : public ::testing::Test {
 protected:
  int update(const ShadowKey& key, int value) {
    const json request = {{"state", {{"reported", {{"value", value}}}}}};
    auto parsed = formats::parse_shadow_update(request.dump());
    auto changed = shadows_.update(key, *parsed, 1);
    return changed ? 200 : changed.error().code;
  }
  // What is reported; -1 where there is no such shadow, -2 on errors.
  int value(const ShadowKey& key) {
    auto shadow = shadows_.get(key);
    if (!shadow) return shadow.error().code == 404 ? -1 : -2;
    return json::parse(formats::shadow_document(*shadow, 1, {}))["state"]["reported"]["value"];
  }
  void flip_a_bit(const std::string& path, size_t at) {
    auto text = io::read_file(files_, path);
    ASSERT_TRUE(text);
    (*text)[at] = static_cast<char>((*text)[at] ^ 1);
    ASSERT_TRUE(io::write_file_atomic(files_, path, *text));
  }

  io::FaultFiles files_;
  ShadowFiles shadows_{files_, "/state/shadows"};
};

TEST_F(ShadowFilesTest, ShadowsAreKeptByThingAndName) {
  EXPECT_EQ(value(kClassic), -1);
  EXPECT_EQ(update(kClassic, 1), 200);
  EXPECT_EQ(update(kNamed, 2), 200);
  EXPECT_EQ(update({ThingName("other"), "config"}, 3), 200);
  EXPECT_EQ(value(kClassic), 1);
  EXPECT_EQ(value(kNamed), 2);
  EXPECT_EQ(*shadows_.names(ThingName("press")), std::vector<std::string>{"config"});
  EXPECT_TRUE(shadows_.names(ThingName("nobody"))->empty());
}

TEST_F(ShadowFilesTest, ADeletedShadowsVersionsGoOn) {
  EXPECT_EQ(shadows_.remove(kNamed).error().code, 404);
  update(kNamed, 1);
  update(kNamed, 2);
  EXPECT_EQ(shadows_.remove(kNamed)->version, 2);
  EXPECT_EQ(value(kNamed), -1);
  EXPECT_EQ(shadows_.remove(kNamed).error().code, 404);
  EXPECT_TRUE(shadows_.names(kNamed.thing)->empty());
  update(kNamed, 3);
  EXPECT_EQ(shadows_.get(kNamed)->version, 3);
}

TEST_F(ShadowFilesTest, AnyBitThatFlipsIsSeen) {
  update(kNamed, 7);
  const std::string path = "/state/shadows/press/config.shadow";
  const std::string whole = *io::read_file(files_, path);
  for (size_t at = 0; at < whole.size(); ++at) {
    ASSERT_TRUE(io::write_file_atomic(files_, path, whole));
    flip_a_bit(path, at);
    EXPECT_EQ(value(kNamed), -1) << "bit of byte " << at;
    EXPECT_TRUE(io::exists(files_, path + ".damaged"));
  }
  EXPECT_EQ(update(kNamed, 8), 200);
  EXPECT_EQ(value(kNamed), 8);
}

TEST_F(ShadowFilesTest, WhatIsAcknowledgedSurvivesAPowerCutAtAnyOperation) {
  for (const io::CrashPolicy policy :
       {io::CrashPolicy::kDropUnsynced, io::CrashPolicy::kKeepAll, io::CrashPolicy::kSeeded}) {
    for (size_t at = 0;; ++at) {
      io::FaultFiles files;
      ShadowFiles shadows(files, "/state/shadows");
      files.crash_at(at);
      int acknowledged = 0;
      for (int value = 1; value <= 4 && !files.crashed(); ++value) {
        const auto update = formats::parse_shadow_update(
            json{{"state", {{"reported", {{"value", value}}}}}}.dump());
        if (shadows.update(kNamed, *update, 1)) acknowledged = value;
      }
      const bool crashed = files.crashed();
      files.reboot(policy, at);
      const auto shadow = ShadowFiles(files, "/state/shadows").get(kNamed);
      const int64_t version = shadow ? shadow->version : 0;
      EXPECT_TRUE(version == acknowledged || version == acknowledged + 1)
          << "cut at operation " << at << ": " << version << " after " << acknowledged;
      if (!crashed) break;
    }
  }
}

TEST_F(ShadowFilesTest, AFullDiskIsAnErrorAndChangesNothing) {
  update(kNamed, 1);
  files_.set_capacity(1);
  EXPECT_EQ(update(kNamed, 2), 500);
  EXPECT_EQ(value(kNamed), 1);
}

TEST_F(ShadowFilesTest, TheirNumberIsLimited) {
  ShadowFiles few(files_, "/state/shadows", {.shadows_of_a_thing = 2, .things = 1, .document = {}});
  const auto made = [&](const char* thing, const char* name) {
    const auto update = formats::parse_shadow_update(R"({"state":{"reported":{"a":1}}})");
    const auto changed = few.update({ThingName(thing), name}, *update, 1);
    return changed ? 200 : changed.error().code;
  };
  EXPECT_EQ(made("a", ""), 200);
  EXPECT_EQ(made("a", "x"), 200);
  EXPECT_EQ(made("a", "y"), 400);
  EXPECT_EQ(made("b", ""), 400);
  EXPECT_EQ(made("a", "x"), 200) << "those that are here can change";
}

}  // namespace
}  // namespace skerry::nucleus
