// What becomes of artifacts that nobody refers to. (The operations are tested by stock clients,
// tests/fleet/s3_test.py.)
#include "fleet/aws/artifact_api.h"

#include <gtest/gtest.h>

#include "fleet/test_fleet.h"

namespace skerry::fleet::aws {
namespace {

constexpr int64_t kDayMs = 24 * 3'600'000;

class ArtifactRetention : public testing::Test {
 protected:
  ArtifactRetention()
      : artifacts_(*ArtifactStore::open(fleet_.env, fleet_.directory.path() + "/artifacts")),
        keys_(*run(AccessKeys::open(fleet_.stores, {}))),
        api_(fleet_.env, fleet_.stores, *artifacts_, "eu-west-1", {*keys_, {}}) {}

  template <class T>
  T run(io::Task<T> task) {
    std::optional<T> result;
    io::TaskScope scope;
    scope.spawn([](io::Task<T> work, std::optional<T>* out) -> io::Task<void> {
      *out = co_await std::move(work);
    }(std::move(task), &result));
    while (!result) fleet_.loop.run_for(1000);
    return std::move(*result);
  }
  std::string upload(const std::string& content) {
    auto upload = artifacts_->begin_upload();
    (*upload)->write(content);
    auto sealed = run((*upload)->seal());
    EXPECT_TRUE(run((*upload)->commit()));
    return sealed->sha256;
  }
  void name(const std::string& key, const std::string& sha256) {
    EXPECT_TRUE(fleet_.store->put_object({"bucket", key, sha256, 1, fleet_.clock.wall}));
  }
  void publish(const std::string& version, const std::string& sha256) {
    EXPECT_TRUE(fleet_.store->create_component({ComponentName("c"), version,
                                                R"({"Uri":"greengrass:)" + sha256 + R"(/f"})", "",
                                                "", "{}", 1}));
  }
  void collect() { EXPECT_TRUE(run(api_.collect(30 * kDayMs))); }

  TestFleet fleet_;
  std::unique_ptr<ArtifactStore> artifacts_;
  std::unique_ptr<AccessKeys> keys_;
  ArtifactApi api_;
};

TEST_F(ArtifactRetention, WhatAComponentVersionRefersToStaysUntilTheVersionIsDeleted) {
  const std::string used = upload("used"), unused = upload("unused");
  name("used", used);
  name("unused", unused);
  publish("1.0.0", used);
  for (int day = 0; day < 29; ++day) {
    fleet_.clock.wall += kDayMs;
    collect();
    EXPECT_TRUE(artifacts_->contains(unused)) << "day " << day;
  }
  fleet_.clock.wall += 2 * kDayMs;
  collect();
  EXPECT_FALSE(fleet_.store->find_object("bucket", "unused"));
  collect();
  EXPECT_FALSE(artifacts_->contains(unused));
  EXPECT_TRUE(artifacts_->contains(used));
  EXPECT_TRUE(fleet_.store->find_object("bucket", "used"));
  ASSERT_TRUE(fleet_.store->delete_component(ComponentName("c"), "1.0.0"));
  collect();
  collect();
  EXPECT_FALSE(artifacts_->contains(used));
}

TEST_F(ArtifactRetention, AYoungNameKeepsOldContent) {
  const std::string content = upload("content");
  name("old", content);
  fleet_.clock.wall += 40 * kDayMs;
  name("young", content);
  collect();
  collect();
  EXPECT_TRUE(artifacts_->contains(content));
  EXPECT_TRUE(fleet_.store->find_object("bucket", "young"));
}

TEST_F(ArtifactRetention, AnUploadHasTimeToNameItsContent) {
  const std::string content = upload("content");
  collect();
  EXPECT_TRUE(artifacts_->contains(content)) << "found without a name for the first time";
  name("k", content);
  collect();
  EXPECT_TRUE(artifacts_->contains(content));
}

}  // namespace
}  // namespace skerry::fleet::aws
