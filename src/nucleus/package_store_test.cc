// Downloads that break off, lie or do not fit, and what is on the disk afterwards.
#include "nucleus/package_store.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "io/test_env.h"
#include "nucleus/test_cloud.h"
#include "nucleus/unarchive.h"
#include "test_paths.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

const ComponentName kApp("app");
constexpr const char* kData = "/gg/packages/artifacts/app/1.0.0/data";

class PackageStoreTest : public ::testing::Test, protected io::TestEnv {
 protected:
  PackageStoreTest() {
    info_.root = "/gg";
    publish("1.0.0", "0123456789");
  }

  static json recipe(const std::string& version, const json& artifact) {
    auto made = test_recipe("app", version);
    made["Manifests"][0]["Artifacts"] = json::array({artifact});
    return made;
  }
  void publish(const std::string& version, const std::string& bytes) {
    cloud_.publish(recipe(version, test_artifact("data", bytes)), {{"data", bytes}});
  }
  Result<void> fetch(const std::string& version = "1.0.0") {
    const std::string text = cloud_.versions[kApp][version];
    auto parsed = formats::parse_recipe(text);
    if (!parsed) return fail(parsed.error());
    const Candidate candidate{"arn", kApp, version, text};
    return run_task(loop, store_.fetch(&cloud_, candidate, &parsed->manifests[0]));
  }
  std::string contents(const std::string& path) {
    return io::read_file(files, path).value_or("(absent)");
  }
  std::vector<std::string> staged() {
    return files.list(info_.staging()).value_or(std::vector<std::string>{});
  }

  NucleusInfo info_;
  PackageStore store_{env, info_};
  TestCloud cloud_;
};

TEST_F(PackageStoreTest, AVersionIsCompleteOnceItsRecipeIsThere) {
  cloud_.on_download = [&] { EXPECT_FALSE(store_.recipe(kApp, "1.0.0")); };
  ASSERT_TRUE(fetch());
  EXPECT_EQ(contents(kData), "0123456789");
  EXPECT_EQ(store_.recipe(kApp, "1.0.0").value(), cloud_.versions[kApp]["1.0.0"]);
  EXPECT_TRUE(staged().empty());
  ASSERT_TRUE(fetch());
  EXPECT_EQ(cloud_.offsets.size(), 1u);  // nothing is downloaded again
  files.crash_now();
  files.reboot(io::CrashPolicy::kDropUnsynced);
  EXPECT_EQ(contents(kData), "0123456789");
}

TEST_F(PackageStoreTest, ContinuesAnInterruptedDownload) {
  cloud_.cut_after_bytes = 4;
  auto cut = fetch();
  ASSERT_FALSE(cut);
  EXPECT_TRUE(cut.error().retryable());
  EXPECT_EQ(cut.error().message(), "app 1.0.0, artifact data: the connection broke");
  EXPECT_FALSE(io::exists(files, kData));
  EXPECT_EQ(staged().size(), 1u);
  ASSERT_FALSE(fetch());
  ASSERT_TRUE(fetch());
  EXPECT_EQ(cloud_.offsets, (std::vector<uint64_t>{0, 4, 8}));
  EXPECT_EQ(contents(kData), "0123456789");
}

TEST_F(PackageStoreTest, StartsAgainWhereTheServerCannotContinue) {
  cloud_.cut_after_bytes = 4;
  ASSERT_FALSE(fetch());
  cloud_.cut_after_bytes = UINT64_MAX;
  cloud_.has_ranges = false;
  ASSERT_TRUE(fetch());
  EXPECT_EQ(cloud_.offsets, (std::vector<uint64_t>{0, 4}));  // the one answer is enough
  EXPECT_EQ(contents(kData), "0123456789");
}

TEST_F(PackageStoreTest, AWrongDigestInstallsNothing) {
  cloud_.files["data"] = "012345678X";
  auto fetched = fetch();
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code(), Code::kCorrupt);
  const std::string message = fetched.error().message();
  EXPECT_NE(message.find(base64_encode(sha256("012345678X"))), std::string::npos) << message;
  EXPECT_NE(message.find(base64_encode(sha256("0123456789"))), std::string::npos) << message;
  EXPECT_TRUE(staged().empty());
  EXPECT_FALSE(io::exists(files, kData));
  EXPECT_FALSE(store_.recipe(kApp, "1.0.0"));
}

TEST_F(PackageStoreTest, ATornPartIsThrownAwayAndFetchedOnceMore) {
  cloud_.cut_after_bytes = 4;
  ASSERT_FALSE(fetch());
  ASSERT_EQ(staged().size(), 1u);
  ASSERT_TRUE(io::write_file_atomic(files, info_.staging() + "/" + staged()[0], "01XX"));
  cloud_.cut_after_bytes = UINT64_MAX;
  ASSERT_TRUE(fetch());
  EXPECT_EQ(cloud_.offsets, (std::vector<uint64_t>{0, 4, 0}));
  EXPECT_EQ(contents(kData), "0123456789");
}

TEST_F(PackageStoreTest, APartLongerThanTheArtifactIsThrownAway) {
  ASSERT_TRUE(io::make_directories(files, info_.staging()));
  const std::string part = info_.staging() + "/" + hex_encode(sha256("0123456789")) + ".part";
  ASSERT_TRUE(io::write_file_atomic(files, part, "0123456789 and more"));
  ASSERT_TRUE(fetch());
  EXPECT_EQ(contents(kData), "0123456789");
}

TEST_F(PackageStoreTest, LeavesTheReserveOfTheDiskAlone) {
  const std::string large(1 << 20, 'x');
  publish("2.0.0", large);
  files.set_capacity(kDiskReserveBytes + large.size() - 1);
  auto fetched = fetch("2.0.0");
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code(), Code::kResourceExhausted);
  EXPECT_NE(fetched.error().message().find("no space for 1048576 bytes in /gg/staging"),
            std::string::npos)
      << fetched.error().message();
  files.set_capacity(kDiskReserveBytes + (4 << 20));
  EXPECT_TRUE(fetch("2.0.0"));
}

TEST_F(PackageStoreTest, ARecipePublishedAgainReplacesTheVersion) {
  ASSERT_TRUE(fetch());
  publish("1.0.0", "other bytes");
  ASSERT_TRUE(fetch());
  EXPECT_EQ(contents(kData), "other bytes");
}

TEST_F(PackageStoreTest, AnArtifactOfAnEarlierUnfinishedTryIsCheckedBeforeItIsUsed) {
  ASSERT_TRUE(io::make_directories(files, io::parent_of(kData)));
  ASSERT_TRUE(io::write_file_atomic(files, kData, "of a recipe that was replaced"));
  ASSERT_TRUE(fetch());
  EXPECT_EQ(contents(kData), "0123456789");

  // And one that is right is not downloaded again.
  ASSERT_TRUE(files.remove("/gg/packages/recipes/app/1.0.0"));
  cloud_.offsets.clear();
  ASSERT_TRUE(fetch());
  EXPECT_TRUE(cloud_.offsets.empty());
}

TEST_F(PackageStoreTest, OnlyVerifiedArtifactsOfTheFleet) {
  auto foreign = test_artifact("data", "x");
  foreign["URI"] = "s3://bucket/data";
  cloud_.publish(recipe("2.0.0", foreign));
  auto unsupported = fetch("2.0.0");
  ASSERT_FALSE(unsupported);
  EXPECT_EQ(unsupported.error().code(), Code::kUnsupported);
  EXPECT_NE(unsupported.error().message().find("skerry component publish"), std::string::npos);

  cloud_.publish(recipe("3.0.0", {{"URI", "greengrass:data"}}));
  auto unverified = fetch("3.0.0");
  ASSERT_FALSE(unverified);
  EXPECT_EQ(unverified.error().code(), Code::kInvalidArgument);
  EXPECT_NE(unverified.error().message().find("nothing unverified is installed"),
            std::string::npos);
}

TEST_F(PackageStoreTest, PermissionsOfTheRecipe) {
  const struct {
    const char *read, *execute;
    uint32_t mode;
  } cases[] = {{"OWNER", "NONE", 0400}, {"ALL", "NONE", 0444},   {"OWNER", "OWNER", 0500},
               {"ALL", "ALL", 0555},    {"NONE", "OWNER", 0100}, {"ALL", "OWNER", 0544}};
  int number = 10;
  for (const auto& wanted : cases) {
    auto artifact = test_artifact("data", "0123456789");
    artifact["Permission"] = {{"Read", wanted.read}, {"Execute", wanted.execute}};
    const std::string version = std::to_string(number++) + ".0.0";
    cloud_.publish(recipe(version, artifact));
    ASSERT_TRUE(fetch(version));
    const auto entry = files.stat("/gg/packages/artifacts/app/" + version + "/data");
    EXPECT_EQ(entry->mode, wanted.mode) << wanted.read << " " << wanted.execute;
  }
}

TEST_F(PackageStoreTest, ZipsAreUnpackedUnderTheirNameWithoutItsEnd) {
  io::RealFiles real;
  const std::string bytes =
      io::read_file(real, SKERRY_SOURCE_DIR "/src/nucleus/testdata/nested.zip").value();
  auto artifact = test_artifact("tool.v1.zip", bytes);
  artifact["Unarchive"] = "ZIP";
  cloud_.publish(recipe("4.0.0", artifact), {{"tool.v1.zip", bytes}});
  ASSERT_TRUE(fetch("4.0.0"));
  EXPECT_EQ(contents(store_.unarchived_path(kApp, "4.0.0") + "/tool.v1/top.txt"), "top\n");
}

TEST_F(PackageStoreTest, GarbageIsWhatNobodyNeeds) {
  publish("2.0.0", "second");
  ASSERT_TRUE(fetch("2.0.0"));
  publish("1.0.0", "0123456789");
  ASSERT_TRUE(fetch("1.0.0"));
  ASSERT_TRUE(io::make_directories(files, "/gg/packages/artifacts/gone/1.0.0"));
  ASSERT_TRUE(io::write_file_atomic(files, info_.staging() + "/x.part", "x"));
  ComponentSet needed;
  needed[kApp].version = "2.0.0";
  ASSERT_TRUE(store_.collect_garbage(needed));
  EXPECT_FALSE(store_.recipe(kApp, "1.0.0"));
  EXPECT_FALSE(io::exists(files, store_.artifacts_path(kApp, "1.0.0")));
  EXPECT_EQ(contents(store_.artifacts_path(kApp, "2.0.0") + "/data"), "second");
  EXPECT_TRUE(store_.recipe(kApp, "2.0.0"));
  EXPECT_FALSE(io::exists(files, "/gg/packages/artifacts/gone"));
  EXPECT_FALSE(io::exists(files, info_.staging()));
}

}  // namespace
}  // namespace skerry::nucleus
