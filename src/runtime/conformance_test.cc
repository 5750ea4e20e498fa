// What every runtime promises, checked on each. A new runtime adds one entry to subjects() and the
// models pair, text and fail to testdata/, and type_… for each element type that it takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "base/sanitizers.h"
#include "io/temporary_folder.h"
#include "io/test_directory.h"
#include "runtime/runtimes.h"
#include "test_paths.h"

namespace skerry::runtime {
namespace {

using tensor::DataType;
using testing::HasSubstr;

struct Subject {
  std::string name;
  std::string extension;  // of its models in testdata/
  std::string library;
  std::string directory = SKERRY_SOURCE_DIR "/src/runtime/testdata";
  bool fixed_shapes = false;  // open dimensions of its models are 1
  // What else a package has; ".meta" stands for the file of that kind that is called as the model.
  std::vector<std::string> more_files;
};
std::ostream& operator<<(std::ostream& out, const Subject& subject) {
  return out << subject.name;
}

const std::string kOpenVino = SKERRY_CACHE_DIR "/openvino/lib/libopenvino_c.so";

// Installed only when somebody asks for it. It loads a library with RTLD_DEEPBIND, which no
// sanitizer can stand.
bool has_openvino() {
  return !kIsSanitized && std::filesystem::exists(kOpenVino);
}

std::vector<Subject> subjects() {
  std::vector<Subject> all = {
      {"null", ".json", ""},
      {"compiled", ".so", "", SKERRY_BIN_DIR "/compiled_testdata", true},  // src/compile/testdata
      {"onnxruntime", ".onnx", SKERRY_CACHE_DIR "/onnxruntime/lib/libonnxruntime.so"},
      {"litert", ".tflite", SKERRY_CACHE_DIR "/litert/lib/libLiteRt.so"},
      {"dlr",
       ".json",
       SKERRY_CACHE_DIR "/dlr/dlr/libdlr.so",
       SKERRY_BIN_DIR "/dlr_testdata",
       true,
       {".meta", "empty.params", "kernels.so"}},
      {"copy", ".copy", SKERRY_BIN_DIR "/libcopy_runtime.so"}};  // examples/copy_runtime
  if (has_openvino()) all.push_back({"openvino", ".onnx", kOpenVino});
  return all;
}

template <class T>
Tensor tensor(std::string name, DataType type, std::vector<int64_t> shape,
              const std::vector<T>& values) {
  Tensor result{std::move(name), type, std::move(shape), {}};
  const auto* first = reinterpret_cast<const std::byte*>(values.data());
  result.bytes.assign(first, first + values.size() * sizeof(T));
  return result;
}

std::vector<TensorView> views(const std::vector<Tensor>& tensors) {
  std::vector<TensorView> result;
  for (const Tensor& each : tensors) result.push_back(each.view());
  return result;
}

class Conformance : public testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    auto opened = open_runtime(GetParam().name, GetParam().library);
    ASSERT_TRUE(opened) << opened.error().message();
    runtime_ = std::move(*opened);
  }

  // Digests by path; "" is not verified.
  std::map<std::string, std::string, std::less<>> files_of(const std::string& model) const {
    std::map<std::string, std::string, std::less<>> files = {{model + GetParam().extension, ""}};
    for (const std::string& more : GetParam().more_files) {
      files.emplace(more.starts_with('.') ? model + more : more, "");
    }
    return files;
  }
  ModelSource source(const std::string& model) const {
    return {GetParam().directory, model + GetParam().extension, files_of(model)};
  }

  std::unique_ptr<Model> load(const std::string& model) {
    auto loaded = runtime_->load(source(model), {});
    EXPECT_TRUE(loaded) << loaded.error().message();
    return loaded ? std::move(*loaded) : nullptr;
  }

  bool takes(DataType type) const {
    return std::ranges::count(runtime_->capabilities().types, type) > 0;
  }
  // Of "pair".
  std::string type_of_a() const { return GetParam().fixed_shapes ? "FP32[1,4]" : "FP32[-1,4]"; }
  // The error of running "pair" with these inputs and outputs.
  Error refusal(const std::vector<Tensor>& inputs, const std::vector<std::string>& wanted = {}) {
    const auto result = load("pair")->run(views(inputs), wanted);
    return result ? Error(Code::kInternal, "was accepted") : result.error();
  }

  const Tensor a_ = tensor<float>("a", DataType::kFp32, {1, 4}, {1, 2, 3, 4});
  const Tensor b_ = tensor<int64_t>("b", DataType::kInt64, {2}, {7, -7});

  std::unique_ptr<Runtime> runtime_;
};

TEST_P(Conformance, SaysItsNameAndVersion) {
  EXPECT_EQ(runtime_->name(), GetParam().name);
  EXPECT_FALSE(runtime_->version().empty());
}

TEST_P(Conformance, DeclaresInputsAndOutputs) {
  const auto model = load("pair");
  ASSERT_EQ(model->inputs().size(), 2u);
  EXPECT_EQ(model->inputs()[0].name, "a");
  EXPECT_EQ(tensor::describe(model->inputs()[0].type, model->inputs()[0].shape), type_of_a());
  EXPECT_EQ(model->inputs()[1].name, "b");
  EXPECT_EQ(tensor::describe(model->inputs()[1].type, model->inputs()[1].shape), "INT64[2]");
  ASSERT_EQ(model->outputs().size(), 2u);
  EXPECT_EQ(model->outputs()[0].name, "c");
  EXPECT_EQ(tensor::describe(model->outputs()[1].type, model->outputs()[1].shape), "INT64[2]");
}

TEST_P(Conformance, RunsWithInputsInAnyOrder) {
  const auto result = load("pair")->run(views({b_, a_}), {});
  ASSERT_TRUE(result) << result.error().message();
  ASSERT_EQ(result->size(), 2u);
  EXPECT_EQ((*result)[0].name, "c");
  EXPECT_EQ((*result)[0].shape, a_.shape);
  EXPECT_EQ((*result)[0].bytes, a_.bytes);
  EXPECT_EQ((*result)[1].name, "d");
  EXPECT_EQ((*result)[1].type, DataType::kInt64);
  EXPECT_EQ((*result)[1].bytes, b_.bytes);
}

TEST_P(Conformance, SaysWhatItsLayersTakeOrThatItCannot) {
  const auto folder = io::TemporaryFolder::make("skerry-profile");
  ASSERT_TRUE(folder);
  auto model = runtime_->load(source("pair"), {.profile_directory = folder->path()});
  ASSERT_TRUE(model) << model.error().message();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE((*model)->run(views({a_, b_}), {}));
  const auto layers = (*model)->layer_times();
  if (!runtime_->capabilities().measures_layers) {
    ASSERT_FALSE(layers);
    EXPECT_EQ(layers.error().code(), Code::kUnsupported);
    return;
  }
  ASSERT_TRUE(layers) << layers.error().message();
  for (const LayerTime& layer : *layers) EXPECT_FALSE(layer.op.empty());
  EXPECT_EQ(load("pair")->layer_times().error().code(), Code::kFailedPrecondition);
}

TEST_P(Conformance, AnyDimensionTakesAnySize) {
  if (!runtime_->capabilities().batching) GTEST_SKIP() << "it says that it cannot";
  const auto model = load("pair");
  for (const int64_t rows : {0, 1, 3, 1000, 3}) {
    if (rows == 0 && !runtime_->capabilities().empty_tensors) continue;  // as it says
    const std::vector<float> values(static_cast<size_t>(rows) * 4, 0.5f);
    const Tensor a = tensor("a", DataType::kFp32, {rows, 4}, values);
    const auto result = model->run(views({a, b_}), {});
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_EQ((*result)[0].shape, a.shape);
    EXPECT_EQ((*result)[0].bytes, a.bytes);
  }
}

TEST_P(Conformance, TakesBytesAtAnyAddress) {
  std::vector<std::byte> buffer(a_.bytes.size() + 1);
  std::memcpy(buffer.data() + 1, a_.bytes.data(), a_.bytes.size());
  std::vector<TensorView> inputs = views({a_, b_});
  inputs = {{"a", DataType::kFp32, a_.shape, std::span(buffer).subspan(1)}, b_.view()};
  const auto result = load("pair")->run(inputs, {});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ((*result)[0].bytes, a_.bytes);
}

TEST_P(Conformance, GivesWantedOutputsInTheirOrder) {
  const auto both = load("pair")->run(views({a_, b_}), std::vector<std::string>{"d", "c"});
  ASSERT_TRUE(both) << both.error().message();
  ASSERT_EQ(both->size(), 2u);
  EXPECT_EQ((*both)[0].name, "d");
  EXPECT_EQ((*both)[1].name, "c");
  const auto one = load("pair")->run(views({a_, b_}), std::vector<std::string>{"d"});
  ASSERT_TRUE(one);
  EXPECT_EQ(one->size(), 1u);
}

TEST_P(Conformance, CarriesStringsWhole) {
  if (!takes(DataType::kBytes)) GTEST_SKIP() << "it says that it takes none";
  Tensor text{"text", DataType::kBytes, {3}, {}};
  tensor::append_bytes(text.bytes, "first");
  tensor::append_bytes(text.bytes, "");
  tensor::append_bytes(text.bytes, std::string_view("nul\0inside", 10));
  const auto result = load("text")->run(views({text}), {});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ((*result)[0].type, DataType::kBytes);
  EXPECT_EQ((*result)[0].bytes, text.bytes);
}

TEST_P(Conformance, RefusesAWrongRequestAndNamesTheInput) {
  Tensor wrong = a_;
  wrong.type = DataType::kInt32;
  Error error = refusal({wrong, b_});
  EXPECT_EQ(error.code(), Code::kInvalidArgument);
  EXPECT_EQ(error.message(), "input 'a' is INT32[1,4]; expected " + type_of_a());

  wrong = a_;
  wrong.shape = {2, 2};
  EXPECT_EQ(refusal({wrong, b_}).message(), "input 'a' is FP32[2,2]; expected " + type_of_a());
  wrong.shape = {4};
  EXPECT_EQ(refusal({wrong, b_}).message(), "input 'a' is FP32[4]; expected " + type_of_a());
  wrong.shape = {-1, 4};
  EXPECT_THAT(refusal({wrong, b_}).message(),
              HasSubstr(GetParam().fixed_shapes ? "expected FP32[1,4]" : "negative"));
  if (!GetParam().fixed_shapes) {
    wrong.shape = {2, 4};
    EXPECT_EQ(refusal({wrong, b_}).message(), "input 'a' has 16 bytes; FP32[2,4] takes 32");
  }
  wrong.shape = {1, 4};
  wrong.bytes.resize(12);
  EXPECT_EQ(refusal({wrong, b_}).message(), "input 'a' has 12 bytes; FP32[1,4] takes 16");

  EXPECT_EQ(refusal({a_}).message(), "input 'b' is missing; expected INT64[2]");
  EXPECT_EQ(refusal({a_, b_, b_}).message(), "input 'b' is given twice");
  wrong = a_;
  wrong.name = "z";
  EXPECT_EQ(refusal({a_, b_, wrong}).message(), "input 'z' is unknown; the model takes: a, b");

  error = refusal({a_, b_}, {"e"});
  EXPECT_EQ(error.code(), Code::kInvalidArgument);
  EXPECT_EQ(error.message(), "output 'e' is unknown; the model gives: c, d");
  EXPECT_EQ(refusal({a_, b_}, {"c", "c"}).message(), "output 'c' is asked for twice");
}

TEST_P(Conformance, ReportsAFailureInsideTheModelAndGoesOn) {
  const auto model = load("fail");
  for (int i = 0; i < 2; ++i) {
    const auto result = model->run(views({a_, b_}), {});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Code::kInternal);
    EXPECT_FALSE(result.error().message().empty());
  }
}

TEST_P(Conformance, RunsFromSeveralThreadsAtOnce) {
  if (!runtime_->capabilities().thread_safe) GTEST_SKIP() << "it says that it cannot";
  const auto model = load("pair");
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const Tensor a = tensor<float>("a", DataType::kFp32, {1, 4}, std::vector<float>(4, float(t)));
      for (int i = 0; i < 200; ++i) {
        const auto result = model->run(views({a, b_}), {});
        if (result && (*result)[0].bytes == a.bytes) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 800);
}

TEST_P(Conformance, CountsItsModelsMemoryWhereItSaysSo) {
  const bool counts = runtime_->capabilities().counts_memory;
  const auto model = load("pair");
  EXPECT_EQ(model->memory_bytes() > 0, counts);
  ASSERT_TRUE(model->run(views({a_, b_}), {}));
  EXPECT_EQ(model->memory_bytes() > 0, counts);
}

TEST_P(Conformance, ModelsAreIndependentAndOutliveTheRuntime) {
  auto first = load("pair");
  auto second = load("pair");
  first.reset();
  runtime_.reset();
  const auto result = second->run(views({a_, b_}), {});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ((*result)[0].bytes, a_.bytes);
}

// Both stay loaded, as a version and the next one do while one replaces the other.
TEST_P(Conformance, ModelsThatAreThereAtOnceAreDifferentOnes) {
  const auto first = load("pair");
  const auto second = load("fail");
  const auto third = load("type_fp32");
  EXPECT_TRUE(first->run(views({a_, b_}), {}));
  EXPECT_FALSE(second->run(views({a_, b_}), {}));
  EXPECT_EQ(third->inputs().size(), 1u);
  EXPECT_TRUE(third->run(views({tensor<float>("x", DataType::kFp32, {1}, {0.5f})}), {}));
  EXPECT_TRUE(first->run(views({a_, b_}), {}));
}

TEST_P(Conformance, RefusesMissingAndDamagedFiles) {
  EXPECT_EQ(runtime_->load(source("absent"), {}).error().code(), Code::kNotFound);

  const std::string name = "pair" + GetParam().extension;
  const tensor::Bytes whole = *source("pair").read(name, 1 << 20);
  const io::ScratchDirectory scratch;
  for (const auto& [path, digest] : files_of("pair")) {
    std::filesystem::copy_file(GetParam().directory + "/" + path, scratch.path(path));
  }
  const ModelSource source(scratch.path(), name, files_of("pair"));
  const auto write = [&](std::string_view bytes) {
    std::ofstream(scratch.path(name), std::ios::binary | std::ios::trunc) << bytes;
  };
  // Every prefix: a download that was cut anywhere.
  for (size_t size = 0; size + 1 < whole.size(); ++size) {
    write({reinterpret_cast<const char*>(whole.data()), size});
    const auto loaded = runtime_->load(source, {});
    if (loaded) {
      // ONNX has no end mark: a prefix that ends between fields can be a whole, valid model.
      EXPECT_EQ((*loaded)->inputs().size(), 2u) << "cut to " << size;
      continue;
    }
    EXPECT_EQ(loaded.error().code(), Code::kCorrupt) << loaded.error().message();
    EXPECT_THAT(loaded.error().message(), HasSubstr(name));
  }
  write("this is no model");
  EXPECT_EQ(runtime_->load(source, {}).error().code(), Code::kCorrupt);
}

TEST_P(Conformance, RunsNothingThatIsNotWhatThePackagePromises) {
  const std::string name = "pair" + GetParam().extension;
  for (const auto& [path, digest] : files_of("pair")) {
    auto files = files_of("pair");
    files[path] = std::string(64, '0');
    const auto loaded = runtime_->load({GetParam().directory, name, files}, {});
    ASSERT_FALSE(loaded) << path;
    EXPECT_EQ(loaded.error().code(), Code::kCorrupt);
    EXPECT_THAT(loaded.error().message(), HasSubstr("has SHA-256"));
  }
}

TEST_P(Conformance, AStopEndsARunThatWouldNeverEnd) {
  if (!runtime_->capabilities().interruptible) GTEST_SKIP() << "it says that it cannot";
  const auto model = load("hang");
  EXPECT_FALSE(model->is_bounded());
  const Tensor n = tensor<int64_t>("n", DataType::kInt64, {}, {INT64_MAX});
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  const auto result = model->run(views({n}), {}, stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kCancelled) << result.error().message();
}

TEST_P(Conformance, KnowsThatPlainModelsAreBounded) {
  EXPECT_TRUE(load("pair")->is_bounded());
}

// One model per element type, x → y of any length.
TEST_P(Conformance, CarriesEveryElementType) {
  const std::vector<std::pair<std::string, DataType>> types = {
      {"bool", DataType::kBool},     {"int8", DataType::kInt8},     {"int16", DataType::kInt16},
      {"int32", DataType::kInt32},   {"int64", DataType::kInt64},   {"uint8", DataType::kUint8},
      {"uint16", DataType::kUint16}, {"uint32", DataType::kUint32}, {"uint64", DataType::kUint64},
      {"fp16", DataType::kFp16},     {"fp32", DataType::kFp32},     {"fp64", DataType::kFp64}};
  for (const auto& [name, type] : types) {
    if (!takes(type)) continue;  // as it says
    const auto model = load("type_" + name);
    ASSERT_NE(model, nullptr) << name;
    for (const int64_t count : {0, 1, 5}) {
      if (count == 0 && !runtime_->capabilities().empty_tensors) continue;  // as it says
      if (count != 1 && GetParam().fixed_shapes) continue;
      Tensor x{"x", type, {count}, {}};
      x.bytes.resize(static_cast<size_t>(count) * tensor::size_of(type), std::byte{1});
      if (type == DataType::kInt64 && !runtime_->capabilities().wide_integers) {
        if (count > 0) {
          EXPECT_EQ(model->run(views({x}), {}).error().code(), Code::kInvalidArgument);
        }
        x = tensor("x", type, {count}, std::vector<int64_t>(static_cast<size_t>(count), INT32_MIN));
      }
      const auto result = model->run(views({x}), {});
      ASSERT_TRUE(result) << name << ": " << result.error().message();
      EXPECT_EQ((*result)[0].type, type) << name;
      EXPECT_EQ((*result)[0].shape, x.shape) << name;
      EXPECT_EQ((*result)[0].bytes, x.bytes) << name;
    }
  }
}

TEST(Conformance, OfOpenVino) {
  if (!has_openvino()) GTEST_SKIP() << "run ./dev setup openvino; not under sanitizers";
}

INSTANTIATE_TEST_SUITE_P(Runtimes, Conformance, testing::ValuesIn(subjects()),
                         [](const auto& subject) { return subject.param.name; });

}  // namespace
}  // namespace skerry::runtime
