// Names, sizes, request matching and the BYTES layout.
#include "tensor/tensor.h"
#include "tensor/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace skerry::tensor {
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
  Bytes bytes;
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

TEST(Tensor, OwnBytesAreAligned) {
  for (const size_t size : {1u, 7u, 64u, 100'000u}) {
    const Bytes bytes(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % kAlignment, 0u) << size;
  }
}

TEST(Tensor, HalvesAreRoundedToTheNearest) {
  const std::vector<std::pair<double, uint16_t>> cases = {
      {0.0, 0x0000},     {-0.0, 0x8000},    {1.0, 0x3c00},     {-2.0, 0xc000},
      {0.1, 0x2e66},     {65504, 0x7bff},   {65519, 0x7bff},   {65520, 0x7c00},
      {-1e300, 0xfc00},  {0x1p-14, 0x0400}, {0x1p-24, 0x0001}, {0x1p-25, 0x0000},
      {0x1.8p-25, 0x1},  {2049, 0x6800},    {2051, 0x6802},    {0x1.ff8p-15, 0x03ff},
      {INFINITY, 0x7c00}};
  for (const auto& [value, bits] : cases) EXPECT_EQ(half_bits(value), bits) << value;
  EXPECT_EQ(half_bits(NAN), 0x7e00);
}

TEST(Tensor, HalvesAndBfloatsGoBothWays) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if (!std::isnan(from_half_bits(half))) {
      EXPECT_EQ(half_bits(from_half_bits(half)), half);
    }
    if (!std::isnan(from_bfloat16_bits(half))) {
      EXPECT_EQ(bfloat16_bits(from_bfloat16_bits(half)), half);
    }
  }
  EXPECT_EQ(bfloat16_bits(NAN), 0x7fc0);
  EXPECT_EQ(bfloat16_bits(1.00390625), 0x3f80);  // halfway: to even
  EXPECT_EQ(bfloat16_bits(1.01171875), 0x3f82);
}

// What the protocol does not carry is known by name, but no contract and no request may have it.
TEST(Tensor, GraphTypesAreNotTheProtocols) {
  for (const char* name : {"BF16", "INT4", "UINT4"}) {
    ASSERT_TRUE(find_data_type(name)) << name;
    EXPECT_FALSE(parse_data_type(name)) << name;
  }
  EXPECT_EQ(all_data_types().size(), 13u);
  EXPECT_EQ(byte_size(DataType::kInt4, 5).value(), 3u);
  EXPECT_EQ(byte_size(DataType::kFp64, 5).value(), 40u);
  EXPECT_FALSE(byte_size(DataType::kFp64, SIZE_MAX / 4));
}

TEST(Npy, GoesBothWaysAndIsWhatNumpyWrites) {
  const Tensor tensor{"", DataType::kInt16, {2, 1}, Bytes(4, std::byte{7})};
  const auto file = to_npy(tensor.view());
  ASSERT_TRUE(file);
  EXPECT_EQ(file->size() % 64, 4u);
  EXPECT_THAT(*file, HasSubstr("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 1, ), }"));
  const auto again = parse_npy(*file);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->shape, tensor.shape);
  EXPECT_EQ(again->bytes, tensor.bytes);
}

TEST(Npy, DamageIsRefused) {
  const Tensor tensor{"", DataType::kFp64, {}, Bytes(8)};
  const std::string file = *to_npy(tensor.view());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(parse_npy(std::string_view(file).substr(0, size))) << size;
  }
  const auto with = [&](std::string_view old, std::string_view now) {
    std::string changed = file;
    changed.replace(changed.find(old), now.size(), now);
    const auto parsed = parse_npy(changed);
    return parsed ? "was accepted" : parsed.error().message();
  };
  EXPECT_THAT(with("()", "(9)"), testing::AnyOf(HasSubstr("it has 8"), HasSubstr("header")));
  EXPECT_THAT(with("<f8", ">f8"), HasSubstr("'>f8'"));
  EXPECT_THAT(with("False", "True,"), HasSubstr("Fortran"));
}

}  // namespace
}  // namespace skerry::tensor
