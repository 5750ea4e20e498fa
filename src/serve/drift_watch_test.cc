// Features out of tensors, windows of requests, and references that do not fit a model.
#include "serve/drift_watch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>

namespace skerry::serve {
namespace {

using tensor::DataType;
using tensor::Tensor;
using tensor::TensorSpec;

const std::vector<TensorSpec> kInputs = {{"x", DataType::kFp32, {-1, 3}},
                                         {"x2", DataType::kInt32, {4}}};
const std::vector<TensorSpec> kOutputs = {{"y", DataType::kFp64, {-1, 1}}};

template <class T>
Tensor tensor_of(std::string name, DataType type, std::vector<int64_t> shape,
                 std::vector<T> values) {
  Tensor tensor;
  tensor.name = std::move(name);
  tensor.type = type;
  tensor.shape = std::move(shape);
  tensor.bytes.resize(values.size() * sizeof(T));
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

monitor::Reference reference_of(const std::vector<std::string>& names) {
  monitor::Reference reference;
  for (const std::string& name : names) {
    reference.features.push_back(*monitor::make_feature(name, {0, 1, 2, 3, 4, 5, 6, 7}));
  }
  return reference;
}

TEST(DriftWatch, FeaturesAreReadFromTensors) {
  const std::vector<std::string> names = {"x[0]",  "x[2]",         "x.mean", "x.max",
                                          "x2[3]", "x2.deviation", "y",      "x[9]"};
  auto watch = *DriftWatch::make(reference_of(names), kInputs, kOutputs, {.items = 2});
  const std::vector<Tensor> inputs = {
      tensor_of<float>("x", DataType::kFp32, {2, 3}, {1, 2, 3, 4, 5, 9}),
      tensor_of<int32_t>("x2", DataType::kInt32, {4}, {1, 1, 5, 5})};
  auto rows = watch->look_at(inputs);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0][0], 1);
  EXPECT_EQ(rows[1][1], 9);
  EXPECT_EQ(rows[0][2], 2);
  EXPECT_EQ(rows[1][3], 9);
  EXPECT_EQ(rows[0][4], 5);
  EXPECT_EQ(rows[0][5], 2);
  EXPECT_TRUE(std::isnan(rows[1][4]));  // it has no rows
  EXPECT_TRUE(std::isnan(rows[0][6]));  // not yet
  EXPECT_TRUE(std::isnan(rows[0][7]));  // there is no such element
  const std::vector<Tensor> outputs = {tensor_of<double>("y", DataType::kFp64, {2, 1}, {0.5, 7})};
  EXPECT_TRUE(watch->add(std::move(rows), outputs, 0));
  const auto answer = nlohmann::json::parse(watch->to_json());
  EXPECT_EQ(answer["windows"], 1);
  EXPECT_EQ(answer["features"][6]["count"], 2);
  EXPECT_EQ(answer["features"][7]["missing"], 1);
}

TEST(DriftWatch, AReferenceThatDoesNotFitIsRefused) {
  for (const char* name : {"z", "x[", "x[]", "x[a]", "x.median", "xx", "y[-1]"}) {
    const auto watch = DriftWatch::make(reference_of({name}), kInputs, kOutputs, {});
    ASSERT_FALSE(watch) << name;
    EXPECT_NE(watch.error().message().find(name), std::string::npos);
  }
}

TEST(DriftWatch, ManyRowsAreLookedAtInPart) {
  auto watch = *DriftWatch::make(reference_of({"x[0]"}), kInputs, kOutputs, {});
  const std::vector<Tensor> inputs = {
      tensor_of<float>("x", DataType::kFp32, {1000, 3}, std::vector<float>(3000, 1))};
  EXPECT_EQ(watch->look_at(inputs).size(), 64u);
  EXPECT_EQ(watch->look_at({}).size(), 1u);
}

TEST(DriftWatch, AShiftIsNamed) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<double> values(5000);
  for (double& value : values) value = normal(random);
  monitor::Reference reference{
      {*monitor::make_feature("x[0]", values), *monitor::make_feature("x[1]", values)}};
  auto watch = *DriftWatch::make(reference, kInputs, kOutputs, {.items = 500});
  const auto window = [&](float shift) {
    for (bool is_full = false; !is_full;) {
      const std::vector<Tensor> inputs = {tensor_of<float>(
          "x", DataType::kFp32, {1, 3}, {normal(random), normal(random) + shift, 0})};
      is_full = watch->add(watch->look_at(inputs), {}, 0);
    }
    return watch->drifted();
  };
  EXPECT_TRUE(window(0).empty());
  EXPECT_EQ(window(1), std::vector<std::string>{"x[1]"});
}

}  // namespace
}  // namespace skerry::serve
