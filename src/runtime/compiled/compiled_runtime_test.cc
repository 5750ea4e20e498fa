// Whole networks through the Runtime interface, as the service runs them: the same bits with any
// number of threads, whoever else runs them meanwhile.
#include "runtime/compiled/compiled_runtime.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "runtime/runtimes.h"
#include "tensor/tensor.h"
#include "test_paths.h"

namespace skerry::runtime {
namespace {

std::vector<tensor::Tensor> made_up_inputs(const Model& model, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<tensor::Tensor> inputs;
  for (const TensorSpec& spec : model.inputs()) {
    const size_t count = *tensor::element_count(spec.shape);
    tensor::Tensor input{spec.name, spec.type, spec.shape,
                         tensor::Bytes(count * tensor::size_of(spec.type))};
    for (size_t i = 0; i < count; ++i) {
      if (spec.type == tensor::DataType::kFp32) {
        const float value = std::uniform_real_distribution<float>(-2, 2)(random);
        std::memcpy(input.bytes.data() + 4 * i, &value, sizeof value);
      } else {
        input.bytes[i] = static_cast<std::byte>(random());
      }
    }
    inputs.push_back(std::move(input));
  }
  return inputs;
}

// What it makes of so many inputs.
std::vector<tensor::Bytes> results_of(Model& model, unsigned runs) {
  std::vector<tensor::Bytes> results;
  for (unsigned seed = 0; seed < runs; ++seed) {
    const auto inputs = made_up_inputs(model, seed);
    const auto outputs = model.run(tensor::views_of(inputs), {});
    EXPECT_TRUE(outputs) << outputs.error().message();
    if (!outputs) return {};
    for (const tensor::Tensor& output : *outputs) results.push_back(output.bytes);
  }
  return results;
}

TEST(CompiledRuntime, ThreadsChangeNoBitOfAWholeNetwork) {
  const auto runtime = open_runtime("compiled", "");
  ASSERT_TRUE(runtime);
  const std::string folder = SKERRY_BIN_DIR "/compiled_testdata";
  for (const std::string name : {"shared_speech.so", "shared_images.so"}) {
    const auto load = [&](int threads) {
      auto model = (*runtime)->load({folder, name, {{name, ""}}}, {.threads = threads});
      EXPECT_TRUE(model) << model.error().message();
      return model ? std::move(*model) : nullptr;
    };
    // More runs than the model tries both ways for.
    constexpr unsigned kRuns = 48;
    const auto alone = load(1);
    ASSERT_NE(alone, nullptr);
    const auto want = results_of(*alone, kRuns);
    EXPECT_NE(std::ranges::count(want, want[0]), static_cast<std::ptrdiff_t>(want.size())) << name;
    for (const int threads : {2, 3, 8}) {
      const auto shared = load(threads);
      ASSERT_NE(shared, nullptr);
      EXPECT_EQ(results_of(*shared, kRuns), want) << name << " with " << threads;
    }
    // Callers at the same time: one has the threads, the others go on alone.
    const auto busy = load(2);
    ASSERT_NE(busy, nullptr);
    std::vector<std::thread> callers;
    for (int i = 0; i < 3; ++i) {
      callers.emplace_back([&] { EXPECT_EQ(results_of(*busy, kRuns), want) << name; });
    }
    for (std::thread& each : callers) each.join();
  }
}

}  // namespace
}  // namespace skerry::runtime
