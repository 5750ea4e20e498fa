// Helpers of this folder's tests: model packages on disk, tasks run to their end.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "io/loop.h"
#include "io/task.h"
#include "io/test_directory.h"
#include "test_paths.h"

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

// A package around one of src/runtime/testdata's ONNX models.
inline std::string write_onnx(const std::string& directory, const std::string& file,
                              json manifest) {
  std::filesystem::create_directories(directory);
  const std::string from = SKERRY_SOURCE_DIR "/src/runtime/testdata/" + file;
  std::ifstream stream(from, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  std::ofstream(directory + "/" + file, std::ios::binary) << bytes;
  manifest.update({{"format", 1},
                   {"runtime", "onnxruntime"},
                   {"file", file},
                   {"sha256", hex_encode(sha256(bytes))}});
  if (!manifest.contains("name")) manifest["name"] = "model";
  if (!manifest.contains("version")) manifest["version"] = "1";
  std::ofstream(directory + "/model.json") << manifest.dump();
  return directory;
}

}  // namespace skerry::serve::test
