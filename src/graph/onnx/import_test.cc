// Import of models that are written here byte by byte: what is understood, and what hostile ones
// get.
#include "graph/onnx/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "graph/executor.h"
#include "graph/text.h"
#include "io/test_directory.h"

namespace skerry::graph::onnx {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string number(uint32_t field, int64_t value) {
  return varint(field << 3) + varint(static_cast<uint64_t>(value));
}
std::string message(uint32_t field, const std::string& body) {
  return varint(field << 3 | 2) + varint(body.size()) + body;
}
std::string texts(uint32_t field, const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) out += message(field, value);
  return out;
}
std::string node(const std::string& op, const std::vector<std::string>& inputs,
                 const std::vector<std::string>& outputs, const std::string& rest = "") {
  return message(1, texts(1, inputs) + texts(2, outputs) + message(3, "n-" + outputs[0]) +
                        message(4, op) + rest);
}
std::string int_attribute(const std::string& name, int64_t value) {
  return message(5, message(1, name) + number(3, value) + number(20, 2));
}
std::string graph_attribute(const std::string& name, const std::string& graph) {
  return message(5, message(1, name) + message(6, graph) + number(20, 5));
}
std::string value(uint32_t field, const std::string& name, const std::vector<int64_t>& shape,
                  int64_t type = 1) {
  std::string dims;
  for (const int64_t size : shape) dims += message(1, number(1, size));
  return message(field,
                 message(1, name) + message(2, message(1, number(1, type) + message(2, dims))));
}
std::string tensor(const std::vector<int64_t>& shape, const std::string& rest, int64_t type = 1) {
  std::string dims;
  for (const int64_t size : shape) dims += number(1, size);
  return dims + number(2, type) + rest;
}
std::string initializer(const std::string& name, const std::vector<int64_t>& shape,
                        const std::string& rest, int64_t type = 1) {
  return message(5, tensor(shape, message(8, name) + rest, type));
}
std::string raw(const std::vector<float>& values) {
  return message(9, {reinterpret_cast<const char*>(values.data()), values.size() * 4});
}
std::string model(const std::string& graph, int64_t opset = 17, const std::string& rest = "") {
  return number(1, 8) + message(7, graph + message(2, "test")) + message(8, number(2, opset)) +
         rest;
}
std::string in_and_out() {
  return value(11, "x", {2}) + value(12, "y", {2});
}

Result<Imported> import(const std::string& bytes, const std::string& directory = "") {
  const auto first = reinterpret_cast<const std::byte*>(bytes.data());
  return import_bytes(std::make_shared<const tensor::Bytes>(first, first + bytes.size()), directory,
                      {.max_file_bytes = 1 << 20});
}
std::string refusal(const std::string& bytes, const std::string& directory = "") {
  const auto imported = import(bytes, directory);
  return imported ? "was accepted" : imported.error().message();
}
std::vector<double> run(const Imported& model, const std::vector<float>& x) {
  const std::vector<int64_t> shape = {static_cast<int64_t>(x.size())};
  const tensor::TensorView view{"x", DataType::kFp32, shape, std::as_bytes(std::span(x))};
  const auto outputs = Executor(*model.graph).run({&view, 1});
  EXPECT_TRUE(outputs) << outputs.error().message();
  return outputs ? Array::from((*outputs)[0].view()).to_doubles() : std::vector<double>();
}

std::string two_nodes() {
  return node("Mul", {"x", "w"}, {"m"}) + node("Relu", {"m"}, {"y"}) +
         initializer("w", {2}, raw({2, -3})) + in_and_out();
}

TEST(OnnxImport, NodesNeedNoOrder) {
  const std::string graph = node("Relu", {"m"}, {"y"}) + node("Mul", {"x", "w"}, {"m"}) +
                            initializer("w", {2}, raw({2, -3})) + in_and_out();
  const auto imported = import(model(graph));
  ASSERT_TRUE(imported) << imported.error().message();
  EXPECT_EQ(run(*imported, {1, 1}), (std::vector<double>{2, 0}));
}

TEST(OnnxImport, TypedAndPackedDataAreRead) {
  // int32_data for INT8 (negative as 64-bit varints), int4 in raw bytes.
  const std::string graph =
      node("Cast", {"w"}, {"f"}, int_attribute("to", 1)) + node("Add", {"x", "f"}, {"y"}) +
      initializer("w", {2}, message(5, varint(5) + varint(static_cast<uint64_t>(-7))), 3) +
      in_and_out();
  const auto imported = import(model(graph));
  ASSERT_TRUE(imported) << imported.error().message();
  EXPECT_EQ(run(*imported, {0, 0}), (std::vector<double>{5, -7}));
  const auto nibbles = import(
      model(node("Cast", {"w"}, {"f"}, int_attribute("to", 1)) + node("Add", {"x", "f"}, {"y"}) +
                initializer("w", {2}, message(9, "\x9f"), 22) + in_and_out(),
            21));
  ASSERT_TRUE(nibbles) << nibbles.error().message();
  EXPECT_EQ(run(*nibbles, {0, 0}), (std::vector<double>{-1, -7}));
}

// f(a) = LeakyRelu(a, alpha) + a, with alpha from the call or 0.5.
std::string function(const std::string& name, const std::string& nodes) {
  return message(25, message(1, name) + message(4, "a") + message(5, "b") + nodes +
                         message(9, number(2, 17)) + message(10, "mine"));
}
std::string call(const std::string& name, const std::string& in, const std::string& out,
                 const std::string& rest = "") {
  return message(1, in) + message(2, out) + message(4, name) + message(7, "mine") + rest;
}

TEST(OnnxImport, FunctionsAreInlinedWithTheirAttributes) {
  const std::string reference =
      message(5, message(1, "alpha") + message(21, "slope") + number(20, 1));
  const std::string leaky =
      message(7, message(1, "a") + message(2, "t") + message(4, "LeakyRelu") + reference);
  const std::string sum =
      message(7, message(1, "t") + message(1, "a") + message(2, "b") + message(4, "Add"));
  const std::string half = std::string("\x15\x00\x00\x00\x3f", 5);  // field 2, fixed32, 0.5
  const std::string argument = message(5, message(1, "slope") + half + number(20, 1));
  const std::string graph =
      message(1, call("F", "x", "m", argument)) + message(1, call("F", "m", "y")) + in_and_out();
  const auto imported = import(model(graph, 17, function("F", leaky + sum)));
  ASSERT_TRUE(imported) << imported.error().message();
  EXPECT_EQ(imported->graph->nodes().size(), 4u);
  const auto y = run(*imported, {1, -2});
  EXPECT_DOUBLE_EQ(y[0], 4);
  EXPECT_NEAR(y[1], -3.03,
              1e-6);  // -3 after the first, times 1.01 with the default after the second
}

TEST(OnnxImport, FunctionsThatNeverEndAreRefused) {
  const std::string self = message(7, call("F", "a", "b"));
  const std::string graph = message(1, call("F", "x", "y")) + in_and_out();
  EXPECT_THAT(refusal(model(graph, 17, function("F", self))), HasSubstr("without end"));
  // Each calls the next twenty times: 20^8 nodes.
  std::string functions;
  for (int i = 0; i < 8; ++i) {
    std::string nodes;
    for (int k = 0; k < 20; ++k) {
      nodes += message(
          7, call("F" + std::to_string(i + 1), "a", k == 0 ? "b" : "b" + std::to_string(k)));
    }
    functions += function("F" + std::to_string(i), nodes);
  }
  functions += function("F8", message(7, message(1, "a") + message(2, "b") + message(4, "Relu")));
  EXPECT_THAT(refusal(model(message(1, call("F0", "x", "y")) + in_and_out(), 17, functions)),
              HasSubstr("too many nodes"));
}

TEST(OnnxImport, DamageIsRefusedAtEveryByte) {
  const std::string bytes = model(two_nodes());
  ASSERT_TRUE(import(bytes));
  for (size_t size = 0; size < bytes.size(); ++size) (void)import(bytes.substr(0, size));
  for (size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string changed = bytes;
    changed[i / 8] = static_cast<char>(changed[i / 8] ^ (1 << i % 8));
    if (const auto imported = import(changed)) {
      EXPECT_TRUE(parse_text(to_text(*imported->graph))) << i;
    }
  }
  EXPECT_THAT(refusal(bytes.substr(0, bytes.size() / 2)), HasSubstr("damaged"));
  EXPECT_THAT(refusal(""), HasSubstr("no graph"));
}

TEST(OnnxImport, RefusalsNameTheNode) {
  EXPECT_THAT(refusal(model(node("Relu", {"b"}, {"a"}) + node("Abs", {"a"}, {"b"}) +
                            node("Relu", {"b"}, {"y"}) + in_and_out())),
              AnyOf(HasSubstr("Relu 'n-a' waits for its own output"), HasSubstr("cycle")));
  EXPECT_THAT(refusal(model(node("Relu", {"gone"}, {"y"}) + in_and_out())),
              HasSubstr("Relu 'n-y': reads 'gone', which nothing makes"));
  EXPECT_THAT(refusal(model(node("Nothing", {"x"}, {"y"}) + in_and_out())),
              HasSubstr("Nothing 'n-y': the operator is not supported"));
  EXPECT_THAT(refusal(model(node("Relu", {"x"}, {"y"}) + in_and_out(), 24)),
              HasSubstr("operator set 24"));
  EXPECT_THAT(refusal(model(node("Relu", {"x"}, {"y"}) + node("Abs", {"x"}, {"y"}) + in_and_out())),
              HasSubstr("'y' is made twice"));
  EXPECT_THAT(refusal(model(node("Relu", {"x"}, {"y"}, int_attribute("alpha", 1)) + in_and_out())),
              HasSubstr("attribute 'alpha'"));
  const std::string sequence = message(11, message(1, "s") + message(2, message(4, "")));
  EXPECT_THAT(refusal(model(node("Relu", {"x"}, {"y"}) + sequence + in_and_out())),
              HasSubstr("'s' is a sequence"));
}

TEST(OnnxImport, ShapesThatCannotBeAreRefused) {
  const auto with = [](const std::vector<int64_t>& shape) {
    return refusal(model(node("Mul", {"x", "w"}, {"y"}) + initializer("w", shape, raw({1, 2})) +
                         in_and_out()));
  };
  EXPECT_THAT(with({-1}), HasSubstr("tensor 'w': shape [-1] has a negative dimension"));
  EXPECT_THAT(with({INT64_MAX, INT64_MAX}), HasSubstr("too many elements"));
  EXPECT_THAT(with({INT64_MAX / 2, 2}), HasSubstr("too many"));
  EXPECT_THAT(with({1000000}), HasSubstr("takes 4000000 bytes, it has 8"));
  EXPECT_THAT(with(std::vector<int64_t>(65, 1)), HasSubstr("too many dimensions"));
  EXPECT_THAT(with({3, 5}), HasSubstr("has 8"));
}

TEST(OnnxImport, SubgraphsThatAreNestedTooDeepAreRefused) {
  std::string body = node("Identity", {"x"}, {"v"}) + message(12, message(1, "v"));
  for (int i = 0; i < 100; ++i) {
    body = node("If", {"c"}, {"v"},
                graph_attribute("then_branch", body) +
                    graph_attribute("else_branch", body.size() < 4000
                                                       ? body
                                                       : node("Identity", {"x"}, {"v"}) +
                                                             message(12, message(1, "v")))) +
           message(12, message(1, "v"));
  }
  EXPECT_THAT(refusal(model(body + value(11, "c", {}, 9) + value(11, "x", {2}))),
              HasSubstr("nested too deep"));
}

class ExternalData : public testing::Test {
 protected:
  ExternalData() {
    fs::create_directory(root_ / "model");
    std::ofstream(root_ / "model/data.bin")
        << std::string(8, '\0') << std::string("\0\0\x80\x3f\0\0\0\x40", 8);
    std::ofstream(root_ / "outside.bin") << std::string(64, 'x');
  }

  std::string with(const std::string& location, const std::string& offset = "8",
                   const std::string& length = "8") {
    const auto entry = [](const std::string& key, const std::string& text) {
      return message(13, message(1, key) + message(2, text));
    };
    return model(node("Mul", {"x", "w"}, {"y"}) +
                 initializer("w", {2},
                             entry("location", location) + entry("offset", offset) +
                                 entry("length", length) + number(14, 1)) +
                 in_and_out());
  }
  std::string refused(const std::string& bytes) { return refusal(bytes, root_ / "model"); }

  const io::ScratchDirectory scratch_;
  const fs::path root_ = scratch_.path();
};

TEST_F(ExternalData, IsReadFromTheModelsFolder) {
  const auto imported = import(with("data.bin"), root_ / "model");
  ASSERT_TRUE(imported) << imported.error().message();
  EXPECT_EQ(run(*imported, {3, 5}), (std::vector<double>{3, 10}));
}

TEST_F(ExternalData, NeverLeavesTheModelsFolder) {
  fs::create_symlink("../outside.bin", root_ / "model/link.bin");
  fs::create_symlink("..", root_ / "model/up");
  ASSERT_EQ(mkfifo((root_ / "model/pipe").c_str(), 0600), 0);
  for (const std::string& location :
       {std::string("../outside.bin"), (root_ / "outside.bin").string(), std::string("link.bin"),
        std::string("up/outside.bin"), std::string("./../outside.bin"), std::string("pipe"),
        std::string("."), std::string(""), std::string("/dev/zero"), std::string("absent.bin"),
        std::string("data.bin\0x", 10)}) {
    EXPECT_FALSE(import(with(location), root_ / "model")) << location;
  }
  EXPECT_THAT(refusal(with("data.bin")), HasSubstr("in another file"));
}

TEST_F(ExternalData, LiesWhereItSays) {
  EXPECT_THAT(refused(with("data.bin", "9")), HasSubstr("outside of 'data.bin'"));
  EXPECT_THAT(refused(with("data.bin", "18446744073709551615")), HasSubstr("outside"));
  EXPECT_THAT(refused(with("data.bin", "0", "18446744073709551615")), HasSubstr("outside"));
  EXPECT_THAT(refused(with("data.bin", "8", "4")), HasSubstr("takes 8 bytes, it has 4"));
  EXPECT_THAT(refused(with("data.bin", "-1")), HasSubstr("no valid 'offset'"));
}

}  // namespace
}  // namespace skerry::graph::onnx
