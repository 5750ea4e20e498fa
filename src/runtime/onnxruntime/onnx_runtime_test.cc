// What is particular to ONNX Runtime: its library, its refusals, and a real model on real sound.
#include "runtime/onnxruntime/onnx_runtime.h"
#include "test_paths.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#include "io/files.h"
#include "io/temporary_folder.h"
#include "runtime/onnxruntime/profile.h"

namespace skerry::runtime {
namespace {

using tensor::DataType;
using testing::HasSubstr;

const std::string kLibrary = SKERRY_CACHE_DIR "/onnxruntime/lib/libonnxruntime.so";
const std::string kTestdata = SKERRY_SOURCE_DIR "/src/runtime/testdata/";

class OnnxRuntimeTest : public testing::Test {
 protected:
  std::unique_ptr<Runtime> open() {
    auto opened = open_onnx_runtime(kLibrary);
    EXPECT_TRUE(opened) << opened.error().message();
    return std::move(*opened);
  }
  static ModelSource source(const std::string& file) { return {kTestdata, file, {{file, ""}}}; }
  Error refusal(const std::string& file) {
    const auto loaded = open()->load(source(file), {});
    return loaded ? Error(Code::kInternal, "was accepted") : loaded.error();
  }
  io::RealFiles files_;
};

TEST_F(OnnxRuntimeTest, SaysWhyALibraryDoesNotDo) {
  const auto absent = open_onnx_runtime("/nowhere/libonnxruntime.so");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), Code::kUnavailable);
  EXPECT_THAT(absent.error().message(), HasSubstr("/nowhere/libonnxruntime.so"));
  const auto other = open_onnx_runtime("libm.so.6");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message(), "libm.so.6 is no ONNX Runtime: it has no OrtGetApiBase");
}

TEST_F(OnnxRuntimeTest, RefusesExternalDataAndUnknownOperators) {
  Error error = refusal("external_data.onnx");
  EXPECT_EQ(error.code(), Code::kUnsupported);
  EXPECT_THAT(error.message(), HasSubstr("which model.json does not list in \"files\""));
  error = refusal("unknown_operator.onnx");
  EXPECT_EQ(error.code(), Code::kUnsupported) << error.message();
  EXPECT_THAT(error.message(), HasSubstr("NoSuchOperator"));
}

TEST_F(OnnxRuntimeTest, SaysWhatItsLayersTake) {
  const auto folder = io::TemporaryFolder::make("skerry-profile");
  ASSERT_TRUE(folder);
  const std::string data = "external_data.bin";
  const ModelSource package{
      kTestdata, "external_weights.onnx", {{"external_weights.onnx", ""}, {data, ""}}};
  auto model = open()->load(package, {.profile_directory = folder->path()});
  ASSERT_TRUE(model) << model.error().message();
  const std::array<float, 2> x = {1, 2};
  const std::array<int64_t, 1> shape = {2};
  const TensorView input{"x", DataType::kFp32, shape, std::as_bytes(std::span(x))};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE((*model)->run(std::span(&input, 1), {}));
  const auto layers = (*model)->layer_times();
  ASSERT_TRUE(layers) << layers.error().message();
  ASSERT_FALSE(layers->empty());
  for (const LayerTime& layer : *layers) {
    EXPECT_THAT(layer.op, testing::AnyOf("Mul", "Add"));
    EXPECT_GE(layer.us, 0);
  }
  auto other = open()->load(package, {});
  ASSERT_TRUE(other);
  EXPECT_EQ((*other)->layer_times().error().code(), Code::kFailedPrecondition);
}

TEST(Profile, IsTheUsualTimeOfAllRunsButTheFirst) {
  const auto event = [](const char* category, const char* name, int us) {
    return fmt::format(R"({{"cat":"{}","name":"{}","dur":{},"args":{{"op_name":"Conv"}}}})",
                       category, name, us);
  };
  const auto run = [&](int a, int b) {
    return event("Node", "a_kernel_time", a) + "," + event("Node", "b_kernel_time", b) + "," +
           event("Session", "model_run", a + b);
  };
  const auto layers = parse_profile("[" + run(900, 800) + "," + run(1, 10) + "," + run(90, 20) +
                                    "," + run(2, 15) + "]");
  ASSERT_TRUE(layers) << layers.error().message();
  EXPECT_EQ(*layers, (std::vector<LayerTime>{{"a", "Conv", 2}, {"b", "Conv", 15}}));
  // A node in a loop's body runs more than once in a run: its times add up.
  const auto looped = parse_profile("[" + run(900, 800) + "," + event("Node", "b_kernel_time", 4) +
                                    "," + run(1, 10) + "]");
  ASSERT_TRUE(looped) << looped.error().message();
  EXPECT_EQ(*looped, (std::vector<LayerTime>{{"a", "Conv", 1}, {"b", "Conv", 14}}));
  EXPECT_FALSE(parse_profile("[" + run(1, 2) + "]"));
  for (const char* damaged : {"", "[", "{}", "[1]", R"([{"cat":1}])",
                              R"([{"cat":"Node","name":"x_kernel_time","args":3}])"}) {
    EXPECT_FALSE(parse_profile(damaged)) << damaged;
  }
}

TEST_F(OnnxRuntimeTest, ReadsExternalDataFromFilesOfThePackage) {
  const std::string data = "external_data.bin";
  auto model = open()->load(
      {kTestdata, "external_weights.onnx", {{"external_weights.onnx", ""}, {data, ""}}}, {});
  ASSERT_TRUE(model) << model.error().message();
  const std::array<float, 2> x = {1, 2};
  const std::array<int64_t, 1> shape = {2};
  const TensorView input{"x", DataType::kFp32, shape, std::as_bytes(std::span(x))};
  const auto outputs = (*model)->run(std::span(&input, 1), {});
  ASSERT_TRUE(outputs) << outputs.error().message();
  std::array<float, 2> y{};
  std::memcpy(y.data(), (*outputs)[0].bytes.data(), sizeof y);
  EXPECT_EQ(y, (std::array<float, 2>{11, 22}));
  // A tensor of a node, where ONNX Runtime would open the file itself.
  EXPECT_THAT(refusal("external_attribute.onnx").message(), HasSubstr("has its data in another"));
}

// The first channel of a 48 kHz 16-bit WAV file, low-passed (windowed sinc) and brought to 16 kHz.
std::vector<float> read_16k(io::Files& files, const std::string& path) {
  const auto file = io::read_file(files, path);
  if (!file) return {};
  const size_t data = file->find("data") + 8;  // the samples follow the chunk's name and size
  std::vector<int16_t> samples((file->size() - data) / 2);
  std::memcpy(samples.data(), file->data() + data, samples.size() * 2);

  constexpr int kTaps = 63;
  constexpr double kCutoff = 7200.0 / 48000;
  std::array<double, kTaps> filter{};
  double sum = 0;
  for (int i = 0; i < kTaps; ++i) {
    const double x = i - (kTaps - 1) / 2.0;
    const double window = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * (i + 0.5) / kTaps);
    const double sinc = x == 0
                            ? 2 * kCutoff
                            : std::sin(2 * std::numbers::pi * kCutoff * x) / (std::numbers::pi * x);
    sum += filter[static_cast<size_t>(i)] = sinc * window;
  }
  std::vector<float> result(samples.size() / 3);
  for (size_t k = 0; k < result.size(); ++k) {
    double value = 0;
    for (int i = 0; i < kTaps; ++i) {
      const auto at = static_cast<int64_t>(k) * 3 + i - kTaps / 2;
      if (at < 0 || at >= static_cast<int64_t>(samples.size())) continue;
      value += filter[static_cast<size_t>(i)] / sum * samples[static_cast<size_t>(at)] / 32768.0;
    }
    result[k] = static_cast<float>(value);
  }
  return result;
}

template <class T>
std::span<const std::byte> bytes_of(const T& values) {
  return std::as_bytes(std::span(values));
}

// Silero VAD's probability of speech for each window of 512 samples.
std::vector<float> speech_probabilities(Model& model, const std::vector<float>& sound) {
  std::array<float, 576> window{};  // the last 64 samples of the previous window, then 512 new ones
  std::array<float, 256> state{};
  const std::array<int64_t, 1> rate = {16000};
  const std::array<int64_t, 2> window_shape = {1, 576};
  const std::array<int64_t, 3> state_shape = {2, 1, 128};
  std::vector<float> probabilities;
  for (size_t at = 0; at + 512 <= sound.size(); at += 512) {
    std::copy_n(window.end() - 64, 64, window.begin());
    std::copy_n(sound.begin() + static_cast<int64_t>(at), 512, window.begin() + 64);
    const std::array<TensorView, 3> inputs = {{
        {"input", DataType::kFp32, window_shape, bytes_of(window)},
        {"state", DataType::kFp32, state_shape, bytes_of(state)},
        {"sr", DataType::kInt64, {}, bytes_of(rate)},
    }};
    const auto outputs = model.run(inputs, {});
    EXPECT_TRUE(outputs) << outputs.error().message();
    if (!outputs) return {};
    float probability = 0;
    std::memcpy(&probability, (*outputs)[0].bytes.data(), sizeof probability);
    std::memcpy(state.data(), (*outputs)[1].bytes.data(), sizeof state);
    probabilities.push_back(probability);
  }
  return probabilities;
}

TEST_F(OnnxRuntimeTest, SileroHearsTheVoiceAndNotTheNoise) {
  auto model = open()->load(
      {SKERRY_CACHE_DIR "/silero-vad", "silero_vad.onnx", {{"silero_vad.onnx", ""}}}, {});
  ASSERT_TRUE(model) << model.error().message();
  const std::vector<float> voice = read_16k(files_, "/usr/share/sounds/alsa/Front_Center.wav");
  if (voice.empty()) GTEST_SKIP() << "the recordings of alsa-utils are not installed";
  const std::vector<float> spoken = speech_probabilities(**model, voice);
  ASSERT_EQ(spoken.size(), 44u);
  // PyPI onnxruntime gives the same numbers.
  const std::array<float, 5> expected = {.025f, .106f, .058f, .974f, .993f};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(spoken[i], expected[i], 0.001f);
  EXPECT_EQ(std::count_if(spoken.begin(), spoken.end(), [](float p) { return p > 0.5f; }), 32);

  const std::vector<float> noise =
      speech_probabilities(**model, read_16k(files_, "/usr/share/sounds/alsa/Noise.wav"));
  ASSERT_EQ(noise.size(), 43u);
  EXPECT_NEAR(*std::max_element(noise.begin(), noise.end()), .0313f, 0.001f);
}

}  // namespace
}  // namespace skerry::runtime
