// One conformance suite for every Files implementation, and the helpers built on the interface.
#include "io/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "io/fault_files.h"
#include "io/test_directory.h"

namespace skerry::io {
namespace {

// An implementation with an empty directory to play in.
struct Subject {
  std::unique_ptr<Files> files;
  std::string root;
  bool is_real;
  std::unique_ptr<ScratchDirectory> scratch;  // of the real one
};

Subject real_subject() {
  auto scratch = std::make_unique<ScratchDirectory>();
  const std::string root = scratch->path();
  return {std::make_unique<RealFiles>(), root, true, std::move(scratch)};
}
Subject fault_subject() {
  auto files = std::make_unique<FaultFiles>();
  EXPECT_TRUE(files->make_directory("/root", 0755));
  return {std::move(files), "/root", false, nullptr};
}

class FilesTest : public testing::TestWithParam<Subject (*)()> {
 protected:
  ~FilesTest() override { EXPECT_TRUE(remove_all(files(), subject_.root)); }
  Files& files() { return *subject_.files; }
  std::string at(const std::string& name) const { return subject_.root + "/" + name; }
  void put(const std::string& name, std::string_view bytes) {
    auto file = files().open(at(name), OpenMode::kTruncate, 0600);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write(bytes));
  }
  std::string get(const std::string& name) {
    auto bytes = read_file(files(), at(name));
    return bytes ? *bytes : std::string(code_name(bytes.error().code()));
  }

  Subject subject_ = GetParam()();
};

INSTANTIATE_TEST_SUITE_P(All, FilesTest, testing::Values(&real_subject, &fault_subject),
                         [](const auto& each) { return each.index == 0 ? "Real" : "Fault"; });

TEST_P(FilesTest, WritesGoToTheEndAndReadsAnywhere) {
  auto file = files().open(at("a"), OpenMode::kAppend, 0600);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write("hello "));
  ASSERT_TRUE((*file)->write("world"));
  EXPECT_EQ((*file)->size().value(), 11u);
  EXPECT_EQ((*file)->read_at(6, 100).value(), "world");
  EXPECT_EQ((*file)->read_at(0, 5).value(), "hello");
  EXPECT_EQ((*file)->read_at(50, 5).value(), "");
  ASSERT_TRUE((*file)->truncate(5));
  ASSERT_TRUE((*file)->write("!"));
  ASSERT_TRUE((*file)->truncate(8));
  ASSERT_TRUE((*file)->sync());
  EXPECT_EQ(get("a"), std::string("hello!\0\0", 8));
}

TEST_P(FilesTest, OpenModes) {
  EXPECT_EQ(files().open(at("none"), OpenMode::kRead, 0).error().code(), Code::kNotFound);
  put("a", "old");
  {
    auto file = files().open(at("a"), OpenMode::kAppend, 0644);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write("+"));
  }
  EXPECT_EQ(get("a"), "old+");
  EXPECT_EQ(files().stat(at("a"))->mode, 0600u);  // only a created or emptied file gets the mode
  {
    ASSERT_TRUE(files().open(at("a"), OpenMode::kTruncate, 0666));
  }
  EXPECT_EQ(files().stat(at("a"))->mode, 0666u);
  EXPECT_EQ(get("a"), "");
  auto reader = files().open(at("a"), OpenMode::kRead, 0);
  ASSERT_TRUE(reader);
  EXPECT_FALSE((*reader)->write("x"));
  EXPECT_FALSE((*reader)->truncate(0));
  EXPECT_FALSE(files().open(subject_.root, OpenMode::kAppend, 0600));
}

TEST_P(FilesTest, ErrorsNameTheCallAndThePath) {
  const auto error = files().stat(at("none")).error();
  EXPECT_EQ(error.message(), "stat " + at("none") + ": No such file or directory");
  put("file", "");
  EXPECT_FALSE(files().list(at("file")));
  EXPECT_FALSE(files().stat(at("file/below")));
  EXPECT_EQ(files().make_directory(at("file"), 0755).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(files().make_directory(at("no/where"), 0755).error().code(), Code::kNotFound);
  EXPECT_EQ(files().remove(at("none")).error().code(), Code::kNotFound);
  EXPECT_EQ(files().sync_directory(at("none")).error().code(), Code::kNotFound);
}

TEST_P(FilesTest, ListsNamesInOrder) {
  for (const char* name : {"b", "c", "a"}) put(name, "");
  ASSERT_TRUE(files().make_directory(at("d"), 0700));
  EXPECT_EQ(files().list(subject_.root).value(), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_TRUE(files().stat(at("d"))->is_directory);
  EXPECT_EQ(files().stat(at("d"))->mode, 0700u);
  EXPECT_TRUE(files().make_directory(at("d"), 0755));
}

TEST_P(FilesTest, RenameReplaces) {
  put("a", "new");
  put("b", "old");
  ASSERT_TRUE(files().make_directory(at("d"), 0755));
  ASSERT_TRUE(files().rename(at("a"), at("b")));
  EXPECT_EQ(get("b"), "new");
  EXPECT_FALSE(exists(files(), at("a")));
  ASSERT_TRUE(files().rename(at("b"), at("d/b")));
  ASSERT_TRUE(files().rename(at("d"), at("e")));
  EXPECT_EQ(get("e/b"), "new");
  ASSERT_TRUE(files().make_directory(at("empty"), 0755));
  put("f", "");
  EXPECT_FALSE(files().rename(at("f"), at("e")));        // file over directory
  EXPECT_FALSE(files().rename(at("e"), at("f")));        // directory over file
  EXPECT_FALSE(files().rename(at("empty"), at("e")));    // over a directory that is not empty
  EXPECT_FALSE(files().rename(at("e"), at("e/below")));  // into itself
  EXPECT_TRUE(files().rename(at("e"), at("empty")));
  EXPECT_TRUE(files().rename(at("f"), at("f")));
  EXPECT_EQ(get("empty/b"), "new");
  EXPECT_EQ(files().rename(at("none"), at("x")).error().code(), Code::kNotFound);
}

TEST_P(FilesTest, RemovesFilesAndEmptyDirectories) {
  ASSERT_TRUE(make_directories(files(), at("x/y/z")));
  put("x/file", "1");
  EXPECT_FALSE(files().remove(at("x")));
  auto open_file = files().open(at("x/file"), OpenMode::kRead, 0);
  ASSERT_TRUE(files().remove(at("x/file")));
  EXPECT_EQ((*open_file)->read_at(0, 9).value(), "1");  // as long as it is open
  ASSERT_TRUE(remove_all(files(), at("x")));
  EXPECT_FALSE(exists(files(), at("x")));
  EXPECT_TRUE(remove_all(files(), at("x")));
}

TEST_P(FilesTest, StatTellsWhetherAFileIsStillTheSame) {
  put("a", "1");
  const FileInfo before = files().stat(at("a")).value();
  EXPECT_TRUE(before.is_regular);
  EXPECT_FALSE(before.is_directory);
  EXPECT_EQ(before.links, 1u);
  EXPECT_FALSE(files().stat(subject_.root)->is_regular);
  ASSERT_TRUE(files().rename(at("a"), at("b")));
  EXPECT_EQ(files().stat(at("b"))->inode, before.inode);
  EXPECT_EQ(files().stat(at("b"))->modified_ns, before.modified_ns);
  ASSERT_TRUE(files().set_mode(at("b"), 0400));
  EXPECT_EQ(files().stat(at("b"))->modified_ns, before.modified_ns);
  put("a", "1");
  EXPECT_NE(files().stat(at("a"))->inode, before.inode);
}

TEST_P(FilesTest, OwnersAreSetAndSeen) {
  put("a", "");
  const uint32_t gid = ::getgid();
  ASSERT_TRUE(files().set_owner(at("a"), ::getuid(), gid));
  EXPECT_EQ(files().stat(at("a"))->uid, ::getuid());
  EXPECT_EQ(files().stat(at("a"))->gid, gid);
}

TEST_P(FilesTest, RemovesTreesHoweverDeep) {
  std::string path = at("tree");
  ASSERT_TRUE(files().make_directory(path, 0700));
  for (int i = 0; i < 300; ++i) {
    path += "/d";
    ASSERT_TRUE(files().make_directory(path, 0700));
    if (i % 50 == 0) put(path.substr(subject_.root.size() + 1) + "/file", "x");
  }
  put("tree/.skerry-removed-1", "x");
  ASSERT_TRUE(files().remove_tree(at("tree")));
  EXPECT_FALSE(exists(files(), at("tree")));
  EXPECT_EQ(files().remove_tree(at("tree")).error().code(), Code::kNotFound);
  EXPECT_EQ(files().remove_tree(at("no/where")).error().code(), Code::kNotFound);
  put("file", "x");
  ASSERT_TRUE(files().remove_tree(at("file")));
}

TEST_P(FilesTest, HelpersReplaceAndLimit) {
  ASSERT_TRUE(write_file_atomic(files(), at("a"), "one"));
  ASSERT_TRUE(write_file_atomic(files(), at("a"), "two", 0644));
  EXPECT_EQ(get("a"), "two");
  EXPECT_EQ(files().stat(at("a"))->mode, 0644u);
  EXPECT_EQ(files().list(subject_.root).value(), std::vector<std::string>{"a"});
  EXPECT_EQ(read_file(files(), at("a"), 2).error().code(), Code::kResourceExhausted);
  ASSERT_TRUE(files().set_mode(at("a"), 0400));
  EXPECT_EQ(files().stat(at("a"))->mode, 0400u);
  EXPECT_TRUE(files().set_owner(at("a"), ::getuid(), ::getgid()));
  EXPECT_GT(files().free_bytes(subject_.root).value(), 0u);
}

TEST_P(FilesTest, HandsOverWhatBelongsToOneUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  ASSERT_TRUE(files().make_directory(at("tree"), 0700));
  ASSERT_TRUE(files().make_directory(at("tree/below"), 0700));
  put("tree/below/mine", "x");
  put("tree/theirs", "x");
  for (const char* mine : {"tree", "tree/below", "tree/below/mine"}) {
    ASSERT_TRUE(files().set_owner(at(mine), 70'001, 7));
  }
  ASSERT_TRUE(files().hand_over(at("tree"), 70'001, 70'002, 8));
  for (const char* mine : {"tree", "tree/below", "tree/below/mine"}) {
    EXPECT_EQ(files().stat(at(mine))->uid, 70'002u) << mine;
    EXPECT_EQ(files().stat(at(mine))->gid, 8u) << mine;
  }
  EXPECT_EQ(files().stat(at("tree/theirs"))->uid, 0u);
  EXPECT_EQ(files().hand_over(at("none"), 0, 1, 1).error().code(), Code::kNotFound);
}

TEST(Files, NothingIsHandedOverThroughLinksOrOtherNames) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  Subject real = real_subject();
  const std::string tree = real.root + "/tree", outside = real.root + "/outside";
  ASSERT_TRUE(make_directories(*real.files, tree));
  ASSERT_TRUE(make_directories(*real.files, outside));
  ASSERT_TRUE(write_file_atomic(*real.files, outside + "/file", "x"));
  ASSERT_EQ(::symlink(outside.c_str(), (tree + "/link").c_str()), 0);
  ASSERT_EQ(::link((outside + "/file").c_str(), (tree + "/hard").c_str()), 0);
  ASSERT_TRUE(real.files->hand_over(tree, 0, 70'002, 8));
  EXPECT_EQ(real.files->stat(tree)->uid, 70'002u);
  EXPECT_EQ(real.files->stat(outside)->uid, 0u);
  EXPECT_EQ(real.files->stat(outside + "/file")->uid, 0u);
  ASSERT_TRUE(real.files->remove_tree(real.root));
}

TEST(Files, ParentOf) {
  EXPECT_EQ(parent_of("/a/b"), "/a");
  EXPECT_EQ(parent_of("/a"), "/");
  EXPECT_EQ(parent_of("x"), ".");
}

TEST(Files, RemoveAllDoesNotFollowLinks) {
  Subject real = real_subject();
  const std::string kept = real.root + "/kept", doomed = real.root + "/doomed";
  ASSERT_TRUE(make_directories(*real.files, kept));
  ASSERT_TRUE(make_directories(*real.files, doomed));
  ASSERT_TRUE(write_file_atomic(*real.files, kept + "/file", "x"));
  ASSERT_EQ(::symlink(kept.c_str(), (doomed + "/link").c_str()), 0);
  ASSERT_TRUE(remove_all(*real.files, doomed));
  EXPECT_TRUE(exists(*real.files, kept + "/file"));
  ASSERT_TRUE(remove_all(*real.files, real.root));
}

// A component that owns a folder may make anything of its names while the nucleus, as root, works
// on it.
TEST(Files, OwnersAndModesAreNotChangedThroughLinksOrOtherNames) {
  Subject real = real_subject();
  const std::string secret = real.root + "/secret";
  ASSERT_TRUE(write_file_atomic(*real.files, secret, "x", 0600));
  ASSERT_EQ(::symlink(secret.c_str(), (real.root + "/link").c_str()), 0);
  ASSERT_EQ(::link(secret.c_str(), (real.root + "/hard").c_str()), 0);
  for (const char* name : {"/link", "/hard", "/secret"}) {
    EXPECT_EQ(real.files->set_mode(real.root + name, 0666).error().code(), Code::kPermissionDenied);
    EXPECT_EQ(real.files->set_owner(real.root + name, ::getuid(), ::getgid()).error().code(),
              Code::kPermissionDenied);
  }
  EXPECT_EQ(real.files->stat(secret)->mode, 0600u);
  EXPECT_EQ(real.files->stat(secret)->links, 2u);
  EXPECT_FALSE(real.files->stat(real.root + "/link")->is_regular);
  ASSERT_TRUE(remove_all(*real.files, real.root));
}

TEST(Files, ATreeThatIsSwappedForALinkWhileItIsRemovedTakesNothingElseAlong) {
  Subject real = real_subject();
  const std::string kept = real.root + "/kept", tree = real.root + "/tree";
  ASSERT_TRUE(make_directories(*real.files, kept));
  ASSERT_TRUE(write_file_atomic(*real.files, kept + "/file", "x"));
  std::atomic<bool> stop = false;
  std::thread component([&] {
    while (!stop) {
      (void)::rename((tree + "/a").c_str(), (tree + "/b").c_str());
      (void)::symlink(kept.c_str(), (tree + "/a").c_str());
      (void)::unlink((tree + "/a").c_str());
      (void)::rename((tree + "/b").c_str(), (tree + "/a").c_str());
    }
  });
  for (int round = 0; round < 300; ++round) {
    (void)make_directories(*real.files, tree + "/a/deep");
    (void)real.files->remove_tree(tree);  // it may lose against the other side, no more than that
  }
  stop = true;
  component.join();
  EXPECT_TRUE(exists(*real.files, kept + "/file"));
  ASSERT_TRUE(remove_all(*real.files, real.root));
}

}  // namespace
}  // namespace skerry::io
