// A control plane with a model to train, a group of three devices, and requests of theirs.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/encoding.h"
#include "base/sha256.h"
#include "federated/update.h"
#include "fleet/learning/learning_service.h"
#include "fleet/learning/outcome.h"
#include "fleet/test_fleet.h"
#include "formats/checkpoint.h"

namespace skerry::fleet::learning {

using federated::Vector;
using nlohmann::json;

inline const std::string kModel = [] {
  std::string file = "head________tail";
  federated::put_numbers({1, 2}, {{4, 2}}, file);
  return file;
}();

class Learning : public testing::Test {
 protected:
  Learning() {
    auto opened = ArtifactStore::open(fleet_.env, fleet_.directory.path() + "/artifacts");
    EXPECT_TRUE(opened);
    artifacts_ = std::move(*opened);
    for (const char* thing : {"a", "b", "c", "stranger"}) fleet_.add_thing(thing);
    fleet_.add_group("lab", {"a", "b", "c"});
    publish_base();
    restart();
  }

  void restart() {
    service_.emplace(fleet_.env, fleet_.stores, *artifacts_, fleet_.deployments,
                     fleet_.directory.path() + "/learning", pool_);
    tick();
  }
  void tick() {
    io::TaskScope scope;
    scope.spawn(service_->tick());
    fleet_.settle();
  }

  std::string store(const std::string& bytes) {
    const auto writer = artifacts_->begin_content({});
    EXPECT_TRUE(writer->write(bytes));
    const auto sealed = writer->seal();
    EXPECT_TRUE(artifacts_->committer()(*writer, *sealed));
    return sealed->sha256;
  }
  void publish_base() {
    formats::ModelPackage package{.name = "parts",
                                  .version = "1.0.0",
                                  .runtime = "onnxruntime",
                                  .file = "model.onnx",
                                  .sha256 = store(kModel)};
    package.outputs.push_back({"scores", tensor::DataType::kFp32, {-1, 10}});
    const std::string manifest = store(formats::to_text(package));
    const json recipe = {{"RecipeFormatVersion", "2020-01-25"},
                         {"ComponentName", "com.example.parts"},
                         {"ComponentVersion", "1.0.0"},
                         {"Manifests",
                          {{{"Platform", {{"os", "linux"}}},
                            {"Lifecycle", {{"Startup", "load parts"}}},
                            {"Artifacts",
                             {{{"URI", "greengrass:" + package.sha256 + "/model.onnx"}},
                              {{"URI", "greengrass:" + manifest + "/model.json"}}}}}}}};
    auto component = component_from_recipe(*fleet_.store, *artifacts_, recipe.dump());
    ASSERT_TRUE(component) << component.error().message();
    ASSERT_TRUE(fleet_.store->create_component(*component));
  }

  Training training(json plan, std::string rollout = "", const json& more = json::object()) {
    plan.update({{"updates", 2}, {"overSelection", 1}, {"quorum", 1}, {"deadlineSeconds", 100}});
    plan.update(more);
    Training made{.id = "3f2a" + std::to_string(++made_),
                  .component = ComponentName("com.example.parts"),
                  .from_version = "1.0.0",
                  .version = "1." + std::to_string(made_) + ".0",
                  .model_sha256 = hex_encode(sha256(kModel)),
                  .layout_json = "[[4,2]]",
                  .group = ThingGroupName("lab"),
                  .data = "parts",
                  .plan_json = plan.dump(),
                  .rollout_json = std::move(rollout),
                  .created_by = "ann",
                  .created_ms = 1'700'000'000'000 + static_cast<int64_t>(made_)};
    const auto created = create_training(*fleet_.store, made);
    EXPECT_TRUE(created) << created.error().message();
    tick();
    return made;
  }
  Training found(const Training& training) {
    auto there = find_training(*fleet_.store, training.id);
    EXPECT_TRUE(there);
    return *there;
  }

  net::HttpResponse send(const std::string& thing, const std::string& method,
                         const std::string& path, std::string body = "",
                         std::string certificate_sha256 = "") {
    std::optional<net::HttpResponse> answer;
    io::TaskScope scope;
    scope.spawn([](LearningService& service, std::string name, net::HttpRequest request, auto& into)
                    -> io::Task<void> {
      into = co_await service.handle(ThingName(name), std::move(request));
    }(*service_, thing,
                    net::HttpRequest{.method = method,
                                     .target = federated::kLearningPath + path,
                                     .body = std::move(body),
                                     .peer = {.certificate_sha256 = std::move(certificate_sha256)}},
                    answer));
    fleet_.settle();
    EXPECT_TRUE(answer);
    return answer.value_or(net::HttpResponse{.status = 0});
  }
  json ask(const std::string& thing, const std::string& data = "parts") {
    const auto answer = send(thing, "POST", "/tasks", json{{"data", {data}}}.dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body);
  }
  Vector parameters(const std::string& thing, const json& task) {
    const auto answer =
        send(thing, "GET",
             "/" + task["training"].get<std::string>() + "/parameters/" + task["round"].dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    const auto file = formats::read_checkpoint(fleet_.files, answer.file_path);
    EXPECT_TRUE(file);
    Vector vector(2);
    std::memcpy(vector.data(), file->tensors.at(0).bytes.data(), 8);
    return vector;
  }
  static std::string update(const json& task, Vector delta) {
    return federated::encode(federated::Update{.round = task["attempt"].get<size_t>(),
                                               .examples = 1,
                                               .steps = 1,
                                               .delta = std::move(delta)});
  }
  net::HttpResponse put(const std::string& thing, const json& task, size_t offset,
                        const std::string& whole, size_t bytes = SIZE_MAX) {
    return send(thing, "PUT",
                "/" + task["training"].get<std::string>() + "/updates/" + task["attempt"].dump() +
                    "?offset=" + std::to_string(offset) + "&size=" + std::to_string(whole.size()),
                whole.substr(offset, bytes));
  }
  // Both devices that are asked, with one update each.
  void round(Vector a, Vector b) {
    const json task = ask("a"), other = ask("b");
    EXPECT_EQ(put("a", task, 0, update(task, std::move(a))).status, 200);
    EXPECT_EQ(put("b", other, 0, update(other, std::move(b))).status, 200);
    tick();
  }
  Vector numbers_of_version(const std::string& version) {
    auto package =
        package_of(*fleet_.store, *artifacts_, ComponentName("com.example.parts"), version);
    EXPECT_TRUE(package) << package.error().message();
    const auto file = io::read_file(fleet_.files, artifacts_->path_of(package->sha256));
    EXPECT_EQ(hex_encode(sha256(*file)), package->sha256);
    EXPECT_EQ(package->version, version);
    EXPECT_EQ(file->substr(0, 4) + file->substr(12), "headtail");
    return federated::numbers_of(*file, {{4, 2}});
  }

  TestFleet fleet_;
  io::InlinePool pool_;
  std::unique_ptr<ArtifactStore> artifacts_;
  std::optional<LearningService> service_;
  size_t made_ = 0;
};

}  // namespace skerry::fleet::learning
