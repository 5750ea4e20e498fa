// Streams by name: made, found again, limited together, and whole after a power cut.
#include "streams/stream_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "io/fault_files.h"

namespace skerry::streams {
namespace {

using testing::ElementsAre;

class StreamStoreTest : public testing::Test {
 protected:
  StreamStoreTest() { open(); }
  void open(StoreLimits limits = {.reserve_bytes = 0}) {
    store_.reset();
    auto opened = StreamStore::open(files_, "/streams", limits);
    ASSERT_TRUE(opened) << opened.error().message();
    store_ = std::move(*opened);
  }
  void append(const std::string& name, const std::string& payload) {
    ASSERT_TRUE(store_->append(name, payload, 1));
    ASSERT_TRUE(store_->commit().empty());
  }
  std::vector<std::string> payloads(const std::string& name) {
    std::vector<std::string> found;
    for (const Message& message : *store_->read(name, 0, 1'000, 1 << 20)) {
      found.push_back(message.payload);
    }
    return found;
  }

  io::FaultFiles files_;
  std::unique_ptr<StreamStore> store_;
};

TEST_F(StreamStoreTest, StreamsAreThereAgainAndThoseInMemoryAreNot) {
  ASSERT_TRUE(store_->create({.name = "..", .flush_on_write = true}));
  ASSERT_TRUE(store_->create({.name = std::string(255, 'x')}));
  ASSERT_TRUE(store_->create({.name = "memory", .persistence = Persistence::kMemory}));
  append("..", "kept");
  append("memory", "gone");
  EXPECT_EQ(store_->list().size(), 3u);
  open();
  EXPECT_THAT(store_->list(), ElementsAre("..", std::string(255, 'x')));
  EXPECT_THAT(payloads(".."), ElementsAre("kept"));
  EXPECT_TRUE(store_->describe("..")->definition.flush_on_write);
}

TEST_F(StreamStoreTest, ANameIsTakenOnceAndFreeAgain) {
  ASSERT_TRUE(store_->create({.name = "s"}));
  append("s", "old");
  EXPECT_EQ(store_->create({.name = "s"}).error().code(), Code::kAlreadyExists);
  ASSERT_TRUE(store_->remove("s"));
  EXPECT_EQ(store_->remove("s").error().code(), Code::kNotFound);
  ASSERT_TRUE(store_->create({.name = "s"}));
  EXPECT_THAT(payloads("s"), ElementsAre());
  EXPECT_EQ(store_->describe("nobody").error().code(), Code::kNotFound);
  EXPECT_EQ(store_->append("nobody", "x", 1).error().code(), Code::kNotFound);
}

TEST_F(StreamStoreTest, AnUpdateKeepsTheMessagesAndWhatCannotBeChanged) {
  ASSERT_TRUE(store_->create({.name = "s"}));
  append("s", "kept");
  ASSERT_TRUE(store_->update({.name = "s", .max_bytes = 1'024, .flush_on_write = true}));
  EXPECT_EQ(store_->update({.name = "s", .persistence = Persistence::kMemory}).error().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(store_->append("s", std::string(1'024, 'x'), 1).error().code(),
            Code::kResourceExhausted);
  open();
  EXPECT_EQ(store_->describe("s")->definition.max_bytes, 1'024);
  EXPECT_THAT(payloads("s"), ElementsAre("kept"));
}

// Whatever happens to the disk: a receiver tells messages by their numbers.
TEST_F(StreamStoreTest, NumbersThatHaveGoneAreNotGivenAgainWhereTheirMessagesAreLost) {
  ASSERT_TRUE(store_->create(
      {.name = "s", .exports = {{.identifier = "e", .target = "http://127.0.0.1:1/"}}}));
  for (int i = 0; i < 3; ++i) append("s", "gone away");
  ASSERT_TRUE(store_->record_export("s", "e", {.next = 3, .messages = 3}));
  store_.reset();
  const std::string folder = "/streams/" + StreamStore::folder_of("s");
  for (const std::string& name : *files_.list(folder)) {
    const std::string bytes = *io::read_file(files_, folder + "/" + name);
    const size_t first = bytes.find("gone away");
    if (first == std::string::npos) continue;
    ASSERT_TRUE(io::write_file_atomic(files_, folder + "/" + name, bytes.substr(0, first + 9)));
  }
  open();
  ASSERT_FALSE(store_->recoveries().empty());
  EXPECT_THAT(store_->recoveries().back().what, testing::HasSubstr("2 messages are lost here"));
  EXPECT_EQ(*store_->append("s", "new", 1), 3);
  ASSERT_TRUE(store_->commit().empty());
  EXPECT_THAT(payloads("s"), ElementsAre("gone away", "new"));
}

TEST_F(StreamStoreTest, AllStreamsTogetherHaveALimitAndTheDiskAReserve) {
  open({.max_streams = 2, .max_bytes = 300, .reserve_bytes = 0, .max_memory_bytes = 100});
  ASSERT_TRUE(store_->create({.name = "a"}));
  ASSERT_TRUE(store_->create({.name = "m", .persistence = Persistence::kMemory}));
  EXPECT_EQ(store_->create({.name = "c"}).error().code(), Code::kResourceExhausted);
  ASSERT_TRUE(store_->append("a", std::string(200, 'x'), 1));
  EXPECT_EQ(store_->append("a", std::string(200, 'x'), 1).error().code(), Code::kResourceExhausted);
  ASSERT_TRUE(store_->append("m", std::string(60, 'x'), 1));
  EXPECT_EQ(store_->append("m", std::string(60, 'x'), 1).error().code(), Code::kResourceExhausted);
  ASSERT_TRUE(store_->commit().empty());

  files_.set_capacity(1 << 20);
  open({.reserve_bytes = 1 << 20});
  EXPECT_THAT(store_->append("a", "x", 1).error().message(), testing::HasSubstr("kept for others"));
  EXPECT_THAT(payloads("a"), ElementsAre(std::string(200, 'x')));
}

TEST_F(StreamStoreTest, OneStreamThatFailsCostsTheOthersNothing) {
  ASSERT_TRUE(store_->create({.name = "a", .flush_on_write = true}));
  ASSERT_TRUE(store_->create({.name = "b", .flush_on_write = true}));
  ASSERT_TRUE(store_->append("a", "one", 1));
  ASSERT_TRUE(store_->append("b", "two", 1));
  files_.fail_at(files_.operations().size(), EIO);
  const auto failed = store_->commit();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_TRUE(failed.contains("a"));
  EXPECT_THAT(payloads("a"), ElementsAre());
  EXPECT_THAT(payloads("b"), ElementsAre("two"));
  append("a", "again");
  EXPECT_THAT(payloads("a"), ElementsAre("again"));
}

TEST_F(StreamStoreTest, ADefinitionThatIsDamagedIsReportedAndNothingIsRemoved) {
  ASSERT_TRUE(store_->create({.name = "s", .flush_on_write = true}));
  append("s", "kept");
  const std::string directory = "/streams/" + files_.list("/streams")->front();
  const std::string good = *io::read_file(files_, directory + "/definition.json");
  ASSERT_TRUE(io::write_file_atomic(files_, directory + "/definition.json", "{"));
  open();
  ASSERT_EQ(store_->recoveries().size(), 1u);
  EXPECT_THAT(store_->list(), ElementsAre());
  EXPECT_EQ(store_->create({.name = "s"}).error().code(), Code::kAlreadyExists);
  ASSERT_TRUE(io::write_file_atomic(files_, directory + "/definition.json", good));
  open();
  EXPECT_THAT(payloads("s"), ElementsAre("kept"));
}

// Power goes at each write of making and removing a stream: it is there as a whole or not at all.
TEST_F(StreamStoreTest, MakingAndRemovingAStreamIsWhole) {
  for (size_t at = 0;; ++at) {
    io::FaultFiles files;
    bool made = false, removed = false;
    files.crash_at(at);
    if (auto store = StreamStore::open(files, "/streams", {.reserve_bytes = 0})) {
      made = (*store)->create({.name = "s", .flush_on_write = true}).has_value();
      const bool appended = made && (*store)->append("s", "x", 1) && (*store)->commit().empty();
      removed = appended && (*store)->remove("s").has_value();
    }
    const bool whole = !files.crashed();
    files.reboot(io::CrashPolicy::kSeeded, at);
    auto store = StreamStore::open(files, "/streams", {.reserve_bytes = 0});
    ASSERT_TRUE(store) << at;
    for (const auto& found : (*store)->recoveries()) {
      // The append itself may have been cut short.
      EXPECT_THAT(found.what, testing::HasSubstr("unfinished append")) << at;
    }
    if (removed) EXPECT_TRUE((*store)->list().empty()) << at;
    if ((*store)->list().empty()) EXPECT_TRUE((*store)->create({.name = "s"})) << at;
    EXPECT_TRUE((*store)->append("s", "x", 1)) << at;
    EXPECT_TRUE((*store)->commit().empty()) << at;
    if (whole) break;
  }
}

}  // namespace
}  // namespace skerry::streams
