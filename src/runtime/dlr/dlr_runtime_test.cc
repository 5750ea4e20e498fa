// What is particular to DLR: its library, a package's files, and what is checked before it sees
// them.
#include "runtime/dlr/dlr_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "io/files.h"
#include "io/test_directory.h"
#include "runtime/dlr/neo_graph.h"
#include "runtime/dlr/neo_params.h"
#include "test_paths.h"

namespace skerry::runtime {
namespace {

using nlohmann::json;
using testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kDlrLibrary = SKERRY_CACHE_DIR "/dlr/dlr/libdlr.so";
const std::string kModels = SKERRY_BIN_DIR "/dlr_testdata/";
using Digests = std::map<std::string, std::string, std::less<>>;

class DlrTest : public testing::Test {
 protected:
  std::unique_ptr<Runtime> open() {
    auto opened = open_dlr(kDlrLibrary);
    EXPECT_TRUE(opened) << opened.error().message();
    return std::move(*opened);
  }
  std::string read(const std::string& file) { return *io::read_file(files_, kModels + file); }
  void write(const std::string& file, const std::string& bytes) {
    std::ofstream(scratch_.path(file), std::ios::binary | std::ios::trunc) << bytes;
    package_[file] = "";
  }
  // The package "pair" in a folder of its own.
  void write_pair() {
    package_.clear();
    write("graph.json", read("pair.json"));
    write("graph.meta", read("pair.meta"));
    write("graph.params", read("empty.params"));
    write("graph.so", read("kernels.so"));
  }
  Error refusal() {
    const auto loaded = open()->load({scratch_.path(), "graph.json", package_}, {});
    return loaded ? Error(Code::kInternal, "was accepted") : loaded.error();
  }
  Error refusal_of(const json& graph, const json& meta = {}) {
    const auto read_graph =
        read_neo_graph(graph.dump(), read("empty.params"), meta.is_null() ? "" : meta.dump());
    return read_graph ? Error(Code::kInternal, "was accepted") : read_graph.error();
  }

  io::RealFiles files_;
  const io::ScratchDirectory scratch_;
  Digests package_;
};

TEST_F(DlrTest, SaysWhyALibraryDoesNotDo) {
  const auto absent = open_dlr("/nowhere/libdlr.so");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), Code::kUnavailable);
  EXPECT_THAT(absent.error().message(), HasSubstr("/nowhere/libdlr.so"));
  const auto other = open_dlr("libm.so.6");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), Code::kUnsupported);
  EXPECT_THAT(other.error().message(), HasSubstr("libm.so.6 is no DLR of release 1: it has no"));
}

TEST_F(DlrTest, SaysWhichFilesAreMissingOrTooMany) {
  write_pair();
  write("libdlr.so", "the vendor's own, which Neo puts beside some models, is left alone");
  write("labels.txt", "cat");
  EXPECT_EQ(refusal().message(), "was accepted");
  package_.erase("graph.params");
  EXPECT_THAT(refusal().message(), HasSubstr("has a *.params file beside its graph"));
  write_pair();
  package_.erase("graph.so");
  EXPECT_THAT(refusal().message(), HasSubstr("has a *.so file beside its graph"));
  write_pair();
  write("other.so", read("kernels.so"));
  EXPECT_EQ(refusal().message(),
            "graph.json: the package has two *.so files, 'graph.so' and 'other.so'; leave one out");
}

TEST_F(DlrTest, WithoutMetadataOutputsAreNumbered) {
  write_pair();
  package_.erase("graph.meta");
  const auto model = open()->load({scratch_.path(), "graph.json", package_}, {});
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ((*model)->outputs()[0].name, "output0");
  EXPECT_EQ((*model)->outputs()[1].name, "output1");
}

TEST_F(DlrTest, EveryPrefixOfEveryFileIsRefusedAndNoFolderStays) {
  const auto folders = [] {
    return std::ranges::count_if(fs::directory_iterator(fs::temp_directory_path()), [](auto& each) {
      return each.path().filename().string().starts_with("skerry-dlr-");
    });
  };
  const auto before = folders();
  for (const char* file : {"graph.params", "graph.so", "graph.meta"}) {
    write_pair();
    const std::string whole = *io::read_file(files_, scratch_.path(file));
    for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 200) {
      if (size == 0 && std::string_view(file) == "graph.meta") continue;  // as if it were not there
      write(file, whole.substr(0, size));
      EXPECT_EQ(refusal().code(), Code::kCorrupt) << file << " cut to " << size;
    }
  }
  EXPECT_LE(folders(), before + 1);  // another test's may come and go
}

TEST_F(DlrTest, AFunctionThatTheObjectLacksIsNamed) {
  write_pair();
  json graph = json::parse(read("pair.json"));
  graph["nodes"][2]["attrs"]["func_name"] = "fused_nothing";
  write("graph.json", graph.dump());
  EXPECT_EQ(refusal().message(),
            "graph.json: the shared object has no 'fused_nothing', which the graph calls");
}

// DLR and TVM follow these without looking.
TEST_F(DlrTest, GraphsThatPointOutOfThemselvesAreRefused) {
  const json whole = json::parse(read("pair.json"));
  EXPECT_EQ(refusal_of(whole).message(), "was accepted");
  const std::vector<std::pair<std::string, json>> changes = {
      {"/heads/0/0", 4},
      {"/heads/0/0", -1},
      {"/heads/0/1", 1},
      {"/heads", json::array()},
      {"/arg_nodes/0", 9},
      {"/arg_nodes/0", 2},
      {"/arg_nodes/0", 1},
      {"/arg_nodes", {0}},
      {"/node_row_ptr/4", 5},
      {"/node_row_ptr", json::array()},
      {"/nodes/2/inputs/0/0", 3},
      {"/nodes/2/inputs/0/0", 2},
      {"/nodes/2/inputs/0/1", 7},
      {"/nodes/2/attrs/num_inputs", "2"},
      {"/nodes/2/attrs/num_outputs", "0"},
      {"/nodes/2/attrs/num_outputs", "99999999999999999999"},
      {"/nodes/2/attrs/num_outputs", 1},
      {"/nodes/2/op", "call"},
      {"/nodes/0/name", nullptr},
      {"/nodes", json::array()},
      {"/attrs/shape/1/0", {-1, 4}},
      {"/attrs/shape/1/0", {0}},
      {"/attrs/shape/1/0", {1ull << 62, 1ull << 62}},
      {"/attrs/shape/1", json::array()},
      {"/attrs/storage_id/1/0", 1'000'000},
      {"/attrs/storage_id/0", "list_str"},
      {"/attrs/dltype/1", "float32"}};
  for (const auto& [where, value] : changes) {
    json graph = whole;
    graph[json::json_pointer(where)] = value;
    EXPECT_EQ(refusal_of(graph).code(), Code::kCorrupt) << where << " = " << value;
  }
  for (const auto& [name, value] : whole.items()) {
    json graph = whole;
    graph.erase(name);
    EXPECT_EQ(refusal_of(graph).code(), Code::kCorrupt) << name;
  }
  json graph = whole;
  graph["attrs"]["dltype"][1][0] = "bfloat16";
  EXPECT_EQ(refusal_of(graph).code(), Code::kUnsupported);
  EXPECT_THAT(refusal_of(graph).message(), HasSubstr("bfloat16"));
}

TEST_F(DlrTest, MetadataSaysForWhatDeviceAndHowManyOutputs) {
  const json graph = json::parse(read("pair.json"));
  json meta = json::parse(read("pair.meta"));
  EXPECT_EQ(refusal_of(graph, meta).message(), "was accepted");
  meta["Model"]["Outputs"][1]["name"] = "c";
  EXPECT_EQ(refusal_of(graph, meta).message(), "the .meta names two outputs 'c'");
  meta["Model"]["Outputs"].erase(1);
  EXPECT_EQ(refusal_of(graph, meta).message(), "the .meta names 1 outputs, the graph has 2");
  meta = {{"Requirements", {{"TargetDeviceType", "gpu"}}}};
  EXPECT_EQ(refusal_of(graph, meta).code(), Code::kUnsupported);
  EXPECT_EQ(refusal_of(graph, {{"Model", 7}}).code(), Code::kCorrupt);
}

TEST_F(DlrTest, ReadersStayInTheirFilesWhateverTheseSay) {
  std::mt19937_64 random(5);
  std::string params = read("empty.params");
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = params + std::string(random() % 64, '\0');
    for (int k = 0; k < 4; ++k) damaged[random() % damaged.size()] = static_cast<char>(random());
    (void)read_neo_params(damaged);
  }
  const std::string object = read("kernels.so");
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = object.substr(0, 64 + random() % 512);
    for (int k = 0; k < 4; ++k) damaged[random() % 64] = static_cast<char>(random());
    (void)check_shared_object(damaged);
  }
  const std::string graph = read("pair.json");
  for (int i = 0; i < 5'000; ++i) {
    std::string damaged = graph;
    for (int k = 0; k < 2; ++k)
      damaged[random() % damaged.size()] = "0123456789[]{},\"-"[random() % 17];
    (void)read_neo_graph(damaged, params, "");
  }
}

// Two models in one process whose files have the same names are two models.
TEST_F(DlrTest, ModelsOfTheSameFileNamesDoNotMix) {
  const auto runtime = open();
  write_pair();
  const auto first = runtime->load({scratch_.path(), "graph.json", package_}, {});
  ASSERT_TRUE(first) << first.error().message();
  write("graph.json", read("fail.json"));
  const auto second = runtime->load({scratch_.path(), "graph.json", package_}, {});
  ASSERT_TRUE(second) << second.error().message();
  const std::array<float, 4> a = {1, 2, 3, 4};
  const std::array<int64_t, 2> b = {7, -7};
  const std::array<int64_t, 2> a_shape = {1, 4};
  const std::array<int64_t, 1> b_shape = {2};
  const std::array<TensorView, 2> inputs = {
      {{"a", tensor::DataType::kFp32, a_shape, std::as_bytes(std::span(a))},
       {"b", tensor::DataType::kInt64, b_shape, std::as_bytes(std::span(b))}}};
  EXPECT_TRUE((*first)->run(inputs, {}));
  const auto failed = (*second)->run(inputs, {});
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("the model failed"));
  EXPECT_TRUE((*first)->run(inputs, {}));
}

}  // namespace
}  // namespace skerry::runtime
