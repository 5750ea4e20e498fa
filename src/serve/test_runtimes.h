// The runtimes of this folder's tests, among them one whose runs can be held.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

#include "runtime/null/null_runtime.h"
#include "runtime/runtimes.h"
#include "test_paths.h"

namespace skerry::serve::test {

// Holds runs of a GatedRuntime's models.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --waiting_;
  }
  void close() { set(false); }
  void open() { set(true); }
  int waiting() {
    std::lock_guard lock(mutex_);
    return waiting_;
  }

 private:
  void set(bool open) {
    std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  int waiting_ = 0;
};

// The null runtime with every run going through a gate first, deaf to stop requests, under the name
// "gated".
class GatedRuntime : public runtime::Runtime {
 public:
  explicit GatedRuntime(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}
  std::string_view name() const override { return "gated"; }
  std::string version() const override { return "1"; }
  runtime::Capabilities capabilities() const override {
    return {.thread_safe = true, .batching = true};
  }

 private:
  Result<std::unique_ptr<runtime::Model>> load_files(const runtime::ModelSource& source,
                                                     const runtime::LoadOptions& options) override {
    SKERRY_ASSIGN(auto model, null_.load(source, options));
    return std::make_unique<GatedModel>(std::move(model), gate_);
  }

  class GatedModel : public runtime::Model {
   public:
    GatedModel(std::unique_ptr<Model> model, std::shared_ptr<Gate> gate)
        : model_(std::move(model)), gate_(std::move(gate)) {}
    const std::vector<tensor::TensorSpec>& inputs() const override { return model_->inputs(); }
    const std::vector<tensor::TensorSpec>& outputs() const override { return model_->outputs(); }
    Result<std::vector<tensor::Tensor>> run(std::span<const tensor::TensorView> inputs,
                                            std::span<const std::string> wanted,
                                            const std::stop_token& stop) override {
      gate_->pass();
      return model_->run(inputs, wanted, stop);
    }

   private:
    std::unique_ptr<Model> model_;
    std::shared_ptr<Gate> gate_;
  };

  runtime::NullRuntime null_;
  std::shared_ptr<Gate> gate_;
};

// Another model's answers, changed.
class WrappedModel : public runtime::Model {
 public:
  explicit WrappedModel(std::unique_ptr<runtime::Model> model) : model_(std::move(model)) {}
  const std::vector<tensor::TensorSpec>& inputs() const override { return model_->inputs(); }
  const std::vector<tensor::TensorSpec>& outputs() const override { return model_->outputs(); }

 protected:
  std::unique_ptr<runtime::Model> model_;
};

// Answers with the first row alone, however many there are.
class FirstRowModel : public WrappedModel {
 public:
  using WrappedModel::WrappedModel;
  Result<std::vector<tensor::Tensor>> run(std::span<const tensor::TensorView> inputs,
                                          std::span<const std::string> wanted,
                                          const std::stop_token& stop) override {
    SKERRY_ASSIGN(auto outputs, model_->run(inputs, wanted, stop));
    for (tensor::Tensor& output : outputs) {
      output.bytes.resize(output.bytes.size() / static_cast<size_t>(output.shape[0]));
      output.shape[0] = 1;
    }
    return outputs;
  }
};

// Refuses to run where a value is negative.
class PickyModel : public WrappedModel {
 public:
  using WrappedModel::WrappedModel;
  Result<std::vector<tensor::Tensor>> run(std::span<const tensor::TensorView> inputs,
                                          std::span<const std::string> wanted,
                                          const std::stop_token& stop) override {
    for (size_t at = 0; at < inputs[0].bytes.size(); at += sizeof(float)) {
      float value = 0;
      std::memcpy(&value, inputs[0].bytes.data() + at, sizeof value);
      if (value < 0) return fail(Code::kInternal, "a value is negative");
    }
    return model_->run(inputs, wanted, stop);
  }
};

// Each value's reciprocal: infinite for 0.
class DividingModel : public WrappedModel {
 public:
  using WrappedModel::WrappedModel;
  bool is_bounded() const override { return true; }
  Result<std::vector<tensor::Tensor>> run(std::span<const tensor::TensorView> inputs,
                                          std::span<const std::string> wanted,
                                          const std::stop_token& stop) override {
    SKERRY_ASSIGN(auto outputs, model_->run(inputs, wanted, stop));
    for (size_t at = 0; at < outputs[0].bytes.size(); at += sizeof(float)) {
      float value = 0;
      std::memcpy(&value, outputs[0].bytes.data() + at, sizeof value);
      // The others stay 0, which is finite.
      if (at == 0) value = 1 / value;
      std::memcpy(outputs[0].bytes.data() + at, &value, sizeof value);
    }
    return outputs;
  }
};

// Takes 20 ms, longer than ten times of anything that the null runtime does.
class SlowModel : public WrappedModel {
 public:
  using WrappedModel::WrappedModel;
  bool is_bounded() const override { return true; }
  Result<std::vector<tensor::Tensor>> run(std::span<const tensor::TensorView> inputs,
                                          std::span<const std::string> wanted,
                                          const std::stop_token& stop) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return model_->run(inputs, wanted, stop);
  }
};

// All runtimes of these tests.
inline std::shared_ptr<runtime::Runtimes> runtimes(std::shared_ptr<Gate> gate) {
  auto result = std::make_shared<runtime::Runtimes>();
  result->add(std::make_unique<runtime::NullRuntime>());
  result->add(std::make_unique<GatedRuntime>(std::move(gate)));
  EXPECT_TRUE(result->add("onnxruntime", SKERRY_CACHE_DIR "/onnxruntime/lib/libonnxruntime.so"));
  return result;
}

}  // namespace skerry::serve::test
