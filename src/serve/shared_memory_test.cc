// Regions against clients that mean no good: names, sizes, owners, objects that change.
#include "serve/shared_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace skerry::serve {
namespace {

using testing::HasSubstr;

// An object of shared memory of this test alone.
class Object {
 public:
  explicit Object(off_t size, const char* what = "object")
      : name_("/skerry-" + std::to_string(::getpid()) + "-" + what),
        fd_(::shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600)) {
    resize(size);
  }
  ~Object() { ::shm_unlink(name_.c_str()); }
  const std::string& name() const { return name_; }
  void resize(off_t size) const { ASSERT_EQ(::ftruncate(fd_.get(), size), 0); }
  void write(const std::string& text) const {
    ASSERT_EQ(::pwrite(fd_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  std::string read(size_t size) const {
    std::string text(size, '\0');
    const ssize_t got = ::pread(fd_.get(), text.data(), size, 0);
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return text;
  }

 private:
  std::string name_;
  io::Fd fd_;
};

class SharedMemoryTest : public testing::Test {
 protected:
  static net::Peer unix_client(int64_t uid) { return {.address = "unix", .uid = uid}; }
  static net::Peer tcp_client(const std::string& address) { return {.address = address}; }

  Result<void> add(const std::string& name, const std::string& key, uint64_t offset,
                   uint64_t size) {
    return memory_.add(name, key, offset, size, unix_client(::geteuid()));
  }
  std::string refusal(const std::string& key, uint64_t offset, uint64_t size) {
    const auto added = add("r", key, offset, size);
    return added ? "was accepted" : added.error().message();
  }
  static std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
  }

  Object object_{64};
  SharedMemory memory_{1024};
};

TEST_F(SharedMemoryTest, ReadsAndWritesWithinItsRange) {
  object_.write("0123456789");
  ASSERT_TRUE(add("r", object_.name(), 2, 8));
  const auto region = memory_.find("r");
  ASSERT_TRUE(region);
  tensor::Bytes bytes;
  ASSERT_TRUE((*region)->read({"r", 3, 4}, bytes));
  EXPECT_EQ(std::memcmp(bytes.data(), "5678", 4), 0);
  ASSERT_TRUE((*region)->write({"r", 1, 4}, bytes_of("ab")));
  EXPECT_EQ(object_.read(10), "012ab56789");
}

TEST_F(SharedMemoryTest, TakesKeysWithAndWithoutASlash) {
  EXPECT_TRUE(add("with", object_.name(), 0, 64));
  EXPECT_TRUE(add("without", object_.name().substr(1), 0, 64));
  EXPECT_EQ(memory_.regions().size(), 2u);
}

TEST_F(SharedMemoryTest, RefusesWhatIsNotThere) {
  EXPECT_THAT(refusal("/skerry-nothing", 0, 1), HasSubstr("skerry-nothing"));
  for (const std::string key : {"", "/", "/..", ".", "/../etc/passwd", "a/b", "//a"}) {
    EXPECT_THAT(refusal(key, 0, 1), HasSubstr("'key' must be")) << key;
  }
  EXPECT_THAT(refusal(std::string("a\0b", 3), 0, 1), HasSubstr("'key' must be"));
  EXPECT_THAT(refusal(std::string(300, 'a'), 0, 1), HasSubstr("'key' must be"));
  EXPECT_EQ(memory_.regions().size(), 0u);
  EXPECT_FALSE(memory_.find("r"));
}

TEST_F(SharedMemoryTest, RefusesSizesThatTheObjectDoesNotHave) {
  constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
  EXPECT_THAT(refusal(object_.name(), 0, 0), HasSubstr("'byte_size' must be 1"));
  for (const auto& [offset, size] : std::vector<std::pair<uint64_t, uint64_t>>{{0, 65},
                                                                               {64, 1},
                                                                               {65, 1},
                                                                               {1, 64},
                                                                               {kHuge, 1},
                                                                               {kHuge, kHuge},
                                                                               {1, kHuge},
                                                                               {0, kHuge}}) {
    EXPECT_THAT(refusal(object_.name(), offset, size), HasSubstr("holds 64 bytes"))
        << offset << " " << size;
  }
}

TEST_F(SharedMemoryTest, RefusesRangesOutsideOfTheRegion) {
  constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
  ASSERT_TRUE(add("r", object_.name(), 0, 16));
  for (const auto& [offset, size] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 17}, {16, 1}, {17, 0}, {1, kHuge}, {kHuge, 1}, {kHuge, 2}}) {
    DecodedRequest request;
    request.shared_inputs.push_back({0, {"r", offset, size}});
    EXPECT_FALSE(find_regions(memory_, request)) << offset << " " << size;
    request.shared_inputs.clear();
    request.form.outputs.push_back({.shared = SharedRange{"r", offset, size}});
    EXPECT_FALSE(find_regions(memory_, request)) << offset << " " << size;
  }
}

TEST_F(SharedMemoryTest, AnObjectThatWasCutShortIsAnErrorNotACrash) {
  ASSERT_TRUE(add("r", object_.name(), 0, 64));
  const auto region = memory_.find("r");
  object_.resize(8);
  tensor::Bytes bytes;
  const auto read = (*region)->read({"r", 0, 64}, bytes);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message(), HasSubstr("has become shorter"));
  const auto written = (*region)->write({"r", 0, 64}, bytes_of(std::string(64, 'x')));
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(), HasSubstr("has become shorter"));
  EXPECT_EQ(object_.read(64).size(), 8u);
}

TEST_F(SharedMemoryTest, OnlyForClientsOfThisMachineAndTheirOwnObjects) {
  const auto code = [&](const net::Peer& client) {
    const auto added = memory_.add("r", object_.name(), 0, 64, client);
    memory_.remove("r");
    return added ? std::nullopt : std::optional(added.error().code());
  };
  const auto uid = static_cast<int64_t>(::geteuid());
  EXPECT_EQ(code(unix_client(uid)), std::nullopt);
  EXPECT_EQ(code(unix_client(0)), std::nullopt);
  EXPECT_EQ(code(unix_client(uid + 1)), Code::kPermissionDenied);
  EXPECT_EQ(code(unix_client(-1)), Code::kPermissionDenied);
  EXPECT_EQ(code(tcp_client("127.0.0.1:5")), std::nullopt);
  EXPECT_EQ(code(tcp_client("[::1]:5")), std::nullopt);
  EXPECT_EQ(code(tcp_client("[::ffff:127.0.0.1]:5")), std::nullopt);
  EXPECT_EQ(code(tcp_client("10.0.0.127:5")), Code::kPermissionDenied);
  EXPECT_EQ(code(tcp_client("[fe80::1]:5")), Code::kPermissionDenied);
  EXPECT_EQ(code(tcp_client("")), Code::kPermissionDenied);
}

TEST_F(SharedMemoryTest, NamesAreTakenOnceAndLimited) {
  ASSERT_TRUE(add("r", object_.name(), 0, 64));
  EXPECT_EQ(add("r", object_.name(), 0, 32).error().code(), Code::kAlreadyExists);
  EXPECT_FALSE(add("", object_.name(), 0, 64));
  EXPECT_FALSE(add(std::string(256, 'n'), object_.name(), 0, 64));
  memory_.remove("nothing");
  memory_.remove("r");
  size_t count = 0;
  while (count < 5000 && add("n" + std::to_string(count), object_.name(), 0, 64)) ++count;
  EXPECT_EQ(count, 1024u);
  memory_.clear();
  EXPECT_TRUE(add("r", object_.name(), 0, 64));
}

TEST_F(SharedMemoryTest, WhatIsInMemoryHasALimit) {
  EXPECT_EQ(memory_.reserve(1025).error().code(), Code::kInvalidArgument);
  auto most = memory_.reserve(1000);
  ASSERT_TRUE(most);
  EXPECT_EQ(memory_.reserve(25).error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(memory_.reserve(24));
  most->reset();
  EXPECT_TRUE(memory_.reserve(1024));
}

TEST_F(SharedMemoryTest, AnObjectThatMayOnlyBeReadTakesNoOutput) {
  ASSERT_TRUE(add("r", object_.name(), 0, 64));
  SharedRegion read_only{.key = object_.name(), .offset = 0, .size_bytes = 64, .writable = false};
  read_only.object = io::Fd(::shm_open(object_.name().c_str(), O_RDONLY, 0));
  tensor::Bytes bytes;
  EXPECT_TRUE(read_only.read({"r", 0, 8}, bytes));
  EXPECT_FALSE(read_only.write({"r", 0, 8}, bytes_of("x")));
}

}  // namespace
}  // namespace skerry::serve
