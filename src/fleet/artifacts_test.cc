// Uploads under power cuts, a full disk and wrong announcements.
#include "fleet/artifacts.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "io/test_env.h"

namespace skerry::fleet {
namespace {

struct Machine : io::TestEnv {
  Result<std::unique_ptr<ArtifactStore>> open() { return ArtifactStore::open(env, "/artifacts"); }
};

const std::string kContent(100'000, 'm');
const std::string kDigest = hex_encode(sha256(kContent));

// In three pieces.
Result<std::string> upload(ArtifactStore& store, std::string_view expected_sha256 = {}) {
  SKERRY_ASSIGN(auto upload, store.begin_upload());
  std::string_view rest = kContent;
  for (size_t size : {size_t{1}, size_t{60'000}, kContent.size()}) {
    SKERRY_TRY(upload->write(rest.substr(0, size)));
    rest.remove_prefix(std::min(size, rest.size()));
  }
  return upload->finish(expected_sha256);
}

TEST(ArtifactStore, ContentIsFoundUnderItsDigest) {
  Machine machine;
  auto store = machine.open();
  EXPECT_EQ(upload(**store).value(), kDigest);
  EXPECT_EQ((*store)->size_of(kDigest).value(), kContent.size());
  EXPECT_EQ(io::read_file(machine.files, (*store)->path_of(kDigest)).value(), kContent);
  EXPECT_EQ(upload(**store, kDigest).value(), kDigest);
}

TEST(ArtifactStore, APowerCutLeavesWholeContentOrNone) {
  size_t first = 0;
  {
    Machine machine;
    ASSERT_TRUE(machine.open());
    first = machine.files.operations().size();
  }
  for (size_t cut = first;; ++cut) {
    Machine machine;
    auto store = machine.open();
    machine.files.crash_at(cut);
    const bool acknowledged = upload(**store).has_value();
    machine.files.reboot(cut % 2 ? io::CrashPolicy::kSeeded : io::CrashPolicy::kDropUnsynced, cut);
    auto again = machine.open();
    ASSERT_TRUE(again) << "cut at operation " << cut << ": " << again.error().message();
    EXPECT_TRUE(machine.files.list("/artifacts/tmp")->empty());
    if ((*again)->contains(kDigest)) {
      EXPECT_EQ(io::read_file(machine.files, (*again)->path_of(kDigest)).value(), kContent);
    } else {
      EXPECT_FALSE(acknowledged) << "cut at operation " << cut;
    }
    if (acknowledged) break;
  }
}

TEST(ArtifactStore, AnUnfinishedUploadLeavesNothing) {
  Machine machine;
  auto store = machine.open();
  {
    auto upload = (*store)->begin_upload();
    ASSERT_TRUE((*upload)->write("half of"));
    EXPECT_EQ(machine.files.list("/artifacts/tmp")->size(), 1u);
  }
  EXPECT_TRUE(machine.files.list("/artifacts/tmp")->empty());
}

TEST(ArtifactStore, ContentThatWasNotAnnouncedIsNotKept) {
  Machine machine;
  auto store = machine.open();
  auto refused = upload(**store, std::string(64, '0'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
  EXPECT_TRUE(machine.files.list("/artifacts/tmp")->empty());
  EXPECT_TRUE(machine.files.list("/artifacts/sha256")->empty());
}

TEST(ArtifactStore, AFullDiskEndsTheUploadAndLeavesNothing) {
  Machine machine;
  auto store = machine.open();
  machine.files.set_capacity(50'000);
  auto refused = upload(**store);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(machine.files.list("/artifacts/tmp")->empty());
}

}  // namespace
}  // namespace skerry::fleet
