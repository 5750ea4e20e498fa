// What damage costs, and what a definition made anew brings back.
#include "streams/repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/fault_files.h"

namespace skerry::streams {
namespace {

TEST(Repair, SaysWhatIsLostAndBringsAStreamBack) {
  io::FaultFiles files;
  const auto open = [&] { return *StreamStore::open(files, "/streams", {.reserve_bytes = 0}); };
  auto store = open();
  ASSERT_TRUE(store->create({.name = "a", .flush_on_write = true}, "ID"));
  ASSERT_TRUE(store->create({.name = "b", .flush_on_write = true}));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(store->append("a", "message " + std::to_string(i), 1));
  ASSERT_TRUE(store->commit().empty());
  EXPECT_THAT(*check_streams(*store),
              testing::ElementsAre(StreamHealth{"a", 10, 0}, StreamHealth{"b", 0, 0}));
  EXPECT_EQ(renew_definition(files, "/streams", "a", "NEW").error().code(), Code::kAlreadyExists);
  EXPECT_EQ(renew_definition(files, "/streams", "c", "NEW").error().code(), Code::kNotFound);
  EXPECT_EQ(renew_definition(files, "/streams", "a/b", "NEW").error().code(),
            Code::kInvalidArgument);

  store.reset();
  const std::string folder = "/streams/" + StreamStore::folder_of("a");
  const std::string segment = folder + "/0000000000000000000.segment";
  std::string bytes = *io::read_file(files, segment);
  bytes[bytes.find("message 4")] ^= 1;
  ASSERT_TRUE(io::write_file_atomic(files, segment, bytes));
  ASSERT_TRUE(io::write_file_atomic(files, folder + "/definition.json", "{"));
  store = open();
  EXPECT_THAT(store->list(), testing::ElementsAre("b"));
  store.reset();
  ASSERT_TRUE(renew_definition(files, "/streams", "a", "NEW"));
  store = open();
  EXPECT_THAT(*check_streams(*store),
              testing::ElementsAre(StreamHealth{"a", 9, 1}, StreamHealth{"b", 0, 0}));
  EXPECT_EQ(*io::read_file(files, folder + "/definition.json.damaged"), "{");
}

}  // namespace
}  // namespace skerry::streams
