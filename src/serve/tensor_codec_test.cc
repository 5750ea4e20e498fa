// Requests read and answers written, JSON and binary, right and wrong.
#include "serve/tensor_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "tensor/tensor.h"

namespace skerry::serve {
namespace {

using nlohmann::json;
using tensor::DataType;
using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
std::vector<T> values_of(std::span<const std::byte> bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

template <class T>
tensor::Tensor tensor(DataType type, std::vector<int64_t> shape, const std::vector<T>& values) {
  tensor::Tensor result{"y", type, std::move(shape), {}};
  result.bytes.resize(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(result.bytes.data(), values.data(), result.bytes.size());
  return result;
}

Result<DecodedRequest> decode(const std::string& body, std::optional<size_t> json_bytes = {}) {
  return decode_request(body, json_bytes);
}

// The request with one input of this datatype, shape and data.
std::string one_input(const std::string& datatype, const std::string& shape,
                      const std::string& data) {
  return R"({"inputs":[{"name":"x","datatype":")" + datatype + R"(","shape":)" + shape +
         R"(,"data":)" + data + "}]}";
}

template <class T>
std::vector<T> decoded(const std::string& datatype, const std::string& data) {
  const auto count = json::parse(data).size();
  const auto request = decode(one_input(datatype, "[" + std::to_string(count) + "]", data));
  EXPECT_TRUE(request) << request.error().message();
  return request ? values_of<T>(request->inference.inputs[0].bytes) : std::vector<T>{};
}

std::string refusal(const std::string& body, std::optional<size_t> json_bytes = {}) {
  const auto request = decode(body, json_bytes);
  return request ? "was accepted" : request.error().message();
}

TEST(Decode, ReadsEveryTypeFromJson) {
  EXPECT_THAT(decoded<int8_t>("INT8", "[-128,127]"), ElementsAre(-128, 127));
  EXPECT_THAT(decoded<uint16_t>("UINT16", "[0,65535]"), ElementsAre(0, 65535));
  EXPECT_THAT(decoded<int64_t>("INT64", "[-9223372036854775808,9223372036854775807]"),
              ElementsAre(INT64_MIN, INT64_MAX));
  EXPECT_THAT(decoded<uint64_t>("UINT64", "[18446744073709551615]"), ElementsAre(UINT64_MAX));
  EXPECT_THAT(decoded<float>("FP32", "[1,-2.5,1e-3]"), ElementsAre(1, -2.5f, 1e-3f));
  EXPECT_THAT(decoded<double>("FP64", "[0.1]"), ElementsAre(0.1));
  EXPECT_THAT(decoded<uint8_t>("BOOL", "[true,false]"), ElementsAre(1, 0));
}

TEST(Decode, ReadsStringsNestedArraysAndMembersInAnyOrder) {
  auto request = decode(R"({"outputs":[{"name":"y","parameters":{"binary_data":true}},{"name":"z"}],
      "inputs":[{"data":[["a","é"],["","\u0001"]],"shape":[2,2],"datatype":"BYTES","name":"x"}],
      "parameters":{"binary_data_output":true,"priority":2,"mine":[3]},"id":"n 7","unknown":null})");
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ(request->form.id, "n 7");
  EXPECT_TRUE(request->form.binary_output);
  EXPECT_EQ(request->inference.priority, 2u);
  EXPECT_THAT(request->inference.outputs, ElementsAre("y", "z"));
  ASSERT_EQ(request->form.outputs.size(), 2u);
  EXPECT_EQ(request->form.outputs[0].binary, true);
  EXPECT_EQ(request->form.outputs[1].binary, std::nullopt);
  const auto view = request->inference.inputs[0].view();
  EXPECT_EQ(tensor::describe(view.type, view.shape), "BYTES[2,2]");
  EXPECT_THAT(*tensor::split_bytes(view.bytes, 4), ElementsAre("a", "é", "", "\x01"));
}

TEST(Decode, TakesBinaryTensorsInOrderBesideJson) {
  const std::string head = R"({"inputs":[
      {"name":"a","datatype":"INT16","shape":[2],"parameters":{"binary_data_size":4}},
      {"name":"b","datatype":"INT8","shape":[1],"data":[5]},
      {"name":"c","datatype":"INT8","shape":[3],"parameters":{"binary_data_size":3}}]})";
  const std::string body = head + std::string("\x01\x00\xff\xff\x07\x08\x09", 7);
  auto request = decode(body, head.size());
  ASSERT_TRUE(request) << request.error().message();
  const auto& views = request->inference.inputs;
  EXPECT_THAT(values_of<int16_t>(views[0].bytes), ElementsAre(1, -1));
  EXPECT_THAT(values_of<int8_t>(views[1].bytes), ElementsAre(5));
  EXPECT_THAT(values_of<int8_t>(views[2].bytes), ElementsAre(7, 8, 9));
  for (const auto& view : views) {  // wherever they stood in the body
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.bytes.data()) % tensor::kAlignment, 0u);
  }

  EXPECT_EQ(refusal(body + "!", head.size()), "1 bytes of the body belong to no input");
  EXPECT_EQ(refusal(body.substr(0, body.size() - 1), head.size()),
            "input 'c': 'binary_data_size' is 3, 2 bytes are left in the body");
  EXPECT_THAT(refusal(body, body.size() + 1), HasSubstr("Inference-Header-Content-Length is"));
}

TEST(Decode, SaysWhatIsWrong) {
  EXPECT_THAT(refusal(""), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal("[1]"), HasSubstr("not a JSON object"));
  EXPECT_EQ(refusal("{}"), "'inputs' is missing; it must be an array");
  EXPECT_EQ(refusal(R"({"inputs":7})"), "'inputs' must be an array");
  EXPECT_EQ(refusal(R"({"inputs":[7]})"), "'inputs' must be an array of objects");
  EXPECT_EQ(refusal(R"({"inputs":[{}]})"), "'name' is missing; it must be a string");
  EXPECT_THAT(refusal(one_input("FLOAT", "[1]", "[1]")),
              HasSubstr("input 'x': unknown datatype 'FLOAT'; use one of BOOL"));
  EXPECT_EQ(refusal(one_input("INT8", "[2]", "[1]")),
            "input 'x': 'data' has 1 elements, its shape says 2");
  EXPECT_EQ(refusal(one_input("INT8", "[1]", "[1,2]")),
            "input 'x': 'data' has more elements than the 1 of its shape");
  EXPECT_EQ(refusal(one_input("INT8", "[2]", "[1,128]")),
            "input 'x': element 1 of 'data' must be an integer in its range for INT8");
  EXPECT_THAT(refusal(one_input("UINT8", "[1]", "[-1]")), HasSubstr("in its range"));
  EXPECT_THAT(refusal(one_input("INT32", "[1]", "[1.5]")), HasSubstr("an integer"));
  EXPECT_THAT(refusal(one_input("FP32", "[1]", "[1e39]")), HasSubstr("in its range"));
  EXPECT_THAT(refusal(one_input("FP32", "[1]", "[\"1\"]")), HasSubstr("a number"));
  EXPECT_THAT(refusal(one_input("BOOL", "[1]", "[1]")), HasSubstr("true or false"));
  EXPECT_THAT(refusal(one_input("BYTES", "[1]", "[1]")), HasSubstr("a string"));
  EXPECT_THAT(refusal(one_input("FP16", "[1]", "[1]")), HasSubstr("send it as binary data"));
  EXPECT_THAT(refusal(one_input("INT8", "[-1]", "[1]")), HasSubstr("'shape' must hold integers"));
  EXPECT_THAT(refusal(one_input("INT8", "[9223372036854775807,3]", "[1]")), HasSubstr("too many"));
  EXPECT_THAT(refusal(one_input("FP64", "[1000000000000]", "[1]")), HasSubstr("has fewer"));
  EXPECT_THAT(refusal(one_input("INT8", "[1]", std::string(99, '[') + std::string(99, ']'))),
              HasSubstr("nested too deep"));
  EXPECT_THAT(refusal(R"({"inputs":[{"name":"x","datatype":"INT8","shape":[1]}]})"),
              HasSubstr("it has no 'data'"));
}

TEST(Decode, ReadsWhereTensorsLieInSharedMemory) {
  const auto request = decode(R"({"inputs":[
      {"name":"a","datatype":"INT8","shape":[1],"data":[1]},
      {"parameters":{"shared_memory_offset":8,"shared_memory_byte_size":4,
                     "shared_memory_region":"in"},"name":"b","datatype":"FP32","shape":[1]}],
      "outputs":[{"name":"y","parameters":{"shared_memory_region":"out",
                                           "shared_memory_byte_size":16,"binary_data":true}},
                 {"name":"z","parameters":{"classification":3}}]})");
  ASSERT_TRUE(request) << request.error().message();
  ASSERT_EQ(request->shared_inputs.size(), 1u);
  EXPECT_EQ(request->shared_inputs[0].input, 1u);
  EXPECT_EQ(request->shared_inputs[0].range, (SharedRange{"in", 8, 4}));
  EXPECT_EQ(request->form.outputs[0].shared, (SharedRange{"out", 0, 16}));
  EXPECT_FALSE(wants_binary(request->form, 0));
  EXPECT_EQ(request->form.outputs[1].classes, 3u);
}

TEST(Decode, RefusesHalfARangeOfSharedMemory) {
  const auto with = [](const std::string& parameters, const std::string& more = "") {
    return refusal(R"({"inputs":[{"name":"x","datatype":"INT8","shape":[1],"parameters":)" +
                   parameters + more + "}]}");
  };
  for (const char* half : {R"({"shared_memory_region":"r"})", R"({"shared_memory_byte_size":1})",
                           R"({"shared_memory_offset":1})",
                           R"({"shared_memory_region":"r","shared_memory_offset":1})"}) {
    EXPECT_THAT(with(half, R"(,"data":[1])"), HasSubstr("belong together")) << half;
  }
  const std::string whole = R"({"shared_memory_region":"r","shared_memory_byte_size":1})";
  EXPECT_THAT(with(whole, R"(,"data":[1])"), HasSubstr("and data of its own"));
  EXPECT_THAT(with(R"({"shared_memory_region":"r","shared_memory_byte_size":-1})"),
              HasSubstr("'shared_memory_byte_size' must be a number of bytes"));
  EXPECT_THAT(with(R"({"shared_memory_region":7,"shared_memory_byte_size":1})"),
              HasSubstr("'shared_memory_region' must be a region's name"));
  EXPECT_THAT(refusal(R"({"inputs":[],"outputs":[{"name":"y","parameters":{"classification":1,
                          "shared_memory_region":"r","shared_memory_byte_size":1}}]})"),
              HasSubstr("output 'y': a classification goes into the answer"));
}

AnswerForm asking(bool binary) {
  return {.id = "", .binary_output = binary, .outputs = {}};
}

json encoded(const tensor::Tensor& output) {
  const auto answer = encode_answer("m", "1", asking(false), std::span(&output, 1));
  EXPECT_TRUE(answer) << answer.error().message();
  return answer ? json::parse(answer->body)["outputs"][0] : json();
}

TEST(Encode, JsonReadsBackToTheSameValues) {
  const std::vector<float> floats = {0.1f, -0.0f, 1e-45f, std::numeric_limits<float>::max(),
                                     16777216.f};
  const auto y = encoded(tensor(DataType::kFp32, {5}, floats));
  EXPECT_EQ(y["name"], "y");
  EXPECT_EQ(y["datatype"], "FP32");
  EXPECT_EQ(y["shape"], json::array({5}));
  EXPECT_EQ(y["data"].get<std::vector<float>>(), floats);
  EXPECT_TRUE(std::signbit(y["data"][1].get<float>()));
  const std::vector<double> doubles = {0.1, 5e-324, 1.7976931348623157e308};
  EXPECT_EQ(encoded(tensor(DataType::kFp64, {3}, doubles))["data"].get<std::vector<double>>(),
            doubles);
  EXPECT_EQ(encoded(tensor<uint64_t>(DataType::kUint64, {1}, {UINT64_MAX}))["data"][0], UINT64_MAX);
  EXPECT_EQ(encoded(tensor<int8_t>(DataType::kInt8, {2}, {-128, 65}))["data"],
            json::parse("[-128,65]"));
  EXPECT_EQ(encoded(tensor<uint8_t>(DataType::kBool, {2}, {1, 0}))["data"],
            json::parse("[true,false]"));
  EXPECT_EQ(encoded(tensor<float>(DataType::kFp32, {0, 3}, {}))["data"], json::array());

  tensor::Tensor text{"y", DataType::kBytes, {2}, {}};
  tensor::append_bytes(text.bytes, "a\"\\\n\x01 é");
  tensor::append_bytes(text.bytes, "");
  EXPECT_EQ(encoded(text)["data"], json::array({"a\"\\\n\x01 é", ""}));
}

TEST(Encode, BinaryOutputsFollowInOrder) {
  AnswerForm form = asking(true);
  form.id = "q\"";
  form.outputs = {{}, {.binary = false}, {.binary = true}};
  const std::vector<tensor::Tensor> outputs = {tensor<int8_t>(DataType::kInt8, {1}, {'A'}),
                                               tensor<int8_t>(DataType::kInt8, {1}, {'B'}),
                                               tensor<int8_t>(DataType::kInt8, {2}, {'C', 'D'})};
  const auto answer = encode_answer("m", "3", form, outputs);
  ASSERT_TRUE(answer) << answer.error().message();
  ASSERT_TRUE(answer->json_bytes);
  const json head = json::parse(answer->body.substr(0, *answer->json_bytes));
  EXPECT_EQ(head["model_name"], "m");
  EXPECT_EQ(head["model_version"], "3");
  EXPECT_EQ(head["id"], "q\"");
  EXPECT_EQ(head["outputs"][0]["parameters"]["binary_data_size"], 1);
  EXPECT_EQ(head["outputs"][1]["data"], json::array({'B'}));
  EXPECT_EQ(head["outputs"][2]["parameters"]["binary_data_size"], 2);
  EXPECT_EQ(answer->body.substr(*answer->json_bytes), "ACD");
}

TEST(Encode, RefusesWhatJsonCannotCarry) {
  const auto refused = [](const tensor::Tensor& output) {
    const auto answer = encode_answer("m", "1", asking(false), std::span(&output, 1));
    return answer ? "was accepted" : answer.error().message();
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refused(tensor<float>(DataType::kFp32, {2}, {0, nan})),
              HasSubstr("output 'y': element 1 is nan"));
  EXPECT_THAT(refused(tensor<uint16_t>(DataType::kFp16, {1}, {0})), HasSubstr("FP16"));
  tensor::Tensor text{"y", DataType::kBytes, {1}, {}};
  tensor::append_bytes(text.bytes, "\xff");
  EXPECT_THAT(refused(text), HasSubstr("not UTF-8"));
}

}  // namespace
}  // namespace skerry::serve
