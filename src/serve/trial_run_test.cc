// Which models get through their trial run, with which help from model.json.
#include "serve/trial_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/test_runtimes.h"
#include "serve/test_support.h"
#include "test_paths.h"

namespace skerry::serve {
namespace {

using test::json;
using test::tensor;
using testing::AllOf;
using testing::HasSubstr;

class TrialRunTest : public testing::Test {
 protected:
  std::string refusal(const std::string& directory, const std::string& name = "model") {
    const auto package = inspect_package(*runtimes_, name, directory);
    if (!package) return package.error().message();
    const auto staged = stage_model(*package, {}, {});
    return staged ? "was accepted" : staged.error().message();
  }
  std::string refusal_of(const std::string& onnx, const json& inputs, const json& outputs,
                         json more = json::object()) {
    more.update({{"inputs", inputs}, {"outputs", outputs}});
    return refusal(test::write_onnx(dir_.path(std::to_string(++packages_)), onnx, more));
  }
  std::string null_refusal(const std::string& datatype, const json& warmup) {
    test::Package package;
    for (json* document : {&package.model, &package.manifest}) {
      (*document)["inputs"][0] = tensor("x", datatype, {-1, 2});
      (*document)["outputs"][0] = tensor("y", datatype, {-1, 2});
    }
    package.manifest["warmup"] = warmup;
    return refusal(package.write(dir_.path(std::to_string(++packages_))), "echo");
  }

  io::ScratchDirectory dir_;
  int packages_ = 0;
  std::shared_ptr<runtime::Runtimes> runtimes_ = test::runtimes(std::make_shared<test::Gate>());
};

TEST_F(TrialRunTest, FreeDimensionsAreTriedUpwards) {
  const json x = json::array({tensor("x", "FP32", {-1, -1})});
  const json y = json::array({tensor("y", "FP32", {-1, 1})});
  EXPECT_EQ(refusal_of("needs_five.onnx", x, y), "was accepted");
  // The contract leaves nothing to try.
  EXPECT_THAT(refusal_of("needs_five.onnx", json::array({tensor("x", "FP32", {1, 4})}), y),
              HasSubstr("the trial run failed"));
  EXPECT_THAT(refusal_of("needs_five.onnx", x, y, {{"warmup", {{"x", {{"shape", {1, 4}}}}}}}),
              HasSubstr("the trial run failed"));
}

TEST_F(TrialRunTest, ValuesAndShapesComeFromThePackageAndTheMessageNamesTheField) {
  const json inputs =
      json::array({tensor("x", "FP32", {1, 3, -1, -1}), tensor("sizes", "INT64", {4})});
  const json outputs = json::array({tensor("y", "FP32", {1, 3, -1, -1})});
  EXPECT_THAT(refusal_of("resize.onnx", inputs, outputs),
              AllOf(HasSubstr("the trial run failed"), HasSubstr("\"warmup\": {\"x\": {\"shape\": "
                                                                 "[1, 3, 16, 16]")));
  EXPECT_EQ(refusal_of("resize.onnx", inputs, outputs, {{"warmup", {{"sizes", {1, 3, 8, 6}}}}}),
            "was accepted");
  EXPECT_THAT(refusal_of("resize.onnx", inputs, outputs, {{"warmup", {{"sizes", {1, 3, 8}}}}}),
              HasSubstr("\"warmup\" of 'sizes': it gives 3 values for INT64[4]"));
}

TEST_F(TrialRunTest, AModelThatCannotBeTriedIsServedWhereItsPackageSaysSo) {
  const json x = json::array({tensor("x", "FP32", {1, 4})});
  const json y = json::array({tensor("y", "FP32", {-1, 1})});
  EXPECT_THAT(refusal_of("needs_five.onnx", x, y), HasSubstr("\"trial_run\": \"optional\""));
  EXPECT_EQ(refusal_of("needs_five.onnx", x, y, {{"trial_run", "optional"}}), "was accepted");
  // What the trial run proves wrong stays wrong.
  EXPECT_THAT(refusal_of("double.onnx", json::array({tensor("x", "FP32", {-1, 2})}),
                         json::array({tensor("y", "FP32", {5, 2})}), {{"trial_run", "optional"}}),
              HasSubstr("promises output 'y' as FP32[5,2], the trial run gave FP32[1,2]"));
}

TEST_F(TrialRunTest, EveryElementTypeTakesWarmupValues) {
  for (const char* type : {"BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32",
                           "UINT64", "FP16", "FP32", "FP64"}) {
    EXPECT_EQ(null_refusal(type, {{"x", 1}}), "was accepted") << type;
    EXPECT_EQ(null_refusal(type, {{"x", {1, 0, 1, 1}}}), "was accepted") << type;
    EXPECT_EQ(null_refusal(type, {{"x", {{"shape", {0, 2}}}}}), "was accepted") << type;
  }
  EXPECT_EQ(null_refusal("BOOL", {{"x", true}}), "was accepted");
  EXPECT_EQ(null_refusal("FP16", {{"x", 0.1}}), "was accepted");
  EXPECT_EQ(null_refusal("BYTES", {{"x", "text"}}), "was accepted");
  EXPECT_EQ(null_refusal("BYTES", {{"x", {"a", "b"}}}), "was accepted");
  EXPECT_THAT(null_refusal("INT8", {{"x", 200}}),
              HasSubstr("\"warmup\" of 'x': 200 is out of range"));
  EXPECT_THAT(null_refusal("BYTES", {{"x", 1}}), HasSubstr("must be a string"));
}

json silero_inputs(const std::vector<int64_t>& window, const std::vector<int64_t>& state) {
  return json::array(
      {tensor("input", "FP32", window), tensor("state", "FP32", state), tensor("sr", "INT64", {})});
}

TEST_F(TrialRunTest, SileroLoadsWithFixedAndWithFreeShapes) {
  const std::string directory = dir_.path("vad");
  std::filesystem::create_directories(directory);
  std::filesystem::copy(SKERRY_CACHE_DIR "/silero-vad/silero_vad.onnx", directory + "/vad.onnx");
  std::ifstream stream(directory + "/vad.onnx", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  json manifest = {{"format", 1},
                   {"name", "vad"},
                   {"version", "6.2.3"},
                   {"runtime", "onnxruntime"},
                   {"file", "vad.onnx"},
                   {"sha256", hex_encode(sha256(bytes))},
                   {"inputs", silero_inputs({1, 576}, {2, 1, 128})},
                   {"outputs", json::array({tensor("output", "FP32", {-1, 1}),
                                            tensor("stateN", "FP32", {-1, -1, -1})})}};
  const auto result = [&] {
    std::ofstream(directory + "/model.json") << manifest.dump();
    return refusal(directory, "vad");
  };
  manifest["warmup"] = {{"sr", 16000}};
  EXPECT_EQ(result(), "was accepted");
  manifest["inputs"] = silero_inputs({-1, -1}, {2, -1, 128});
  EXPECT_EQ(result(), "was accepted");
  manifest["warmup"] = {{"sr", 16000}, {"input", {{"shape", {1, 576}}}}};
  EXPECT_EQ(result(), "was accepted");
}

}  // namespace
}  // namespace skerry::serve
