// Helpers of this folder's tests: model packages on disk, a runtime whose runs can be held, tasks
// run to their end.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "io/loop.h"
#include "io/task.h"
#include "runtime/null/null_runtime.h"
#include "runtime/tensor.h"

namespace skerry::serve::test {

using nlohmann::json;

// Generous: reached only when something never happens.
inline constexpr int kDeadlineMs = 30'000;

// Runs the loop until `done` holds; false after the deadline.
inline bool run_until(io::RealLoop& loop, const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadlineMs);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    loop.run_for(100);
  }
  return true;
}

template <class T>
io::Task<void> store(io::Task<T> task, std::optional<T>* out) {
  out->emplace(co_await task);
}

// The value of `task`, which must end before the deadline.
template <class T>
T run(io::RealLoop& loop, io::Task<T> task) {
  std::optional<T> value;
  io::TaskScope scope;
  scope.spawn(store(std::move(task), &value));
  if (!run_until(loop, [&] { return value.has_value(); })) {
    ADD_FAILURE() << "the task did not end";
    std::abort();
  }
  return std::move(*value);
}

// A folder that is removed at the end.
class TempDir {
 public:
  TempDir() {
    std::string pattern = testing::TempDir() + "skerry-serve-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string path(const std::string& name = "") const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline json tensor(const std::string& name, const std::string& datatype,
                   const std::vector<int64_t>& shape) {
  return {{"name", name}, {"datatype", datatype}, {"shape", shape}};
}

// A model package for the null runtime: x → y of `shape`, unless `change` edits it.
struct Package {
  json model = {{"null_model", 1},
                {"behaviour", "identity"},
                {"inputs", json::array({tensor("x", "FP32", {-1, 2})})},
                {"outputs", json::array({tensor("y", "FP32", {-1, 2})})}};
  json manifest = {{"format", 1},
                   {"name", "echo"},
                   {"version", "1"},
                   {"runtime", "null"},
                   {"file", "model.bin"},
                   {"inputs", model["inputs"]},
                   {"outputs", model["outputs"]}};

  explicit Package(const std::string& version = "1") { manifest["version"] = version; }

  // The same shape for all tensors of the model and of the contract.
  Package& shape(const std::vector<int64_t>& dimensions) {
    for (json* document : {&model, &manifest}) {
      (*document)["inputs"][0]["shape"] = dimensions;
      (*document)["outputs"][0]["shape"] = dimensions;
    }
    return *this;
  }

  // Returns the folder.
  std::string write(const std::string& directory) const {
    std::filesystem::create_directories(directory);
    const std::string bytes = model.dump();
    std::ofstream(directory + "/model.bin") << bytes;
    json complete = manifest;
    if (!complete.contains("sha256")) complete["sha256"] = hex_encode(sha256(bytes));
    std::ofstream(directory + "/model.json") << complete.dump();
    return directory;
  }
};

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

// The null runtime with every run going through a gate first, under the name "gated".
class GatedRuntime : public runtime::Runtime {
 public:
  GatedRuntime(io::Files& files, Gate& gate) : null_(files), gate_(gate) {}
  std::string_view name() const override { return "gated"; }
  std::string version() const override { return "1"; }
  Result<std::unique_ptr<runtime::Model>> load(const std::string& path,
                                               const runtime::LoadOptions& options) override {
    SKERRY_ASSIGN(auto model, null_.load(path, options));
    return std::make_unique<GatedModel>(std::move(model), gate_);
  }

 private:
  class GatedModel : public runtime::Model {
   public:
    GatedModel(std::unique_ptr<Model> model, Gate& gate) : model_(std::move(model)), gate_(gate) {}
    const std::vector<runtime::TensorSpec>& inputs() const override { return model_->inputs(); }
    const std::vector<runtime::TensorSpec>& outputs() const override { return model_->outputs(); }
    Result<std::vector<runtime::Tensor>> run(std::span<const runtime::TensorView> inputs,
                                             std::span<const std::string> wanted) override {
      gate_.pass();
      return model_->run(inputs, wanted);
    }

   private:
    std::unique_ptr<Model> model_;
    Gate& gate_;
  };

  runtime::NullRuntime null_;
  Gate& gate_;
};

}  // namespace skerry::serve::test
