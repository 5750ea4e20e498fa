// Names, sizes, request matching and the BYTES layout.
#include "runtime/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skerry::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Tensor, NamesGoBothWays) {
  for (const std::string name : {"BOOL", "INT8", "UINT64", "FP16", "FP32", "FP64", "BYTES"}) {
    const auto type = parse_data_type(name);
    ASSERT_TRUE(type);
    EXPECT_EQ(name_of(*type), name);
  }
  EXPECT_EQ(size_of(DataType::kFp16), 2u);
  EXPECT_EQ(size_of(DataType::kBytes), 0u);
  EXPECT_THAT(parse_data_type("FLOAT").error().message(), HasSubstr("FP32"));
}

TEST(Tensor, ElementCountRefusesNegativeAndHugeShapes) {
  const auto count = [](std::vector<int64_t> shape) { return element_count(shape); };
  EXPECT_EQ(*count({}), 1u);
  EXPECT_EQ(*count({2, 0, 3}), 0u);
  EXPECT_EQ(*count({2, 3}), 6u);
  EXPECT_EQ(count({2, -1}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(count({INT64_MAX, INT64_MAX}).error().code(), Code::kInvalidArgument);
}

TEST(Tensor, MatchedInputsFollowTheSpecs) {
  const std::vector<TensorSpec> specs = {{"a", DataType::kInt8, {-1}}, {"b", DataType::kInt8, {2}}};
  const std::vector<int64_t> three = {3};
  const std::vector<int64_t> two = {2};
  const std::array<std::byte, 3> bytes{};
  const std::vector<TensorView> views = {{"b", DataType::kInt8, two, std::span(bytes).first(2)},
                                         {"a", DataType::kInt8, three, bytes}};
  const auto matched = match_inputs(specs, views);
  ASSERT_TRUE(matched) << matched.error().message();
  EXPECT_THAT(*matched, ElementsAre(&views[1], &views[0]));
}

TEST(Tensor, ByteCountIsCheckedWithoutOverflow) {
  const std::vector<TensorSpec> specs = {{"a", DataType::kFp64, {-1}}};
  const std::vector<int64_t> huge = {int64_t{1} << 61};  // times 8 bytes is 2^64
  const std::vector<TensorView> views = {{"a", DataType::kFp64, huge, {}}};
  EXPECT_EQ(match_inputs(specs, views).error().code(), Code::kInvalidArgument);
}

TEST(Tensor, BytesElementsGoBothWays) {
  std::vector<std::byte> bytes;
  append_bytes(bytes, "one");
  append_bytes(bytes, "");
  append_bytes(bytes, std::string_view("\0z", 2));
  const auto elements = split_bytes(bytes, 3);
  ASSERT_TRUE(elements) << elements.error().message();
  EXPECT_THAT(*elements, ElementsAre("one", "", std::string_view("\0z", 2)));

  EXPECT_THAT(split_bytes(bytes, 2).error().message(), HasSubstr("says 2 elements"));
  const std::span<const std::byte> all = bytes;
  EXPECT_THAT(split_bytes(all.first(all.size() - 1), 3).error().message(),
              HasSubstr("says 2 bytes, 1 are left"));
  EXPECT_FALSE(split_bytes(all.first(3), 1));
  EXPECT_TRUE(split_bytes({}, 0));
  EXPECT_FALSE(split_bytes({}, SIZE_MAX));
}

}  // namespace
}  // namespace skerry::runtime
