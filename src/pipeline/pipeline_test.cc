// The graph: order, what runs at all, what is not copied. Steps themselves are held against NumPy
// in tests/infer/pipelines_test.py.
#include "pipeline/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <turbojpeg.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "io/test_directory.h"
#include "pipeline/image.h"
#include "pipeline/step.h"
#include "runtime/null/null_runtime.h"

namespace skerry::pipeline {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Pipeline : public testing::Test {
 protected:
  Pipeline() {
    runtimes_.add(std::make_unique<runtime::NullRuntime>());
    runtimes_.add(make_pipeline_runtime(runtimes_));
  }

  void write(const std::string& name, const std::string& content) {
    std::ofstream(scratch_.path(name)) << content;
    digests_[name] = "";
  }

  Result<std::unique_ptr<runtime::Model>> load(const std::string& text) {
    write("pipeline.json", text);
    const runtime::ModelSource source(scratch_.path(), "pipeline.json", digests_);
    return (*(*runtimes_.find("pipeline"))->open())->load(source, {});
  }

  // Of FP32 [n] in, named x; `outputs` by name with their shapes.
  std::unique_ptr<runtime::Model> make(const json& steps, const json& outputs) {
    auto loaded = load(json{
        {"pipeline", 1},
        {"inputs", {{{"name", "x"}, {"datatype", "FP32"}, {"shape", {-1}}}}},
        {"steps", steps},
        {"outputs",
         outputs}}.dump());
    EXPECT_TRUE(loaded) << loaded.error().message();
    return loaded ? std::move(*loaded) : nullptr;
  }

  static json output(const std::string& name, const json& shape = {-1}) {
    return {{"name", name}, {"datatype", "FP32"}, {"shape", shape}};
  }

  static tensor::Tensor x(const std::vector<float>& values) {
    return into_tensor(own(DataType::kFp32, {static_cast<int64_t>(values.size())}, values), "x");
  }

  const io::ScratchDirectory scratch_;
  std::map<std::string, std::string, std::less<>> digests_;
  runtime::Runtimes runtimes_;
};

const json kScores = {{"step", "softmax"}, {"in", "x"}, {"out", "scores"}};

TEST_F(Pipeline, RunsOnlyWhatTheWantedOutputsNeed) {
  write("fail.json", R"({"null_model": 1, "behaviour": "fail",
    "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1]}],
    "outputs": [{"name": "b", "datatype": "FP32", "shape": [-1]}]})");
  const auto model = make({{{"step", "model"},
                            {"file", "fail.json"},
                            {"runtime", "null"},
                            {"in", {{"a", "x"}}},
                            {"out", {{"b", "broken"}}}},
                           kScores},
                          {output("scores"), output("broken")});
  const tensor::Tensor in = x({1, 1});
  const auto scores = model->run(tensor::views_of({&in, 1}), std::vector<std::string>{"scores"});
  ASSERT_TRUE(scores) << scores.error().message();
  EXPECT_EQ(scores->size(), 1u);
  const auto both = model->run(tensor::views_of({&in, 1}), {});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().code(), Code::kInternal);
  EXPECT_THAT(both.error().message(), HasSubstr("steps[0] (model)"));
}

TEST_F(Pipeline, CopiesNothingThatOnlyLooksDifferent) {
  Value value = own(DataType::kFp32, {4}, std::vector<float>{1, 2, 3, 4});
  const std::byte* bytes = value.bytes.data();
  const StepKind* kind = find_step_kind("reshape");
  const json settings = {{"shape", {2, -1}}};
  const runtime::ModelSource source("", "", {});
  Settings of(formats::Node(settings, ""), source, 0);
  const auto step = kind->make(of);
  ASSERT_TRUE(step) << step.error().message();
  auto made = (*step)->run({&value, 1}, {});
  ASSERT_TRUE(made);
  EXPECT_EQ((*made)[0].bytes.data(), bytes);
  value = {};
  EXPECT_EQ(into_tensor(std::move((*made)[0]), "y").bytes.data(), bytes);  // moved out as well
}

TEST_F(Pipeline, AnInputMayBeAnOutput) {
  const auto model = make(json::array({kScores}), {output("x"), output("scores")});
  const tensor::Tensor in = x({3, 4});
  const auto result = model->run(tensor::views_of({&in, 1}), {});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ((*result)[0].bytes, in.bytes);
}

TEST_F(Pipeline, AStopEndsItBetweenSteps) {
  const auto model = make(json::array({kScores}), json::array({output("scores")}));
  std::stop_source stop;
  stop.request_stop();
  const tensor::Tensor in = x({1});
  EXPECT_EQ(model->run(tensor::views_of({&in, 1}), {}, stop.get_token()).error().code(),
            Code::kCancelled);
}

TEST_F(Pipeline, EveryPrefixOfAFileIsRefused) {
  const std::string whole =
      R"({"pipeline":1,"inputs":[],"outputs":[{"name":"y","datatype":"FP32","shape":[]}],)"
      R"("steps":[{"step":"constant","out":"y","datatype":"FP32","shape":[],"fill":2}]})";
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto loaded = load(whole.substr(0, size));
    ASSERT_FALSE(loaded) << size;
    EXPECT_EQ(loaded.error().code(), Code::kCorrupt);
    EXPECT_THAT(loaded.error().message(), HasSubstr("pipeline.json"));
  }
  EXPECT_TRUE(load(whole));
}

TEST(Jpeg, IsDecodedAndRefusedWhereItIsCut) {
  constexpr int kSide = 64;
  std::vector<unsigned char> pixels(static_cast<size_t>(kSide) * kSide * 3);
  for (size_t i = 0; i < pixels.size(); ++i) {
    const size_t pixel = i / 3;
    pixels[i] =
        static_cast<unsigned char>(128 + 100 * std::sin(0.05 * static_cast<double>(pixel % kSide) +
                                                        static_cast<double>(i % 3)));
  }
  const tjhandle compressor = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  ASSERT_EQ(tjCompress2(compressor, pixels.data(), kSide, 0, kSide, TJPF_RGB, &bytes, &size,
                        TJSAMP_444, 95, 0),
            0);
  const std::string file(reinterpret_cast<const char*>(bytes), size);
  tjFree(bytes);
  tjDestroy(compressor);
  const auto image = decode_image(file, 3, 1 << 20);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->width * image->height, kSide * kSide);
  for (size_t i = 0; i < pixels.size(); ++i) {
    ASSERT_NEAR(std::to_integer<int>(image->pixels[i]), pixels[i], 8) << i;
  }
  EXPECT_EQ(decode_image(file, 1, 1 << 20)->pixels.size(), pixels.size() / 3);
  EXPECT_EQ(decode_image(file, 3, 100).error().code(), Code::kResourceExhausted);
  for (size_t cut = 3; cut + 2 < file.size(); cut += 7) {
    EXPECT_FALSE(decode_image(std::string_view(file).substr(0, cut), 3, 1 << 20)) << cut;
  }
}

}  // namespace
}  // namespace skerry::pipeline
