// Scores ranked: rows, ties, NaN, types.
#include "serve/classification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

namespace skerry::serve {
namespace {

using tensor::DataType;
using testing::ElementsAre;

template <class T>
tensor::Tensor scores(DataType type, std::vector<int64_t> shape, const std::vector<T>& values) {
  tensor::Tensor result{"y", type, std::move(shape), tensor::Bytes(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(result.bytes.data(), values.data(), result.bytes.size());
  return result;
}

struct Ranked {
  std::vector<int64_t> shape;
  std::vector<std::string> texts;
};

Ranked rank(const tensor::Tensor& tensor, std::vector<int64_t> contract, uint64_t classes) {
  const auto result = classify(tensor, {"y", tensor.type, std::move(contract)}, classes);
  EXPECT_TRUE(result) << result.error().message();
  if (!result) return {};
  EXPECT_EQ(result->type, DataType::kBytes);
  const auto texts = tensor::split_bytes(result->bytes, *tensor::element_count(result->shape));
  EXPECT_TRUE(texts);
  return {result->shape, {texts->begin(), texts->end()}};
}

TEST(Classification, TheBestFirstTiesInOrderAndNanLast) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto ranked =
      rank(scores<float>(DataType::kFp32, {5}, {0.25f, nan, 0.5f, 0.25f, -1.0f}), {5}, 9);
  EXPECT_THAT(ranked.shape, ElementsAre(5));
  EXPECT_THAT(ranked.texts,
              ElementsAre("0.500000:2", "0.250000:0", "0.250000:3", "-1.000000:4", "nan:1"));
}

TEST(Classification, EveryRowOfAFreeFirstDimension) {
  const auto tensor = scores<int8_t>(DataType::kInt8, {2, 3}, {1, 3, 2, -5, -7, -6});
  const auto rows = rank(tensor, {-1, 3}, 2);
  EXPECT_THAT(rows.shape, ElementsAre(2, 2));
  EXPECT_THAT(rows.texts, ElementsAre("3:1", "2:2", "-5:0", "-6:2"));
  const auto whole = rank(tensor, {2, 3}, 2);
  EXPECT_THAT(whole.shape, ElementsAre(2));
  EXPECT_THAT(whole.texts, ElementsAre("3:1", "2:2"));
}

TEST(Classification, OfNothing) {
  const auto none = rank(scores<double>(DataType::kFp64, {0, 3}, {}), {-1, 3}, 2);
  EXPECT_THAT(none.shape, ElementsAre(0, 0));
  EXPECT_THAT(none.texts, ElementsAre());
  const auto scalar = rank(scores<uint64_t>(DataType::kUint64, {}, {7}), {}, 1);
  EXPECT_THAT(scalar.texts, ElementsAre("7:0"));
}

TEST(Classification, OnlyNumbersHaveOne) {
  for (const DataType type : {DataType::kBool, DataType::kFp16, DataType::kBytes}) {
    const auto result = classify({"y", type, {0}, {}}, {"y", type, {-1}}, 1);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Code::kUnsupported);
  }
}

}  // namespace
}  // namespace skerry::serve
