// What is particular to LiteRT: its library, what it refuses, names, shapes and what is bounded.
#include "runtime/litert/litert_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>

#include "io/files.h"
#include "io/temporary_folder.h"
#include "runtime/litert/model_scan.h"
#include "test_paths.h"

namespace skerry::runtime {
namespace {

using tensor::DataType;
using testing::HasSubstr;

const std::string kLiteRtLibrary = SKERRY_CACHE_DIR "/litert/lib/libLiteRt.so";
const std::string kLiteRtTestdata = SKERRY_SOURCE_DIR "/src/runtime/testdata/";

class LiteRtTest : public testing::Test {
 protected:
  std::unique_ptr<Runtime> open() {
    auto opened = open_litert(kLiteRtLibrary);
    EXPECT_TRUE(opened) << opened.error().message();
    return std::move(*opened);
  }
  std::unique_ptr<Model> load(const std::string& file) {
    auto loaded = open()->load({kLiteRtTestdata, file, {{file, ""}}}, {});
    EXPECT_TRUE(loaded) << loaded.error().message();
    return loaded ? std::move(*loaded) : nullptr;
  }
  Error refusal(const std::string& file) {
    const auto loaded = open()->load({kLiteRtTestdata, file, {{file, ""}}}, {});
    return loaded ? Error(Code::kInternal, "was accepted") : loaded.error();
  }
  std::string read(const std::string& file) {
    return *io::read_file(files_, kLiteRtTestdata + file);
  }
  bool is_bounded(const std::string& file) {
    const auto scan = scan_tflite(read(file));
    EXPECT_TRUE(scan) << scan.error().message();
    return scan && scan->is_bounded;
  }
  io::RealFiles files_;
};

TEST_F(LiteRtTest, SaysWhyALibraryDoesNotDo) {
  const auto absent = open_litert("/nowhere/libLiteRt.so");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), Code::kUnavailable);
  EXPECT_THAT(absent.error().message(), HasSubstr("/nowhere/libLiteRt.so"));
  const auto other = open_litert("libm.so.6");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), Code::kUnsupported);
  EXPECT_THAT(other.error().message(),
              HasSubstr("libm.so.6 is no LiteRT of version 2: it has no LiteRt"));
}

TEST_F(LiteRtTest, KnowsWhatIsBounded) {
  EXPECT_TRUE(is_bounded("pair.tflite"));
  EXPECT_TRUE(is_bounded("pad_by_one.tflite"));
  EXPECT_TRUE(is_bounded("keywords_int8.tflite"));
  EXPECT_FALSE(is_bounded("pad.tflite"));
  EXPECT_FALSE(is_bounded("hang.tflite"));
  EXPECT_FALSE(is_bounded("custom.tflite"));
}

TEST_F(LiteRtTest, RefusesWhatItCannotRunAndSaysWhy) {
  Error error = refusal("string.tflite");
  EXPECT_EQ(error.code(), Code::kUnsupported) << error.message();
  EXPECT_THAT(error.message(), HasSubstr("element type"));
  error = refusal("double.onnx");
  EXPECT_EQ(error.code(), Code::kCorrupt) << error.message();
}

// LiteRT takes the model and fails when it runs; the trial run is in time for that.
TEST_F(LiteRtTest, NamesTheOperatorsThatMayBeMissing) {
  const auto model = load("custom.tflite");
  ASSERT_NE(model, nullptr);
  const tensor::Bytes zero(4);
  const TensorView input{"x", DataType::kFp32, model->inputs()[0].shape, zero};
  const auto result = model->run(std::span(&input, 1), {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kUnsupported);
  EXPECT_THAT(result.error().message(), HasSubstr("NoSuchOperator"));
}

TEST_F(LiteRtTest, ARefusedShapeLeavesTheModelAsItWas) {
  const auto model = load("type_fp32.tflite");
  ASSERT_NE(model, nullptr);
  const auto run = [&](int64_t count) {
    const tensor::Bytes bytes(static_cast<size_t>(count) * 4, std::byte{1});
    const std::array<int64_t, 1> shape = {count};
    const TensorView input{"x", DataType::kFp32, shape, bytes};
    return model->run(std::span(&input, 1), {});
  };
  EXPECT_TRUE(run(3));
  const auto empty = run(0);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().message(), "input 'x' is empty; LiteRT takes no dimension of 0");
  const auto after = run(2);
  ASSERT_TRUE(after) << after.error().message();
  EXPECT_EQ((*after)[0].bytes.size(), 8u);
}

TEST_F(LiteRtTest, CallsTensorsAsTheSignatureDoes) {
  const auto model = load("signature.tflite");
  ASSERT_NE(model, nullptr);
  ASSERT_EQ(model->inputs().size(), 2u);
  const std::array<float, 4> rows = {1, 2, 3, 4};
  const std::array<int64_t, 2> pair = {7, -7};
  const std::array<int64_t, 2> rows_shape = {1, 4};
  const std::array<int64_t, 1> pair_shape = {2};
  const std::array<TensorView, 2> inputs = {
      {{"first", DataType::kFp32, rows_shape, std::as_bytes(std::span(rows))},
       {"second", DataType::kInt64, pair_shape, std::as_bytes(std::span(pair))}}};
  const auto outputs = model->run(inputs, std::vector<std::string>{"one", "two"});
  ASSERT_TRUE(outputs) << outputs.error().message();
  EXPECT_TRUE(std::ranges::equal((*outputs)[0].bytes, std::as_bytes(std::span(rows))));
  EXPECT_TRUE(std::ranges::equal((*outputs)[1].bytes, std::as_bytes(std::span(pair))));
}

TEST_F(LiteRtTest, QuantisedTensorsAreWhatTheyAreInTheModel) {
  const auto model = load("keywords_int8.tflite");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(tensor::describe(model->inputs()[0].type, model->inputs()[0].shape), "INT8[1,49,10,1]");
  EXPECT_EQ(tensor::describe(model->outputs()[0].type, model->outputs()[0].shape), "INT8[1,12]");
  const tensor::Bytes zeros(490);
  const TensorView input{model->inputs()[0].name, DataType::kInt8, model->inputs()[0].shape, zeros};
  const auto outputs = model->run(std::span(&input, 1), {});
  ASSERT_TRUE(outputs) << outputs.error().message();
  EXPECT_EQ((*outputs)[0].bytes.size(), 12u);
}

TEST_F(LiteRtTest, SaysWhatItsLayersTake) {
  const auto folder = io::TemporaryFolder::make("skerry-profile");
  ASSERT_TRUE(folder);
  const std::string file = "keywords_int8.tflite";
  const auto model =
      open()->load({kLiteRtTestdata, file, {{file, ""}}}, {.profile_directory = folder->path()});
  ASSERT_TRUE(model) << model.error().message();
  const tensor::Bytes zeros(490);
  const TensorView input{(*model)->inputs()[0].name, DataType::kInt8, (*model)->inputs()[0].shape,
                         zeros};
  for (int i = 0; i < 20; ++i) ASSERT_TRUE((*model)->run(std::span(&input, 1), {}));
  const auto layers = (*model)->layer_times();
  ASSERT_TRUE(layers) << layers.error().message();
  ASSERT_EQ(layers->size(), 14u);  // of 13 operators; a reshaping is two
  EXPECT_THAT(layers->front().op, testing::HasSubstr("Convolution"));
  EXPECT_GT(layers->front().us, 0);
  EXPECT_EQ(layers->back().op, "SOFTMAX");
  EXPECT_EQ(layers->back().name, "13");
}

TEST_F(LiteRtTest, ScanRefusesEveryPrefix) {
  const std::string whole = read("keywords_int8.tflite");
  for (size_t size = 0; size + 1024 < whole.size(); size += 97) {
    const auto scan = scan_tflite(std::string_view(whole).substr(0, size));
    ASSERT_FALSE(scan) << "cut to " << size;
    EXPECT_EQ(scan.error().code(), Code::kCorrupt);
  }
}

// What no reader may follow: every word of the file, in turn, as far as it goes.
TEST_F(LiteRtTest, ScanStaysInTheFileWhateverItSays) {
  for (const char* file : {"pair.tflite", "hang.tflite", "custom.tflite", "pad_by_one.tflite"}) {
    const std::string whole = read(file);
    for (size_t at = 0; at + 4 <= whole.size(); ++at) {
      for (const uint32_t word : {0u, 0x7fffffffu, 0x80000000u, 0xffffffffu, 0xfffffff0u}) {
        std::string damaged = whole;
        std::memcpy(damaged.data() + at, &word, sizeof word);
        const auto scan = scan_tflite(damaged);
        if (!scan)
          EXPECT_EQ(scan.error().code(), scan.error().message().starts_with("tensors have")
                                             ? Code::kUnsupported
                                             : Code::kCorrupt);
      }
    }
  }
}

// A vector that many tables share makes a small file mean a lot of work.
TEST_F(LiteRtTest, ScanEndsWhereTablesShareTheirVectors) {
  const std::string whole = read("pair.tflite");
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = whole;
    for (int k = 0; k < 8; ++k) damaged[random() % damaged.size()] = static_cast<char>(random());
    (void)scan_tflite(damaged);
  }
}

}  // namespace
}  // namespace skerry::runtime
