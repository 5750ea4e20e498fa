// What the host makes of libraries that are no plugins, and of plugins that break the interface.
#include "runtime/plugin/plugin_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "runtime/runtimes.h"
#include "test_paths.h"

namespace skerry::runtime {
namespace {

using testing::HasSubstr;

constexpr const char* kWrong = SKERRY_BIN_DIR "/libwrong_runtime.so";

// Loads and runs a model of the wrong plugin; what is said about it.
std::string complaint(const std::string& fault) {
  std::ofstream(testing::TempDir() + "wrong.model") << fault;
  const auto runtime = open_plugin(kWrong);
  if (!runtime) return runtime.error().message();
  const auto model =
      (*runtime)->load({testing::TempDir(), "wrong.model", {{"wrong.model", ""}}}, {});
  if (!model) return model.error().message();
  const std::array<float, 2> x = {1, 2};
  const std::array<int64_t, 1> shape = {2};
  const TensorView input{"x", tensor::DataType::kFp32, shape, std::as_bytes(std::span(x))};
  const auto outputs = (*model)->run(std::span(&input, 1), {});
  return outputs ? "nothing" : outputs.error().message();
}

TEST(PluginRuntime, SaysWhyALibraryDoesNotDo) {
  const auto absent = open_plugin("/nowhere/libx.so");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), Code::kUnavailable);
  const auto other = open_plugin("libm.so.6");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message(), HasSubstr("libm.so.6 is no runtime plugin"));
  EXPECT_THAT(open_runtime("another", kWrong).error().message(),
              HasSubstr("brings runtime 'wrong', not 'another'"));
  EXPECT_THAT(
      open_runtime("another", "/nowhere").error().message(),
      HasSubstr("there are: null, compiled, onnxruntime, litert, openvino, dlr; another one needs "
                "the path of its plugin"));
}

TEST(PluginRuntime, ChecksWhatAPluginSays) {
  EXPECT_THAT(complaint("no message"), HasSubstr("failed with code 3 and no message"));
  EXPECT_THAT(complaint("no type"), HasSubstr("input 0 is no tensor"));
  EXPECT_THAT(complaint("endless inputs"), HasSubstr("input 4096 is no tensor"));
  EXPECT_THAT(complaint("no output"), HasSubstr("did not give output 'y'"));
  EXPECT_THAT(complaint("another shape"), HasSubstr("output 'y' does not have its shape"));
  EXPECT_THAT(complaint("another size"), HasSubstr("output 'y' as FP32[2] has 4 bytes"));
  EXPECT_THAT(complaint("another index"), HasSubstr("there is no output 7"));
  EXPECT_THAT(complaint("twice"), HasSubstr("output 0 is given twice"));
}

}  // namespace
}  // namespace skerry::runtime
