// Rows put together and taken apart.
#include "serve/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace skerry::serve {
namespace {

using tensor::DataType;
using tensor::Tensor;

Tensor floats(const std::string& name, std::vector<int64_t> shape,
              const std::vector<float>& values) {
  Tensor result{name, DataType::kFp32, std::move(shape), tensor::Bytes(values.size() * 4)};
  if (!values.empty()) std::memcpy(result.bytes.data(), values.data(), result.bytes.size());
  return result;
}

Tensor texts(std::vector<int64_t> shape, const std::vector<std::string>& values) {
  Tensor result{"t", DataType::kBytes, std::move(shape), {}};
  for (const std::string& value : values) tensor::append_bytes(result.bytes, value);
  return result;
}

TEST(Batch, WhatIsMergedComesApartAgain) {
  const std::vector<Tensors> requests = {
      {floats("a", {1, 2}, {1, 2}), texts({1}, {"one"})},
      {floats("a", {3, 2}, {3, 4, 5, 6, 7, 8}), texts({3}, {"", "three", "four"})},
      {floats("a", {2, 2}, {9, 10, 11, 12}), texts({2}, {"five", "six"})}};
  const std::vector<const Tensors*> parts = {&requests[0], &requests[1], &requests[2]};
  const Tensors merged = merge_rows(parts);
  ASSERT_EQ(merged.size(), 2u);
  EXPECT_THAT(merged[0].shape, testing::ElementsAre(6, 2));
  EXPECT_THAT(merged[1].shape, testing::ElementsAre(6));
  const auto apart = split_rows(merged, std::vector<int64_t>{1, 3, 2});
  ASSERT_TRUE(apart) << apart.error().message();
  for (size_t i = 0; i < requests.size(); ++i) {
    for (size_t t = 0; t < 2; ++t) {
      EXPECT_EQ((*apart)[i][t].shape, requests[i][t].shape);
      EXPECT_EQ((*apart)[i][t].bytes, requests[i][t].bytes) << i << " " << t;
    }
  }
}

TEST(Batch, OutputsOfOtherRowsAreRefused) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{2}, {}, {4}}) {
    const Tensors outputs = {{"y", DataType::kInt8, shape, tensor::Bytes(4)}};
    const auto apart = split_rows(outputs, std::vector<int64_t>{1, 2});
    ASSERT_FALSE(apart);
    EXPECT_EQ(apart.error().code(), Code::kInternal);
  }
}

TEST(Batch, FormAndRows) {
  const Tensors one = {floats("a", {1, 2}, {1, 2})};
  EXPECT_TRUE(is_same_form(one, Tensors{floats("a", {2, 2}, {1, 2, 3, 4})}));
  EXPECT_FALSE(is_same_form(one, Tensors{floats("a", {1, 3}, {1, 2, 3})}));
  EXPECT_FALSE(is_same_form(one, Tensors{floats("b", {1, 2}, {1, 2})}));
  EXPECT_FALSE(is_same_form(one, Tensors{}));
  EXPECT_EQ(rows_of(one), 1);
  EXPECT_EQ(rows_of(Tensors{floats("a", {0, 2}, {})}), std::nullopt);
  EXPECT_EQ(rows_of(Tensors{floats("a", {}, {1})}), std::nullopt);
  EXPECT_EQ(rows_of(Tensors{floats("a", {1}, {1}), floats("b", {2}, {1, 2})}), std::nullopt);
}

TEST(Batch, InputsAreSortedByTheContract) {
  const std::vector<tensor::TensorSpec> specs = {{"a", DataType::kFp32, {-1}},
                                                 {"b", DataType::kFp32, {-1}}};
  Tensors inputs = {floats("b", {1}, {2}), floats("a", {1}, {1})};
  ASSERT_TRUE(sort_inputs(specs, inputs));
  EXPECT_EQ(inputs[0].name, "a");
  EXPECT_EQ(inputs[1].name, "b");
  inputs.pop_back();
  EXPECT_FALSE(sort_inputs(specs, inputs));
}

}  // namespace
}  // namespace skerry::serve
