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

const std::string kContent(3'000'000, 'm');
const std::string kDigest = hex_encode(sha256(kContent));

template <class T>
io::Task<void> keep(io::Task<T> task, std::optional<T>* out) {
  *out = co_await std::move(task);
}
template <class T>
T run(Machine& machine, io::Task<T> task) {
  std::optional<T> result;
  io::TaskScope scope;
  scope.spawn(keep(std::move(task), &result));
  while (!result) machine.loop.run_for(1000);
  return std::move(*result);
}

// In three pieces.
io::Task<Result<std::string>> upload_in_pieces(ArtifactStore& store) {
  SKERRY_CO_ASSIGN(auto upload, store.begin_upload(kContent.size(), {ChecksumKind::kCrc32}));
  std::string_view rest = kContent;
  for (size_t size : {size_t{1}, size_t{1'500'000}, kContent.size()}) {
    upload->write(rest.substr(0, size));
    SKERRY_CO_TRY(co_await upload->drain());
    rest.remove_prefix(std::min(size, rest.size()));
  }
  SKERRY_CO_ASSIGN(auto content, co_await upload->seal());
  EXPECT_EQ(content.size_bytes, kContent.size());
  EXPECT_EQ(content.checksums.size(), 1u);
  SKERRY_CO_TRY(co_await upload->commit());
  co_return content.sha256;
}

Result<std::string> upload(Machine& machine, ArtifactStore& store) {
  return run(machine, upload_in_pieces(store));
}

TEST(ArtifactStore, ContentIsFoundUnderItsDigest) {
  Machine machine;
  auto store = machine.open();
  EXPECT_EQ(upload(machine, **store).value(), kDigest);
  EXPECT_EQ((*store)->size_of(kDigest).value(), kContent.size());
  EXPECT_EQ(io::read_file(machine.files, (*store)->path_of(kDigest)).value(), kContent);
  EXPECT_EQ(upload(machine, **store).value(), kDigest) << "once more";
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
    const bool acknowledged = upload(machine, **store).has_value();
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
    (*upload)->write(kContent);
    ASSERT_TRUE(run(machine, (*upload)->drain()));
    EXPECT_EQ(machine.files.list("/artifacts/tmp")->size(), 1u);
  }
  EXPECT_TRUE(machine.files.list("/artifacts/tmp")->empty());
}

TEST(ArtifactStore, OnlyDigestsNameContent) {
  Machine machine;
  auto store = machine.open();
  ASSERT_TRUE(upload(machine, **store));
  for (const std::string& name :
       {std::string(".."), std::string("."), std::string(), "../sha256/" + kDigest, kDigest + "/",
        kDigest.substr(1), "A" + kDigest.substr(1), std::string("../../fleet.db")}) {
    EXPECT_EQ((*store)->size_of(name).error().code(), Code::kNotFound) << name;
    EXPECT_FALSE((*store)->contains(name)) << name;
  }
}

TEST(ArtifactStore, AQuotaIsSaidBeforeTheUpload) {
  Machine machine;
  auto store = ArtifactStore::open(machine.env, "/artifacts", 4'000'000);
  EXPECT_TRUE(upload(machine, **store));
  auto refused = (*store)->begin_upload(kContent.size());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_NE(refused.error().message().find("--artifact-quota"), std::string::npos);
  EXPECT_TRUE((*store)->begin_upload(900'000));
  // What is there counts after a restart, too.
  store = ArtifactStore::open(machine.env, "/artifacts", 4'000'000);
  EXPECT_FALSE((*store)->begin_upload(kContent.size()));
  ASSERT_TRUE((*store)->remove(kDigest));
  EXPECT_TRUE((*store)->begin_upload(kContent.size()));
}

TEST(ArtifactStore, AFullDiskEndsTheUploadAndLeavesNothing) {
  Machine machine;
  auto store = machine.open();
  machine.files.set_capacity(500'000);
  auto refused = upload(machine, **store);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(machine.files.list("/artifacts/tmp")->empty());
}

}  // namespace
}  // namespace skerry::fleet
