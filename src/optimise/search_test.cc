// The search with a measure that the test makes up, so that every verdict is reached; data files;
// the reference engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "graph/inference.h"
#include "graph/model_file.h"
#include "io/files.h"
#include "io/test_directory.h"
#include "optimise/search/report.h"
#include "tensor/npy.h"

namespace skerry::optimise {
namespace {

using graph::Constant;
using graph::DataType;
using testing::HasSubstr;

class Folder : public io::ScratchDirectory {
 public:
  std::string operator/(const std::string& name) const { return path(name); }
  std::string write(const std::string& name, const std::string& bytes) const {
    io::RealFiles files;
    EXPECT_TRUE(io::write_file_atomic(files, path(name), bytes, 0644));
    return path(name);
  }
};

// Two classes by the sign of the sum of four numbers, with an Identity for the passes.
std::string write_model(const Folder& folder) {
  graph::Graph graph;
  graph::Value& x =
      graph.add_input("x", {DataType::kFp32, graph::Shape{graph::Dim::named("n"), graph::Dim(4)}});
  std::vector<float> weights;
  for (int i = 0; i < 4; ++i) {
    weights.push_back(1);
    weights.push_back(-1);
  }
  graph::Value& w = graph.add_constant("w", Constant::of(DataType::kFp32, {4, 2}, weights));
  graph.add_output(graph.add("MatMul", {&graph.add("Identity", {&x}), &w}, {}, "y"));
  graph::TypeInference inference;
  EXPECT_TRUE(inference.infer(graph));
  const auto written = graph::write_model_file(graph, folder / "model.onnx");
  EXPECT_TRUE(written) << written.error().message();
  return folder / "model.onnx";
}

tensor::Tensor floats_of(std::vector<int64_t> shape, const std::vector<float>& values) {
  tensor::Tensor tensor{.type = DataType::kFp32, .shape = std::move(shape)};
  tensor.bytes.resize(values.size() * 4);
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

// Rows whose right class is row % 2.
Dataset write_data(const Folder& folder, const std::string& model, size_t rows = 40) {
  std::vector<float> values;
  std::string labels("\0\0\x08\x01\0\0\0", 7);
  labels += static_cast<char>(rows);
  for (size_t row = 0; row < rows; ++row) {
    for (int i = 0; i < 4; ++i) {
      values.push_back((row % 2 == 0 ? 1.0F : -1.0F) * (1 + static_cast<float>(row) / 100));
    }
    labels += static_cast<char>(row % 2);
  }
  folder.write("rows.npy",
               *tensor::to_npy(floats_of({static_cast<int64_t>(rows), 4}, values).view()));
  folder.write("labels.idx", labels);
  const auto file = graph::read_model_file(model);
  EXPECT_TRUE(file);
  auto data = Dataset::read(*file->graph, folder / "rows.npy", folder / "labels.idx", {});
  EXPECT_TRUE(data) << data.error().message();
  return std::move(*data);
}

class Searching : public testing::Test {
 protected:
  Searching() : model_(write_model(folder_)), data_(write_data(folder_, model_)) {
    std::filesystem::create_directories(folder_ / "candidates");
    options_.engines = {{.name = "engine"}};
    options_.directory = folder_ / "candidates";
    options_.rounds = 2;
  }

  // What each candidate is measured as; µs, correct of 40, error.
  struct Made {
    double us = 100;
    size_t correct = 40;
    double error = 0;
  };

  Result<SearchResult> run() {
    return search(model_, data_, options_,
                  [this](const std::string& path, const EngineSpec& engine,
                         const MeasureOptions& wanted) -> Result<Measurement> {
                    ++measured_;
                    if (engine.name == missing_) {
                      ++asked_missing_;
                      return fail(Code::kUnavailable, "no such library");
                    }
                    const std::string name = std::filesystem::path(path).stem();
                    if (name == broken_) return fail(Code::kFailedPrecondition, "it died");
                    if (!wanted.save_outputs.empty()) folder_.write("candidates/answers.npy", "x");
                    const Made made = made_.contains(name) ? made_.at(name) : Made{};
                    return Measurement{
                        .min_us = made.us,
                        .median_us = made.us + 1,
                        .runs = 10,
                        .rows = 40,
                        .correct = made.correct,
                        .compared = 40,
                        .agreed = made.correct,
                        .error = made.error,
                        .layers = wanted.layers ? layers_ : std::vector<runtime::LayerTime>{}};
                  });
  }

  std::string winner(const SearchResult& result) {
    return result.candidates[result.trials[result.winner].candidate].name;
  }
  const Trial& trial(const SearchResult& result, const std::string& name) {
    for (const Trial& one : result.trials) {
      if (result.candidates[one.candidate].name == name) return one;
    }
    ADD_FAILURE() << "no candidate " << name;
    return result.trials[0];
  }

  Folder folder_;
  std::string model_;
  Dataset data_;
  SearchOptions options_;
  std::map<std::string, Made> made_;
  std::vector<runtime::LayerTime> layers_;
  std::string broken_, missing_;
  int measured_ = 0, asked_missing_ = 0;
};

TEST_F(Searching, MeasuresWhatOthersHaveMadeAndTakesItWhereItIsBest) {
  options_.make_more = [](const graph::Graph& optimised,
                          const Progress&) -> Result<std::vector<MadeElsewhere>> {
    std::vector<MadeElsewhere> made;
    made.push_back({.graph = optimised.clone(), .name = "trained-slim", .how = "by training"});
    made[0].graph->name = "slim";  // equal files are measured once
    return made;
  };
  made_["trained-slim"] = {.us = 10, .correct = 40};
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(winner(*result), "trained-slim");
}

TEST_F(Searching, TakesTheFastestThatKeepsTheBudget) {
  made_["int8-minmax"] = {.us = 20,
                          .correct = 30};  // loses a quarter, and all that are the same file
  made_["fp32"] = {.us = 60};
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(winner(*result), "fp32");
  EXPECT_EQ(trial(*result, "int8-minmax").refusal, "loses 25.00 points");
  EXPECT_EQ(result->trials[0].minima_us.size(), 2u);
  EXPECT_THAT(verdict(*result, options_), HasSubstr("fp32 in engine: 60.0 µs instead of 100.0"));
  const auto report = nlohmann::json::parse(report_json(*result, options_));
  EXPECT_EQ(report["candidate"], "fp32");
  EXPECT_THAT(report_markdown(*result, options_), HasSubstr("**chosen**"));
  const std::string html = report_html(*result, options_);
  EXPECT_THAT(html, HasSubstr("<svg"));
  EXPECT_THAT(html, Not(HasSubstr("http")));  // nothing from a network
}

TEST_F(Searching, KeepsTheSourceWhereNothingIsBetter) {
  for (const char* name : {"fp32", "int8-minmax", "int8-percentile", "int8-mse", "int8-entropy"}) {
    made_[name] = {.us = 200};
  }
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(winner(*result), "source");
  EXPECT_THAT(verdict(*result, options_), HasSubstr("No candidate is better"));
}

TEST_F(Searching, RefusesAnswersThatDifferAndWhatDies) {
  made_["fp32"] = {.us = 1, .error = 0.5};
  made_["int8-percentile"] = {.us = 50};
  broken_ = "int8-minmax";
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(winner(*result), "int8-percentile");
  EXPECT_THAT(trial(*result, "fp32").refusal, HasSubstr("differ by 0.5"));
  EXPECT_EQ(trial(*result, "int8-minmax").refusal, "it died");
  folder_.write("candidates/measured.json", "{}");
  EXPECT_THAT(search(model_, data_, options_,
                     [](const auto&, const auto&, const auto&) -> Result<Measurement> {
                       return fail(Code::kFailedPrecondition, "no engine");
                     })
                  .error()
                  .message(),
              HasSubstr("the source itself does not run in engine"));
}

TEST_F(Searching, GoesOnWhereItWasInterrupted) {
  ASSERT_TRUE(run());
  const int all = measured_;
  ASSERT_TRUE(run());
  EXPECT_EQ(measured_, all);
  folder_.write("candidates/measured.json", "{\"a\": 1, broken");
  ASSERT_TRUE(run());
  EXPECT_EQ(measured_, 2 * all);
}

// ONNX Runtime calls a layer after its output where it has put channels in blocks, and puts "Fused"
// before what it has made of several.
TEST_F(Searching, FindsTheLayerOfATimeByTheNamesThatEnginesGiveThem) {
  layers_ = {{"z_nchwc", "MatMul", 6.5}, {"y_nchwc", "Gemm", 7.5}, {"y_nchwc", "FusedMatMul", 8.5}};
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->profiles.at(0).layers, layers_);
  const auto product = std::ranges::find(result->layers, "MatMul", &LayerReport::op);
  ASSERT_NE(product, result->layers.end());
  EXPECT_EQ(product->us, 8.5);
}

TEST_F(Searching, ForSizeTakesTheSmallest) {
  options_.goal = Goal::kSize;
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  for (const Candidate& candidate : result->candidates) {
    EXPECT_GE(candidate.bytes, result->candidates[result->trials[result->winner].candidate].bytes);
  }
}

// What was read of it stands for a source that an engine refuses; both refused is the end.
TEST_F(Searching, ReadsTheSourceAgainWhereAnEngineRefusesItsFile) {
  broken_ = "model";
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(std::filesystem::path(result->trials[0].path).filename(), "source.onnx");
  EXPECT_EQ(result->trials[0].refusal, "");
  EXPECT_THAT(result->candidates[0].how, HasSubstr("does not run in engine: it died"));
}

// An engine that reads another form is given that, of what the first engine has not refused.
TEST_F(Searching, GivesAnEngineTheFormThatItReads) {
  options_.engines = {{.name = "first"}, {.name = "second"}};
  std::vector<std::string> asked;
  options_.prepare = [&](const Candidate& candidate,
                         const EngineSpec& engine) -> Result<std::string> {
    if (engine.name == "first") return candidate.path;
    asked.push_back(candidate.name);
    if (candidate.name == "source") return fail(Code::kUnsupported, "it has no such operator");
    return folder_.write("candidates/" + candidate.name + "-second.bin",
                         "made of " + candidate.name);
  };
  made_["int8-minmax"] = {.us = 1, .correct = 20};
  made_["fp32-second"] = {.us = 50};
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(winner(*result), "fp32");
  EXPECT_EQ(result->trials[result->winner].bytes, std::string("made of fp32").size());
  EXPECT_EQ(artifact_name(*result), "model.bin");
  EXPECT_THAT(report_json(*result, options_), HasSubstr("\"artifact\": \"model.bin\""));
  EXPECT_THAT(asked, testing::Contains("fp32"));
  EXPECT_THAT(asked, testing::Not(testing::Contains("int8-minmax"))) << "it loses too much";
  const auto refused = std::ranges::find_if(
      result->trials, [](const Trial& one) { return one.candidate == 0 && one.engine == 1; });
  ASSERT_NE(refused, result->trials.end());
  EXPECT_EQ(refused->refusal, "it has no such operator");

  // What has been made is not made again.
  asked.clear();
  measured_ = 0;
  ASSERT_TRUE(run());
  EXPECT_EQ(asked, std::vector<std::string>{"source"});
  EXPECT_EQ(measured_, 0);
}

// An engine that is not there is asked once, has no trials, and the report says why; the first one
// is needed.
TEST_F(Searching, LeavesOutAnEngineThatIsNotThere) {
  options_.engines = {{.name = "engine"}, {.name = "nowhere"}};
  missing_ = "nowhere";
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(asked_missing_, 1);
  for (const Trial& one : result->trials) EXPECT_EQ(one.engine, 0U);
  ASSERT_EQ(result->missing_engines.size(), 1U);
  EXPECT_EQ(result->missing_engines[0].reason, "no such library");
  const std::string line = "nowhere was left out: no such library";
  EXPECT_THAT(report_markdown(*result, options_), HasSubstr(line));
  EXPECT_THAT(report_html(*result, options_), HasSubstr(line));
  const auto json = nlohmann::json::parse(report_json(*result, options_));
  EXPECT_EQ(json["missingEngines"][0]["engine"], "nowhere");

  missing_ = "engine";
  options_.directory = folder_ / "candidates_of_none";
  std::filesystem::create_directories(options_.directory);
  const auto none = run();
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message(), HasSubstr("does not run in engine: no such library"));
}

TEST_F(Searching, MeasuresInTheReferenceExecutor) {
  auto engine = Engine::load(model_, {.name = "reference"}, 1);
  ASSERT_TRUE(engine) << engine.error().message();
  EXPECT_EQ(engine->inputs()->inputs().at(0)->name(), "x");
  const auto result =
      measure(*engine, data_, {.seconds = 0.01, .save_outputs = folder_ / "answers.npy"});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->correct, 40u);
  EXPECT_GT(result->min_us, 0);
  EXPECT_GT(result->peak_bytes, 1u << 20);
  const auto again =
      measure(*engine, data_, {.seconds = 0.01, .rows = 40, .expected = folder_ / "answers.npy"});
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->agreed, 40u);
  EXPECT_EQ(again->error, 0);
  const auto parsed = parse_measurement(to_json(*again));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, *again);
  EXPECT_FALSE(parse_measurement("{}"));
  const auto nothing = Engine::load(model_, {.name = "nothing"}, 1);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code(), Code::kUnavailable);
}

TEST(Share, HasAnInterval) {
  const Share share = share_of(95, 100);
  EXPECT_DOUBLE_EQ(share.value, 0.95);
  EXPECT_NEAR(share.lowest, 0.888, 0.001);
  EXPECT_NEAR(share.highest, 0.978, 0.001);
  EXPECT_EQ(share_of(0, 0).highest, 0);
}

TEST(DataFile, ReadsIdxInItsByteOrder) {
  const std::string idx("\0\0\x0B\x02\0\0\0\x01\0\0\0\x02\x01\x02\xFF\xFE", 16);
  const auto tensors = parse_data_file(idx);
  ASSERT_TRUE(tensors) << tensors.error().message();
  EXPECT_EQ((*tensors)[0].shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(graph::Array::from((*tensors)[0].view()).to_ints(), (std::vector<int64_t>{258, -2}));
}

TEST(DataFile, RefusesWhatIsDamaged) {
  EXPECT_FALSE(parse_data_file(""));
  EXPECT_THAT(parse_data_file("\x1f\x8b..").error().message(), HasSubstr("gunzip"));
  EXPECT_FALSE(parse_data_file(std::string("\0\0\x08\x01\0\0\0\x05\x01", 9)));
  EXPECT_FALSE(parse_data_file(
      std::string("\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16)));
  EXPECT_FALSE(parse_data_file("PK\x03\x04"));
  std::string zip = "PK\x03\x04" + std::string(60, '\xff') + "PK\x05\x06" + std::string(18, '\xff');
  EXPECT_FALSE(parse_data_file(zip));
}

TEST(Data, SaysWhatDoesNotFit) {
  Folder folder;
  const std::string model = write_model(folder);
  const auto file = graph::read_model_file(model);
  ASSERT_TRUE(file);
  const auto message = [&](const std::string& data, const std::string& labels = "") {
    const auto read = Dataset::read(*file->graph, data, labels, {});
    return read ? "fits" : read.error().message();
  };
  const auto npy = [&](std::vector<int64_t> shape) {
    size_t count = 1;
    for (const int64_t size : shape) count *= static_cast<size_t>(size);
    return folder.write(
        "data.npy", *tensor::to_npy(floats_of(std::move(shape), std::vector<float>(count)).view()));
  };
  EXPECT_EQ(message(npy({5, 4})), "fits");
  EXPECT_EQ(message(npy({5, 2, 2})), "fits");
  EXPECT_THAT(message(npy({5, 3})), HasSubstr("another number of elements"));
  EXPECT_THAT(message(npy({0, 4})), HasSubstr("another number of elements"));
  EXPECT_THAT(message(folder / "none.npy"), HasSubstr("none.npy"));
  const std::string data = npy({5, 4});
  const std::string labels =
      folder.write("labels.npy", *tensor::to_npy(floats_of({5}, std::vector<float>(5)).view()));
  EXPECT_THAT(message(data, labels), HasSubstr("one integer for each of the 5 rows"));
}

TEST(Data, IsPreprocessed) {
  Folder folder;
  const std::string model = write_model(folder);
  const auto file = graph::read_model_file(model);
  ASSERT_TRUE(file);
  folder.write("x.npy", *tensor::to_npy(floats_of({2, 4}, {0, 255, 51, 0, 1, 2, 3, 4}).view()));
  const auto data = Dataset::read(*file->graph, folder.path(), "",
                                  {.divide = 255, .mean = 0.2, .deviation = 0.5});
  ASSERT_TRUE(data) << data.error().message();
  const auto sample = data->sample(0);
  ASSERT_TRUE(sample);
  const auto x = graph::Array::from((*sample)[0].view()).to_doubles();
  EXPECT_NEAR(x[0], -0.4, 1e-6);
  EXPECT_NEAR(x[1], 1.6, 1e-6);
  EXPECT_NEAR(x[2], 0, 1e-6);
  EXPECT_FALSE(data->sample(2));
  EXPECT_EQ(data->fingerprint().size(), 64u);
}

}  // namespace
}  // namespace skerry::optimise
