// Training on stock ONNX Runtime and on the reference executor: it learns, the same every time,
// through crashes, and refuses what cannot work.
#include "train/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "formats/checkpoint.h"
#include "graph/onnx/export.h"
#include "graph/text.h"
#include "io/fault_files.h"
#include "io/test_directory.h"
#include "tensor/npy.h"
#include "test_paths.h"
#include "train/adapt.h"
#include "train/draw.h"

namespace skerry::train {
namespace {

using testing::HasSubstr;

const optimise::EngineSpec kOrt = {"onnxruntime",
                                   SKERRY_CACHE_DIR "/onnxruntime/lib/libonnxruntime.so"};
const optimise::EngineSpec kReference = {"reference", ""};

// Convolution, batch norm, pool, two layers, softmax: for images of 6×6 in three classes.
constexpr const char* kNet = R"(graph "net" {
  input %x: FP32[batch,1,6,6]
  const %w1 = FP32[4,1,3,3] {0.1,0.2,-0.1,0.3,-0.2,0.1,0.2,-0.3,0.1, 0.2,-0.1,0.1,0.1,0.2,0.3,-0.2,0.1,-0.1, -0.3,0.1,0.2,0.1,-0.1,0.2,0.1,0.3,-0.2, 0.1,0.1,-0.2,0.2,0.3,-0.1,0.1,-0.2,0.2}
  const %s1 = FP32[4] {1,1,1,1}
  const %b1 = FP32[4] {0,0,0,0}
  const %m1 = FP32[4] {0,0,0,0}
  const %v1 = FP32[4] {1,1,1,1}
  const %w2 = FP32[36,3] {)"
                             "0.1,-0.1,0.2, 0.1,0.1,-0.1, -0.2,0.1,0.1, 0.1,0.2,0.1, 0.1,-0.1,0.2, "
                             "0.1,0.1,-0.1, -0.2,0.1,0.1, 0.1,0.2,0.1, 0.1,-0.1,0.2, 0.1,0.1,-0.1, "
                             "-0.2,0.1,0.1, 0.1,0.2,0.1, 0.1,-0.1,0.2, 0.1,0.1,-0.1, -0.2,0.1,0.1, "
                             "0.1,0.2,0.1, 0.1,-0.1,0.2, 0.1,0.1,-0.1, -0.2,0.1,0.1, 0.1,0.2,0.1, "
                             "0.1,-0.1,0.2, 0.1,0.1,-0.1, -0.2,0.1,0.1, 0.1,0.2,0.1, 0.1,-0.1,0.2, "
                             "0.1,0.1,-0.1, -0.2,0.1,0.1, 0.1,0.2,0.1, 0.1,-0.1,0.2, 0.1,0.1,-0.1, "
                             "-0.2,0.1,0.1, 0.1,0.2,0.1, 0.1,-0.1,0.2, 0.1,0.1,-0.1, -0.2,0.1,0.1, "
                             "0.1,0.2,0.1"
                             R"(}
  const %b2 = FP32[3] {0,0,0}
  %c = Conv(%x, %w1) {pads=[1,1,1,1]} "conv1"
  %n = BatchNormalization(%c, %s1, %b1, %m1, %v1) "norm1"
  %r = Relu(%n)
  %p = MaxPool(%r) {kernel_shape=[2,2], strides=[2,2]}
  %f = Flatten(%p)
  %g = Gemm(%f, %w2, %b2) "head"
  %y = Softmax(%g)
  return %y
})";

std::unique_ptr<Graph> net() {
  auto graph = graph::parse_text(kNet);
  EXPECT_TRUE(graph) << graph.error().message();
  return std::move(*graph);
}

class Fitting : public testing::Test {
 protected:
  Fitting() : model_(net()) {
    options_.engine = kOrt;
    options_.epochs = 4;
    options_.step.batch = 16;
    options_.validation = 0.25;
    options_.step.optimiser.rate = 0.02;
    options_.directory = folder_.path("run");
    std::filesystem::create_directories(options_.directory);
    files_ = std::make_unique<io::RealFiles>();
  }

  // A bright row, column or diagonal in noise.
  optimise::Dataset data(size_t rows = 320, int classes = 3, float bad = 0) {
    Draw draw(7);
    std::vector<float> pixels;
    std::vector<int64_t> labels;
    for (size_t row = 0; row < rows; ++row) {
      const auto label = static_cast<int64_t>(row) % classes;
      const uint64_t line = draw.below(6);
      for (uint64_t y = 0; y < 6; ++y) {
        for (uint64_t x = 0; x < 6; ++x) {
          const bool on = label == 0 ? y == line : label == 1 ? x == line : (x + y) % 6 == line;
          pixels.push_back(static_cast<float>(0.2 * draw.normal() + (on ? 1 : 0)) + bad);
        }
      }
      labels.push_back(label);
    }
    const auto images =
        Constant::of(DataType::kFp32, {static_cast<int64_t>(rows), 1, 6, 6}, pixels);
    const auto classes_of = Constant::of(DataType::kInt64, {static_cast<int64_t>(rows)}, labels);
    io::RealFiles files;
    EXPECT_TRUE(
        io::write_file_atomic(files, folder_.path("x.npy"), *tensor::to_npy(images.view())));
    EXPECT_TRUE(
        io::write_file_atomic(files, folder_.path("y.npy"), *tensor::to_npy(classes_of.view())));
    auto read = optimise::Dataset::read(*model_, folder_.path("x.npy"), folder_.path("y.npy"), {});
    EXPECT_TRUE(read) << read.error().message();
    return std::move(*read);
  }

  Result<FitResult> run(const OnProgress& progress = {}) {
    return fit(*model_, data(), options_, *files_, progress);
  }

  static std::string bytes_of(const Graph& graph) {
    const auto bytes = graph::onnx::export_bytes(graph);
    EXPECT_TRUE(bytes);
    return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
  }

  io::ScratchDirectory folder_;
  std::unique_ptr<io::Files> files_;
  std::unique_ptr<Graph> model_;
  FitOptions options_;
};

TEST_F(Fitting, LearnsOnStockOnnxRuntime) {
  options_.epochs = 20;
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->training_rows, 240u);
  EXPECT_EQ(result->validation_rows, 80u);
  EXPECT_LT(result->before.validation_accuracy, 0.7);
  EXPECT_GT(result->history[result->best].validation_accuracy, 0.9);
  EXPECT_LT(result->history.back().loss, result->history.front().loss / 2);
  // The result is the model that came, with other numbers: its batch norm's statistics too.
  EXPECT_EQ(result->model->nodes().size(), model_->nodes().size());
  EXPECT_FALSE(*result->model->find("m1")->constant() == *model_->find("m1")->constant());
}

TEST_F(Fitting, GivesTheSameBitsForASeedAndOthersForAnother) {
  options_.resume = false;
  const auto first = run();
  const auto again = run();
  ASSERT_TRUE(first && again);
  EXPECT_EQ(bytes_of(*first->model), bytes_of(*again->model));
  options_.threads = 2;
  const auto threads = run();
  ASSERT_TRUE(threads);
  EXPECT_EQ(bytes_of(*first->model), bytes_of(*threads->model));
  options_.seed = 2;
  const auto other = run();
  ASSERT_TRUE(other);
  EXPECT_NE(bytes_of(*first->model), bytes_of(*other->model));
}

TEST_F(Fitting, StepsAreTheReferenceExecutorsUpToRounding) {
  options_.epochs = 1;
  options_.resume = false;
  const auto fast = run();
  options_.engine = kReference;
  const auto plain = run();
  ASSERT_TRUE(fast && plain) << plain.error().message();
  const auto a = fast->model->find("w1")->constant()->as<float>();
  const auto b = plain->model->find("w1")->constant()->as<float>();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 2e-4) << i;
}

// Checkpoints are in files that crash; the models of the steps are real, for the engine to read. A
// mutant forgets to sync what it writes.
class CheckpointFiles : public io::FaultFiles {
 public:
  explicit CheckpointFiles(bool syncs) : syncs_(syncs) {}

  Result<std::unique_ptr<io::File>> open(const std::string& path, io::OpenMode mode,
                                         uint32_t bits) override {
    if (path.ends_with(".onnx")) return real_.open(path, mode, bits);
    auto file = FaultFiles::open(path, mode, bits);
    if (!file || syncs_) return file;
    return std::make_unique<Forgetful>(std::move(*file));
  }
  Result<io::FileInfo> stat(const std::string& path) override {
    return path.ends_with(".onnx") ? real_.stat(path) : FaultFiles::stat(path);
  }

 private:
  class Forgetful : public io::File {
   public:
    explicit Forgetful(std::unique_ptr<io::File> file) : file_(std::move(file)) {}
    Result<void> write(std::string_view bytes) override { return file_->write(bytes); }
    Result<std::string> read_at(uint64_t offset, size_t size) override {
      return file_->read_at(offset, size);
    }
    Result<uint64_t> size() override { return file_->size(); }
    Result<void> truncate(uint64_t size) override { return file_->truncate(size); }
    Result<void> sync() override { return {}; }

   private:
    std::unique_ptr<io::File> file_;
  };

  io::RealFiles real_;
  bool syncs_;
};

class Crashing : public Fitting {
 protected:
  Crashing() {
    options_.epochs = 2;
    options_.step.batch = 80;
    options_.checkpoint_seconds = 0;  // after each step
  }

  struct Lives {
    size_t cuts = 0;
    size_t lost = 0;  // that did not go on, or ended otherwise
  };

  // The power goes at every change of a file, one life each.
  Lives live(bool syncs) {
    const auto calm = run();
    EXPECT_TRUE(calm) << calm.error().message();
    const std::string wanted = bytes_of(*calm->model);
    Lives lives;
    for (size_t cut = 0; cut < 100; ++cut) {
      auto crashing = std::make_unique<CheckpointFiles>(syncs);
      EXPECT_TRUE(io::make_directories(*crashing, options_.directory));
      crashing->crash_at(crashing->operations().size() + cut);
      CheckpointFiles& files = *crashing;
      files_ = std::move(crashing);
      if (run()) break;  // so many operations there are not
      ++lives.cuts;
      files.reboot(io::CrashPolicy::kSeeded, cut);
      const auto resumed = run();
      lives.lost += resumed && bytes_of(*resumed->model) == wanted ? 0 : 1;
    }
    return lives;
  }
};

TEST_F(Crashing, APowerCutAtAnyWriteOfACheckpointChangesNothing) {
  const Lives lives = live(true);
  EXPECT_GT(lives.cuts, 20u);
  EXPECT_EQ(lives.lost, 0u);
}

TEST_F(Crashing, TheTestSeesACheckpointThatIsNotSynced) {
  EXPECT_GT(live(false).lost, 0u);
}

TEST_F(Fitting, KeepsTheLastCheckpointWhereTheDiskIsFull) {
  auto full = std::make_unique<io::FaultFiles>();
  formats::Checkpoint old{.document = "old", .tensors = {}};
  ASSERT_TRUE(io::make_directories(*full, "/run"));
  ASSERT_TRUE(formats::write_checkpoint(*full, "/run/checkpoint", old));
  full->set_capacity(200);
  formats::Checkpoint large{.document = std::string(5000, 'x'), .tensors = {}};
  EXPECT_FALSE(formats::write_checkpoint(*full, "/run/checkpoint", large));
  const auto kept = formats::read_checkpoint(*full, "/run/checkpoint");
  ASSERT_TRUE(kept) << kept.error().message();
  EXPECT_EQ(kept->document, "old");
}

TEST_F(Fitting, StopsEarlyAndKeepsTheBest) {
  options_.epochs = 40;
  options_.patience = 3;
  options_.step.optimiser.rate = 0.05;
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(result->stopped_early);
  EXPECT_EQ(result->history.size(), result->best + 4);
  const std::string html = fit_html(*result, options_);
  EXPECT_THAT(html, HasSubstr("<polyline"));
  EXPECT_THAT(fit_json(*result, options_), HasSubstr("\"stoppedEarly\":true"));
}

TEST_F(Fitting, FrozenParametersStay) {
  const auto frozen = frozen_by(*model_, {"body"});
  ASSERT_TRUE(frozen);
  options_.step.frozen = *frozen;
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  for (const char* name : {"w1", "s1", "b1", "m1", "v1"}) {
    EXPECT_TRUE(*result->model->find(name)->constant() == *model_->find(name)->constant()) << name;
  }
  EXPECT_FALSE(*result->model->find("w2")->constant() == *model_->find("w2")->constant());
  EXPECT_FALSE(frozen_by(*model_, {"nothing.*"}));
  EXPECT_EQ(frozen_by(*model_, {"conv*"})->size(), 1u);
}

TEST_F(Fitting, ANewHeadHasOtherClasses) {
  ASSERT_TRUE(replace_head(*model_, 2, 1));
  EXPECT_EQ(graph::to_string(model_->outputs()[0]->type()), "FP32[batch,2]");
  const auto result = fit(*model_, data(120, 2), options_, *files_);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(graph::to_string(result->model->outputs()[0]->type()), "FP32[batch,2]");
}

TEST_F(Fitting, FreshWeightsLearnToo) {
  reinitialise(*model_, 3);
  options_.epochs = 20;
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_GT(result->history[result->best].validation_accuracy, 0.8);
}

TEST_F(Fitting, ATeacherTeachesWithoutLabels) {
  options_.epochs = 20;
  auto teacher = run();
  ASSERT_TRUE(teacher);
  ASSERT_TRUE(graph::onnx::export_file(*teacher->model, folder_.path("teacher.onnx")));
  reinitialise(*model_, 5);
  options_.resume = false;
  options_.teacher = folder_.path("teacher.onnx");
  options_.teacher_engine = kOrt;
  options_.epochs = 30;
  options_.step.distillation = Distillation{.features = "p"};
  const auto labelled = data();
  auto bare = optimise::Dataset::read(*model_, folder_.path("x.npy"), "", {});
  ASSERT_TRUE(bare);
  const auto pupil = fit(*model_, *bare, options_, *files_);
  ASSERT_TRUE(pupil) << pupil.error().message();
  // How well it does, labels say, by an epoch that changes nothing.
  options_.teacher.clear();
  options_.step.optimiser.rate = 0;
  options_.epochs = 1;
  const auto judged = fit(*pupil->model, labelled, options_, *files_);
  ASSERT_TRUE(judged) << judged.error().message();
  EXPECT_GT(judged->before.validation_accuracy, 0.8);
}

TEST_F(Fitting, OptimisersAveragesAndLossesRun) {
  options_.resume = false;
  for (const Optimiser optimiser : {Optimiser::kSgd, Optimiser::kAdam, Optimiser::kAdamW}) {
    for (const Loss loss : {Loss::kCrossEntropy, Loss::kFocal, Loss::kMse, Loss::kHuber}) {
      options_.epochs = 3;
      options_.step.loss.loss = loss;
      options_.step.optimiser.optimiser = optimiser;
      options_.step.optimiser.rate = optimiser == Optimiser::kSgd ? 0.1 : 0.01;
      options_.step.optimiser.weight_decay = 1e-3;
      options_.step.optimiser.clip_norm = 1;
      options_.step.optimiser.average = 0.8;
      options_.warmup_epochs = 0.5;
      options_.augmentation = {.flip = true, .shift = 1, .noise = 0.05};
      const auto result = run();
      ASSERT_TRUE(result) << result.error().message();
      EXPECT_LT(result->history.back().loss, result->history.front().loss) << name_of(loss);
    }
  }
}

TEST_F(Fitting, RefusesWhatCannotWork) {
  const auto refusal = [&](const optimise::Dataset& rows) {
    options_.resume = false;
    const auto result = fit(*model_, rows, options_, *files_);
    EXPECT_FALSE(result);
    return result ? std::string() : result.error().message();
  };
  EXPECT_THAT(refusal(data(30, 1)), HasSubstr("all rows have the one label 0"));
  const auto many = data(40, 3);
  ASSERT_TRUE(replace_head(*model_, 2, 1));
  EXPECT_THAT(refusal(many), HasSubstr("row 2 has the label 2"));
  model_ = net();
  auto bare = optimise::Dataset::read(*model_, folder_.path("x.npy"), "", {});
  ASSERT_TRUE(bare);
  EXPECT_THAT(refusal(*bare), HasSubstr("there are no labels"));
  EXPECT_THAT(refusal(data(40, 3, NAN)),
              testing::AllOf(HasSubstr("epoch 1, step 1: "), HasSubstr("try a lower --rate")));
  options_.step.frozen = {"w1", "s1", "b1", "w2", "b2"};
  EXPECT_THAT(refusal(data()), HasSubstr("nothing is left to train"));
  options_.step.frozen.clear();
  options_.resume = true;
  ASSERT_TRUE(run());
  options_.step.batch = 8;
  const auto other = run();
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message(), HasSubstr("belongs to a training of another"));
}

TEST(Checkpoints, ComeBackAndNoDamagePasses) {
  const auto constant = Constant::of<float>(DataType::kFp32, {2, 2}, {1, 2, 3, 4});
  tensor::Tensor tensor{.name = "w", .type = DataType::kFp32, .shape = {2, 2}};
  tensor.bytes.assign(constant.bytes().begin(), constant.bytes().end());
  const std::string bytes = formats::encode({.document = "{}", .tensors = {tensor}});
  const auto back = formats::decode_checkpoint(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->document, "{}");
  EXPECT_EQ(back->tensors[0].name, "w");
  EXPECT_EQ(back->tensors[0].bytes, tensor.bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(formats::decode_checkpoint(damaged)) << i;
    EXPECT_FALSE(formats::decode_checkpoint(bytes.substr(0, i))) << i;
  }
}

}  // namespace
}  // namespace skerry::train
