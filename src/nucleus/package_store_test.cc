// Downloads that break off, lie or do not fit, and what is on the disk afterwards.
#include "nucleus/package_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "io/test_directory.h"
#include "io/test_env.h"
#include "nucleus/test_cloud.h"
#include "nucleus/unarchive.h"
#include "test_paths.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

const ComponentName kPackagedApp("app");

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
    const std::string text = cloud_.versions[kPackagedApp][version];
    auto parsed = formats::parse_recipe(text);
    if (!parsed) return fail(parsed.error());
    const Candidate candidate{"arn", kPackagedApp, version, text};
    return run_task(loop, store_.fetch(&cloud_, candidate, &parsed->manifests[0]));
  }
  // The package of what the control plane has as this version now.
  InstalledComponent installed(const std::string& version = "1.0.0") {
    InstalledComponent component;
    component.version = version;
    component.digest = formats::package_digest(cloud_.versions[kPackagedApp][version]);
    return component;
  }
  std::string data(const std::string& version = "1.0.0") {
    return store_.artifacts_path(kPackagedApp, installed(version).package()) + "/data";
  }
  Result<std::string> stored_recipe(const std::string& version = "1.0.0") {
    return store_.recipe(kPackagedApp, installed(version));
  }
  bool is_whole(const std::string& version = "1.0.0") {
    return run_task(loop, store_.is_whole(kPackagedApp, installed(version).package())).value();
  }
  std::string contents(const std::string& path) {
    return io::read_file(files, path).value_or("(absent)");
  }
  // Downloads that can be continued.
  std::vector<std::string> staged() {
    auto names = files.list(info_.staging()).value_or(std::vector<std::string>{});
    std::erase_if(names, [](const std::string& name) { return !name.ends_with(".part"); });
    return names;
  }

  NucleusInfo info_;
  PackageStore store_{env, info_};
  TestCloud cloud_;
};

TEST_F(PackageStoreTest, APackageIsWholeOnceItIsThere) {
  cloud_.on_download = [&] { EXPECT_FALSE(stored_recipe()); };
  ASSERT_TRUE(fetch());
  EXPECT_EQ(contents(data()), "0123456789");
  EXPECT_EQ(stored_recipe().value(), cloud_.versions[kPackagedApp]["1.0.0"]);
  EXPECT_TRUE(staged().empty());
  ASSERT_TRUE(fetch());
  EXPECT_EQ(cloud_.offsets.size(), 1u);  // nothing is downloaded again
  files.crash_now();
  files.reboot(io::CrashPolicy::kDropUnsynced);
  EXPECT_EQ(contents(data()), "0123456789");
}

TEST_F(PackageStoreTest, ContinuesAnInterruptedDownload) {
  cloud_.cut_after_bytes = 4;
  auto cut = fetch();
  ASSERT_FALSE(cut);
  EXPECT_TRUE(cut.error().retryable());
  EXPECT_EQ(cut.error().message(), "app 1.0.0, artifact data: the connection broke");
  EXPECT_FALSE(io::exists(files, data()));
  EXPECT_EQ(staged().size(), 1u);
  ASSERT_FALSE(fetch());
  ASSERT_TRUE(fetch());
  EXPECT_EQ(cloud_.offsets, (std::vector<uint64_t>{0, 4, 8}));
  EXPECT_EQ(contents(data()), "0123456789");
}

TEST_F(PackageStoreTest, StartsAgainWhereTheServerCannotContinue) {
  cloud_.cut_after_bytes = 4;
  ASSERT_FALSE(fetch());
  cloud_.cut_after_bytes = UINT64_MAX;
  cloud_.has_ranges = false;
  ASSERT_TRUE(fetch());
  EXPECT_EQ(cloud_.offsets, (std::vector<uint64_t>{0, 4}));  // the one answer is enough
  EXPECT_EQ(contents(data()), "0123456789");
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
  EXPECT_FALSE(io::exists(files, data()));
  EXPECT_FALSE(stored_recipe());
}

TEST_F(PackageStoreTest, ATornPartIsThrownAwayAndFetchedOnceMore) {
  cloud_.cut_after_bytes = 4;
  ASSERT_FALSE(fetch());
  ASSERT_EQ(staged().size(), 1u);
  ASSERT_TRUE(io::write_file_atomic(files, info_.staging() + "/" + staged()[0], "01XX"));
  cloud_.cut_after_bytes = UINT64_MAX;
  ASSERT_TRUE(fetch());
  EXPECT_EQ(cloud_.offsets, (std::vector<uint64_t>{0, 4, 0}));
  EXPECT_EQ(contents(data()), "0123456789");
}

TEST_F(PackageStoreTest, APartLongerThanTheArtifactIsThrownAway) {
  ASSERT_TRUE(io::make_directories(files, info_.staging()));
  const std::string part = info_.staging() + "/" + hex_encode(sha256("0123456789")) + ".part";
  ASSERT_TRUE(io::write_file_atomic(files, part, "0123456789 and more"));
  ASSERT_TRUE(fetch());
  EXPECT_EQ(contents(data()), "0123456789");
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

// The running version's files must outlive the fetch of what replaces it: a crash before the switch
// and a roll-back return to them.
TEST_F(PackageStoreTest, AVersionPublishedAgainLeavesTheOldOneWhole) {
  ASSERT_TRUE(fetch());
  const std::string old_data = data();
  const InstalledComponent old = installed();
  const std::string old_recipe = cloud_.versions[kPackagedApp]["1.0.0"];
  publish("1.0.0", "other bytes");
  cloud_.on_download = [&] { EXPECT_EQ(contents(old_data), "0123456789"); };
  ASSERT_TRUE(fetch());
  EXPECT_NE(data(), old_data);
  EXPECT_EQ(contents(data()), "other bytes");
  EXPECT_EQ(contents(old_data), "0123456789");
  EXPECT_EQ(store_.recipe(kPackagedApp, old).value(), old_recipe);
}

TEST_F(PackageStoreTest, AChangedRecipeOfTheSameVersionIsAnotherPackage) {
  ASSERT_TRUE(fetch());
  const std::string before = installed().package();
  auto changed = recipe("1.0.0", test_artifact("data", "0123456789"));
  changed["ComponentDescription"] = "now with a description";
  cloud_.publish(changed, {{"data", "0123456789"}});
  EXPECT_NE(installed().package(), before);
  ASSERT_TRUE(fetch());
  EXPECT_TRUE(is_whole());
}

TEST_F(PackageStoreTest, AnArtifactOfAnEarlierUnfinishedTryIsCheckedBeforeItIsUsed) {
  const std::string earlier = info_.staging() + "/app@" + installed().package() + "/artifacts";
  ASSERT_TRUE(io::make_directories(files, earlier));
  ASSERT_TRUE(io::write_file_atomic(files, earlier + "/data", "damaged by a power cut"));
  ASSERT_TRUE(fetch());
  EXPECT_EQ(contents(data()), "0123456789");

  // And one that is right is not downloaded again.
  publish("2.0.0", "0123456789");
  const std::string right = info_.staging() + "/app@" + installed("2.0.0").package() + "/artifacts";
  ASSERT_TRUE(io::make_directories(files, right));
  ASSERT_TRUE(io::write_file_atomic(files, right + "/data", "0123456789"));
  cloud_.offsets.clear();
  ASSERT_TRUE(fetch("2.0.0"));
  EXPECT_TRUE(cloud_.offsets.empty());
  EXPECT_EQ(contents(data("2.0.0")), "0123456789");
}

TEST_F(PackageStoreTest, OnlyWhatIsDamagedIsDownloadedAgain) {
  auto two = recipe("3.0.0", test_artifact("data", "0123456789"));
  two["Manifests"][0]["Artifacts"].push_back(test_artifact("more", "abc"));
  cloud_.publish(two, {{"data", "0123456789"}, {"more", "abc"}});
  ASSERT_TRUE(fetch("3.0.0"));
  EXPECT_TRUE(is_whole("3.0.0"));
  ASSERT_TRUE(io::write_file_atomic(files, data("3.0.0"), "012345678X"));
  EXPECT_FALSE(is_whole("3.0.0"));
  cloud_.offsets.clear();
  ASSERT_TRUE(fetch("3.0.0"));
  EXPECT_EQ(cloud_.offsets.size(), 2u);  // what is wrong is tried as a part first
  EXPECT_EQ(contents(data("3.0.0")), "0123456789");
  EXPECT_TRUE(is_whole("3.0.0"));

  ASSERT_TRUE(files.remove(data("3.0.0")));
  cloud_.offsets.clear();
  ASSERT_TRUE(fetch("3.0.0"));
  EXPECT_EQ(cloud_.offsets.size(), 1u);
  EXPECT_TRUE(is_whole("3.0.0"));
}

TEST_F(PackageStoreTest, ATouchedButUnchangedPackageIsKept) {
  ASSERT_TRUE(fetch());
  ASSERT_TRUE(io::write_file_atomic(files, data(), "0123456789"));  // another inode and time
  cloud_.offsets.clear();
  ASSERT_TRUE(fetch());
  EXPECT_TRUE(cloud_.offsets.empty());
  EXPECT_TRUE(is_whole());
}

TEST_F(PackageStoreTest, ArtifactsThatWouldLieOnOneAnotherAreRefused) {
  auto one = test_artifact("amd64/app.zip", "x"), other = test_artifact("arm64/App.zip", "y");
  auto twice = recipe("5.0.0", one);
  twice["Manifests"][0]["Artifacts"].push_back(other);
  cloud_.publish(twice);
  auto fetched = fetch("5.0.0");
  ASSERT_FALSE(fetched);
  EXPECT_NE(fetched.error().message().find("would lie on one another"), std::string::npos);
}

// A dropped fetch leaves work to the pool; the next one must not trip over it.
TEST_F(PackageStoreTest, AFetchAfterADroppedOne) {
  io::ThreadPool threads("files", 1);
  io::RealFiles real;
  io::Env threaded{loop, clock, real, processes, random, threads, threads};
  const io::ScratchDirectory scratch;
  info_.root = scratch.path();
  PackageStore store(threaded, info_);
  publish("1.0.0", std::string(40 << 20, 'x'));
  const std::string text = cloud_.versions[kPackagedApp]["1.0.0"];
  const auto manifest = formats::parse_recipe(text)->manifests[0];
  for (int drop_after = 0; drop_after < 12; ++drop_after) {
    io::TaskScope dropped;
    struct Drop {
      static io::Task<void> run(io::Task<Result<void>> task) { (void)co_await std::move(task); }
    };
    dropped.spawn(Drop::run(store.fetch(&cloud_, {"arn", kPackagedApp, "1.0.0", text}, &manifest)));
    for (int turn = 0; turn < drop_after; ++turn) loop.run_for(1);
    dropped.cancel_all();
    auto fetched =
        run_task(loop, store.fetch(&cloud_, {"arn", kPackagedApp, "1.0.0", text}, &manifest));
    ASSERT_TRUE(fetched) << drop_after << ": " << fetched.error().message();
    ASSERT_TRUE(run_task(loop, store.is_whole(kPackagedApp, installed().package())).value());
    ASSERT_TRUE(run_task(loop, store.collect_garbage({})));
  }
  threads.stop();
}

TEST_F(PackageStoreTest, OnlyVerifiedArtifactsOfTheFleet) {
  auto foreign = test_artifact("data", "x");
  foreign["URI"] = "gs://bucket/data";
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
  } cases[] = {{"OWNER", "NONE", 0440}, {"ALL", "NONE", 0444},   {"OWNER", "OWNER", 0550},
               {"ALL", "ALL", 0555},    {"NONE", "OWNER", 0510}, {"ALL", "OWNER", 0554}};
  int number = 10;
  for (const auto& wanted : cases) {
    auto artifact = test_artifact("data", "0123456789");
    artifact["Permission"] = {{"Read", wanted.read}, {"Execute", wanted.execute}};
    const std::string version = std::to_string(number++) + ".0.0";
    cloud_.publish(recipe(version, artifact));
    ASSERT_TRUE(fetch(version));
    const auto entry = files.stat(data(version));
    EXPECT_EQ(entry->mode, wanted.mode) << wanted.read << " " << wanted.execute;
  }
}

TEST_F(PackageStoreTest, ZipsAreUnpackedUnderTheirNameWithoutItsEnd) {
  io::RealFiles real;
  const std::string bytes =
      io::read_file(real, SKERRY_SOURCE_DIR "/src/formats/testdata/nested.zip").value();
  auto artifact = test_artifact("tool.v1.zip", bytes);
  artifact["Unarchive"] = "ZIP";
  cloud_.publish(recipe("4.0.0", artifact), {{"tool.v1.zip", bytes}});
  ASSERT_TRUE(fetch("4.0.0"));
  EXPECT_EQ(contents(store_.unarchived_path(kPackagedApp, installed("4.0.0").package()) +
                     "/tool.v1/top.txt"),
            "top\n");
}

TEST_F(PackageStoreTest, TheComponentsGroupReadsAndNobodyWrites) {
  ASSERT_TRUE(fetch());
  const std::string package = installed().package();
  ASSERT_TRUE(run_task(loop, store_.give_to_group(kPackagedApp, package, 500)));
  for (const std::string& path :
       {data(), io::parent_of(data()), io::parent_of(io::parent_of(data()))}) {
    const auto info = files.stat(path).value();
    EXPECT_EQ(info.uid, 0u) << path;
    EXPECT_EQ(info.gid, 500u) << path;
    EXPECT_EQ(info.mode & 0022, 0u) << path;
  }
  const size_t before = files.operations().size();
  ASSERT_TRUE(run_task(loop, store_.give_to_group(kPackagedApp, package, 500)));
  EXPECT_EQ(files.operations().size(), before);
}

TEST_F(PackageStoreTest, GarbageIsWhatNobodyNeeds) {
  publish("2.0.0", "second");
  ASSERT_TRUE(fetch("2.0.0"));
  publish("1.0.0", "0123456789");
  ASSERT_TRUE(fetch("1.0.0"));
  const std::string replaced = data();
  publish("1.0.0", "other bytes");
  ASSERT_TRUE(fetch("1.0.0"));
  ASSERT_TRUE(io::make_directories(files, "/gg/packages/gone/1.0.0@abc"));
  ASSERT_TRUE(io::make_directories(files, "/gg/packages/artifacts/app/1.0.0"));  // the old layout
  ASSERT_TRUE(io::write_file_atomic(files, info_.staging() + "/x.part", "x"));
  ASSERT_TRUE(
      run_task(loop, store_.collect_garbage(
                         {{kPackagedApp, {installed("2.0.0").package(), installed().package()}}})));
  EXPECT_FALSE(io::exists(files, replaced));
  EXPECT_EQ(contents(data()), "other bytes");
  EXPECT_EQ(contents(data("2.0.0")), "second");
  EXPECT_TRUE(stored_recipe("2.0.0"));
  EXPECT_EQ(files.list("/gg/packages").value(), std::vector<std::string>{"app"});
  EXPECT_FALSE(io::exists(files, info_.staging()));
}

// Half a package must never stand in the place of a whole one, however its removal is cut off.
TEST_F(PackageStoreTest, APackageIsRemovedWholeOrNotAtAll) {
  size_t operations = 0;
  for (size_t at = 0; at == 0 || at < operations; ++at) {
    files = io::FaultFiles();
    publish("1.0.0", "0123456789");
    ASSERT_TRUE(fetch());
    const size_t before = files.operations().size();
    if (at > 0) files.crash_at(before + at);
    (void)run_task(loop, store_.collect_garbage({}));
    if (at == 0) operations = files.operations().size() - before;
    if (at > 0) files.reboot(io::CrashPolicy::kSeeded, at);
    const bool gone = !io::exists(files, info_.packages() + "/app/" + installed().package());
    EXPECT_TRUE(gone || is_whole()) << "power cut at operation " << at;
  }
  EXPECT_GT(operations, 8u);
}

}  // namespace
}  // namespace skerry::nucleus
