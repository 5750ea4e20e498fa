// The protocol, request by request, and what happens when inferences are slow.
#include "serve/http_api.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "base/log_level.h"
#include "serve/test_runtimes.h"
#include "serve/test_support.h"

namespace skerry::serve {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using test::json;
using test::Package;
using testing::HasSubstr;

constexpr const char* kInfer =
    R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]})";

class HttpApiTest : public testing::Test {
 protected:
  HttpApiTest() { api_.set_ready(); }
  ~HttpApiTest() override { gate_->open(); }

  static HttpRequest request(const std::string& method, const std::string& target,
                             const std::string& body = "") {
    HttpRequest result{.method = method, .target = target, .body = body};
    result.peer.address = "unix";
    return result;
  }

  HttpResponse send(HttpRequest request) {
    return test::run(loop_, api_.handle(std::move(request)));
  }
  HttpResponse get(const std::string& target) { return send(request("GET", target)); }
  HttpResponse post(const std::string& target, const std::string& body) {
    return send(request("POST", target, body));
  }
  static std::string error_of(const HttpResponse& response) {
    return json::parse(response.body).value("error", "");
  }

  void serve(const Package& package) {
    const std::string path = package.write(dir_.path(package.manifest["version"]));
    const HttpResponse response =
        post("/v2/repository/models/echo/load", json{{"parameters", {{"path", path}}}}.dump());
    ASSERT_EQ(response.status, 200) << response.body;
  }

  // A package whose inferences wait for the gate and are taken for long ones.
  void serve_gated() {
    Package package("slow");
    package.manifest["runtime"] = "gated";
    serve(package);
    gate_->close();
  }

  io::ScratchDirectory dir_;
  io::RealFiles files_;
  io::RealClock clock_;
  std::shared_ptr<test::Gate> gate_ = std::make_shared<test::Gate>();
  io::RealLoop loop_;
  io::ThreadPool codec_{"codec", 1};
  ModelRepository repository_{loop_, files_, test::runtimes(gate_), {}};
  InferenceService inference_{loop_, {.threads = 1, .max_queued = 1}};
  Scheduler scheduler_{loop_, codec_, inference_, {.threads = 1, .max_queued = 1}};
  HttpApi api_{loop_, clock_, codec_, repository_, scheduler_, {.server_version = "9.9"}};
};

TEST_F(HttpApiTest, DescribesServerAndModel) {
  const json server = json::parse(get("/v2").body);
  EXPECT_EQ(server["name"], "skerry-infer");
  EXPECT_EQ(server["version"], "9.9");
  EXPECT_THAT(server["extensions"], testing::Contains("statistics"));
  EXPECT_EQ(get("/v2/health/live").status, 200);
  EXPECT_EQ(get("/v2/health/ready").status, 200);

  serve(Package("1.5"));
  EXPECT_EQ(get("/v2/models/echo/ready").status, 200);
  EXPECT_EQ(get("/v2/models/echo/versions/1.5/ready").status, 200);
  EXPECT_EQ(json::parse(get("/v2/models/echo/versions/1.5").body), json::parse(R"({"name":"echo",
      "versions":["1.5"],"platform":"null","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],
      "outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]})"));
  const json config = json::parse(get("/v2/models/echo/config").body);
  EXPECT_EQ(config["max_batch_size"], 0);
  EXPECT_EQ(config["input"][0],
            json::parse(R"({"name":"x","data_type":"TYPE_FP32","dims":[-1,2]})"));
}

TEST_F(HttpApiTest, IsNotReadyBeforeTheModelsOfTheLastRun) {
  HttpApi starting(loop_, clock_, codec_, repository_, scheduler_, {});
  EXPECT_EQ(test::run(loop_, starting.handle(request("GET", "/v2/health/live"))).status, 200);
  EXPECT_EQ(test::run(loop_, starting.handle(request("GET", "/v2/health/ready"))).status, 503);
}

TEST_F(HttpApiTest, InfersInJson) {
  serve(Package("1"));
  const HttpResponse response = post("/v2/models/echo/versions/1/infer", kInfer);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.get("Content-Type"), "application/json");
  EXPECT_FALSE(response.headers.has("Inference-Header-Content-Length"));
  EXPECT_EQ(json::parse(response.body), json::parse(R"({"model_name":"echo","model_version":"1",
      "outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1,2]}]})"));
}

TEST_F(HttpApiTest, InfersInBinary) {
  serve(Package("1"));
  const std::string head = R"({"id":"7","parameters":{"binary_data_output":true},
      "inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]})";
  const std::string tensor("\x00\x00\x80\x3f\x00\x00\x00\x40", 8);
  HttpRequest binary = request("POST", "/v2/models/echo/infer", head + tensor);
  binary.headers.set("Inference-Header-Content-Length", std::to_string(head.size()));
  const HttpResponse response = send(binary);
  ASSERT_EQ(response.status, 200) << response.body;
  const size_t json_bytes =
      std::stoul(std::string(response.headers.get("inference-header-content-length")));
  EXPECT_EQ(json::parse(response.body.substr(0, json_bytes))["id"], "7");
  EXPECT_EQ(response.body.substr(json_bytes), tensor);

  binary.headers.set("Inference-Header-Content-Length", "many");
  EXPECT_EQ(send(binary).status, 400);
}

TEST_F(HttpApiTest, AnswersWrongRequestsWithTheReason) {
  serve(Package("1"));
  const std::vector<std::tuple<std::string, std::string, std::string, int, std::string>> cases = {
      {"HEAD", "/v2/models/other", "", 404, "model 'other' is not loaded"},
      {"GET", "/", "", 404, "/ is not served here"},
      {"GET", "/v2/models/echo/nothing", "", 404, "is not served here"},
      {"GET", "/v2/health/other", "", 404, "not served here"},
      {"GET", "/v2/%zz", "", 400, ""},
      {"GET", "/v2/models/other", "", 404, "model 'other' is not loaded"},
      {"POST", "/v2/models/other/infer", kInfer, 404, "model 'other' is not loaded"},
      {"POST", "/v2/models/echo/versions/2/infer", kInfer, 404, "serves version 1, not 2"},
      {"GET", "/v2/models/echo/infer", "", 405, "takes POST, not GET"},
      {"POST", "/v2/models/echo/infer", "{", 400, "not a JSON object"},
      {"POST", "/v2/models/echo/infer", R"({"inputs":[]})", 400,
       "input 'x' is missing; expected FP32"},
      {"POST", "/v2/repository/models/echo/load", "[]", 400, "not a JSON object"},
      {"POST", "/v2/repository/models/echo/load", R"({"parameters":{"path":7}})", 400, "'path'"},
      {"POST", "/v2/repository/models/other/load", "", 400, "was never loaded"},
      {"POST", "/v2/repository/models/other/unload", "", 404, "is not loaded"},
  };
  for (const auto& [method, target, body, status, message] : cases) {
    const HttpResponse response = send(request(method, target, body));
    EXPECT_EQ(response.status, status) << method << " " << target << ": " << response.body;
    EXPECT_THAT(error_of(response), HasSubstr(message)) << target;
  }
  const HttpResponse unknown_output = post("/v2/models/echo/infer", R"({"outputs":[{"name":"z"}],
      "inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]})");
  EXPECT_EQ(unknown_output.status, 400);
  EXPECT_EQ(error_of(unknown_output), "output 'z' is unknown; the model gives: y");
}

TEST_F(HttpApiTest, HoldsCallersToTheContractNotToTheModel) {
  Package narrow("1");
  narrow.manifest["inputs"][0]["shape"] = {1, 2};
  serve(narrow);
  const HttpResponse response = post("/v2/models/echo/infer", R"({"inputs":
      [{"name":"x","datatype":"FP32","shape":[2,2],"data":[1,2,3,4]}]})");
  EXPECT_EQ(error_of(response), "input 'x' is FP32[2,2]; expected FP32[1,2]");
}

TEST_F(HttpApiTest, LoadsOverTcpOnlyWhereAllowed) {
  HttpRequest load = request("POST", "/v2/repository/models/echo/load", "{}");
  load.peer.address = "127.0.0.1:4711";
  const HttpResponse response = send(load);
  EXPECT_EQ(response.status, 403);
  EXPECT_THAT(error_of(response), HasSubstr("--repository-over-tcp"));
  HttpApi open(loop_, clock_, codec_, repository_, scheduler_,
               {.server_version = "", .repository_over_tcp = true});
  EXPECT_EQ(test::run(loop_, open.handle(load)).status, 400);  // no path, but allowed
}

TEST_F(HttpApiTest, ListsLoadsAndUnloads) {
  serve(Package("1"));
  post("/v2/repository/models/ghost/load", R"({"parameters":{"path":"/nowhere"}})");
  json index = json::parse(post("/v2/repository/index", "").body);
  ASSERT_EQ(index.size(), 2u);
  EXPECT_EQ(index[0], json::parse(R"({"name":"echo","version":"1","state":"READY","reason":""})"));
  EXPECT_EQ(index[1]["state"], "UNAVAILABLE");
  index = json::parse(post("/v2/repository/index", R"({"ready":true})").body);
  EXPECT_EQ(index.size(), 1u);
  EXPECT_EQ(post("/v2/repository/models/echo/unload", "").status, 200);
  EXPECT_EQ(get("/v2/models/echo/ready").status, 404);
}

TEST_F(HttpApiTest, CountsRequests) {
  serve(Package("1"));
  for (int i = 0; i < 3; ++i) post("/v2/models/echo/infer", kInfer);
  post("/v2/models/echo/infer", "{}");
  const json stats = json::parse(get("/v2/models/echo/stats").body)["model_stats"][0];
  EXPECT_EQ(stats["inference_count"], 3);
  EXPECT_EQ(stats["inference_stats"]["success"]["count"], 3);
  EXPECT_EQ(stats["inference_stats"]["queue"]["count"], 3);
  EXPECT_EQ(stats["inference_stats"]["fail"]["count"], 1);
  EXPECT_EQ(json::parse(get("/v2/models/stats").body)["model_stats"].size(), 1u);
  EXPECT_THAT(get("/metrics").body, HasSubstr("outcome=\"success\"} 3\n"));
}

TEST_F(HttpApiTest, ASlowInferenceHoldsNobodyUpAndTheQueueHasALimit) {
  serve_gated();
  io::TaskScope scope;
  std::array<std::optional<HttpResponse>, 3> slow;
  for (auto& response : slow) {
    scope.spawn(
        test::store(api_.handle(request("POST", "/v2/models/echo/infer", kInfer)), &response));
  }
  ASSERT_TRUE(test::run_until(loop_, [&] { return gate_->waiting() == 1; }));
  EXPECT_EQ(get("/v2/health/live").status, 200);  // the loop is free
  ASSERT_TRUE(slow[2]);                           // one runs, one waits, the third is too much
  EXPECT_EQ(slow[2]->status, 503);
  EXPECT_THAT(error_of(*slow[2]), HasSubstr("--threads"));
  EXPECT_FALSE(slow[0] || slow[1]);
  gate_->open();
  ASSERT_TRUE(test::run_until(loop_, [&] { return slow[0] && slow[1]; }));
  EXPECT_EQ(slow[0]->status, 200);
  EXPECT_EQ(slow[1]->status, 200);
}

TEST_F(HttpApiTest, AnInferenceOnTheOldVersionOutlastsTheSwitch) {
  serve_gated();
  io::TaskScope scope;
  std::optional<HttpResponse> slow;
  scope.spawn(test::store(api_.handle(request("POST", "/v2/models/echo/infer", kInfer)), &slow));
  ASSERT_TRUE(test::run_until(loop_, [&] { return gate_->waiting() == 1; }));
  serve(Package("fast"));
  const HttpResponse fast = post("/v2/models/echo/infer", kInfer);
  EXPECT_EQ(json::parse(fast.body)["model_version"], "fast");
  EXPECT_FALSE(slow);
  gate_->open();
  ASSERT_TRUE(test::run_until(loop_, [&] { return slow.has_value(); }));
  EXPECT_EQ(slow->status, 200);
  EXPECT_EQ(json::parse(slow->body)["model_version"], "slow");
}

TEST_F(HttpApiTest, ACallerMayLeaveDuringAnInference) {
  serve_gated();
  std::optional<HttpResponse> response;
  {
    io::TaskScope scope;
    scope.spawn(
        test::store(api_.handle(request("POST", "/v2/models/echo/infer", kInfer)), &response));
    ASSERT_TRUE(test::run_until(loop_, [&] { return gate_->waiting() == 1; }));
  }
  gate_->open();
  EXPECT_EQ(post("/v2/models/echo/infer", kInfer).status, 200);  // behind it in the queue
  EXPECT_FALSE(response);
}

TEST_F(HttpApiTest, TakesARawTensorAsTheWholeBody) {
  serve(Package("1"));
  const std::string tensor("\x00\x00\x80\x3f\x00\x00\x00\x40", 8);
  HttpRequest raw = request("POST", "/v2/models/echo/infer", tensor + tensor);
  raw.headers.set("Inference-Header-Content-Length", "0");
  const HttpResponse response = send(raw);
  ASSERT_EQ(response.status, 200) << response.body;
  const size_t json_bytes =
      std::stoul(std::string(response.headers.get("inference-header-content-length")));
  EXPECT_EQ(json::parse(response.body.substr(0, json_bytes))["outputs"][0]["shape"],
            json::array({2, 2}));
  EXPECT_EQ(response.body.substr(json_bytes), tensor + tensor);
  raw.body.pop_back();
  EXPECT_THAT(error_of(send(raw)), HasSubstr("does not follow from 15 bytes"));
  raw.body.resize(4);
  EXPECT_THAT(error_of(send(raw)), HasSubstr("does not follow from 4 bytes"));
}

TEST_F(HttpApiTest, AnswersHeadAsGet) {
  EXPECT_EQ(send(request("HEAD", "/v2/health/live")).status, 200);
  EXPECT_EQ(send(request("HEAD", "/v2/models/echo/infer")).status, 405);
  EXPECT_EQ(send(request("PUT", "/v2")).status, 405);
}

TEST_F(HttpApiTest, EveryErrorIsJsonInUtf8) {
  const HttpResponse response = get("/v2/models/caf%e9%00%22");
  EXPECT_EQ(response.status, 404);
  EXPECT_THAT(error_of(response), HasSubstr("model 'caf\uFFFD"));
}

TEST_F(HttpApiTest, WhatIsNotHonouredIsRefused) {
  const std::string load = "/v2/repository/models/echo/load";
  EXPECT_THAT(error_of(post(load, R"({"parameters":{"config":"{}","path":"/"}})")),
              HasSubstr("parameter 'config' is not supported"));
  EXPECT_THAT(error_of(post(load, R"({"parameters":{"file:1/model.onnx":"AA=="}})")),
              HasSubstr("parameter 'file:1/model.onnx' is not supported"));
  serve(Package("1"));
  EXPECT_THAT(
      error_of(post("/v2/models/echo/infer", R"({"parameters":{"sequence_id":7},"inputs":[]})")),
      HasSubstr("parameter 'sequence_id' is not supported"));
  EXPECT_EQ(
      post("/v2/repository/models/echo/unload", R"({"parameters":{"unload_dependents":true}})")
          .status,
      200);
}

TEST_F(HttpApiTest, TensorsLieInSharedMemory) {
  serve(Package("1"));
  const std::string name = "/skerry-api-" + std::to_string(::getpid());
  const io::Fd object(::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
  ASSERT_EQ(::ftruncate(object.get(), 24), 0);
  const std::array<float, 2> input = {1.5f, -2};
  ASSERT_EQ(::pwrite(object.get(), input.data(), sizeof input, 8), 8);
  const auto local = [&](const std::string& method, const std::string& target,
                         const std::string& body) {
    HttpRequest call = request(method, "/v2/systemsharedmemory" + target, body);
    call.peer.uid = ::geteuid();
    return send(std::move(call));
  };
  const HttpResponse registered = local(
      "POST", "/region/r/register", json{{"key", name}, {"offset", 8}, {"byte_size", 16}}.dump());
  ASSERT_EQ(registered.status, 200) << registered.body;
  const json row = {{"name", "r"}, {"key", name}, {"offset", 8}, {"byte_size", 16}};
  EXPECT_EQ(json::parse(local("GET", "/status", "").body), json::array({row}));
  EXPECT_EQ(json::parse(local("GET", "/region/r/status", "").body), json::array({row}));
  EXPECT_EQ(local("GET", "/region/other/status", "").status, 404);

  const auto infer = [&](int output_bytes) {
    return post(
        "/v2/models/echo/infer",
        json{{"inputs",
              json::array({{{"name", "x"},
                            {"datatype", "FP32"},
                            {"shape", {1, 2}},
                            {"parameters",
                             {{"shared_memory_region", "r"}, {"shared_memory_byte_size", 8}}}}})},
             {"outputs", json::array({{{"name", "y"},
                                       {"parameters",
                                        {{"shared_memory_region", "r"},
                                         {"shared_memory_byte_size", output_bytes},
                                         {"shared_memory_offset", 8}}}}})}}
            .dump());
  };
  const HttpResponse answer = infer(8);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["outputs"][0],
            json::parse(R"({"name":"y","datatype":"FP32","shape":[1,2],"parameters":
                {"binary_data_size":0,"shared_memory_region":"r","shared_memory_byte_size":8,"shared_memory_offset":8}})"));
  std::array<float, 2> output{};
  ASSERT_EQ(::pread(object.get(), output.data(), sizeof output, 16), 8);
  EXPECT_EQ(output, input);
  EXPECT_THAT(error_of(infer(7)), HasSubstr("output 'y' has 8 bytes"));
  EXPECT_THAT(error_of(infer(9)), HasSubstr("holds 16 bytes, not 9 from byte 8 on"));

  EXPECT_EQ(local("POST", "/region/r/unregister", "").status, 200);
  EXPECT_THAT(error_of(infer(8)), HasSubstr("region 'r' is not registered"));
  EXPECT_EQ(local("POST", "/unregister", "").status, 200);
  ::shm_unlink(name.c_str());
}

TEST_F(HttpApiTest, ClassifiesOutputs) {
  serve(Package("1"));
  const HttpResponse response = post("/v2/models/echo/infer", R"({"inputs":
      [{"name":"x","datatype":"FP32","shape":[2,2],"data":[1,2,4,3]}],
      "outputs":[{"name":"y","parameters":{"classification":1}}]})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(json::parse(response.body)["outputs"][0],
            json::parse(R"({"name":"y","datatype":"BYTES","shape":[2,1],
                            "data":["2.000000:1","4.000000:0"]})"));
}

TEST_F(HttpApiTest, CompressesLongAnswersForThoseWhoTakeIt) {
  Package package("1");
  serve(package.shape({-1}));
  json body = {{"inputs", json::array({{{"name", "x"},
                                        {"datatype", "FP32"},
                                        {"shape", {4000}},
                                        {"data", std::vector<int>(4000, 1)}}})}};
  HttpRequest long_one = request("POST", "/v2/models/echo/infer", body.dump());
  for (const auto& [accepted, coding] : std::vector<std::pair<std::string, std::string>>{
           {"gzip", "gzip"}, {"deflate", "deflate"}, {"br", ""}, {"gzip;q=0", ""}}) {
    long_one.headers.set("Accept-Encoding", accepted);
    const HttpResponse response = send(long_one);
    EXPECT_EQ(response.headers.get("Content-Encoding"), coding) << accepted;
    EXPECT_EQ(response.body.size() < 1000, !coding.empty()) << accepted;
  }
  HttpRequest short_one = request("GET", "/v2");
  short_one.headers.set("Accept-Encoding", "gzip");
  EXPECT_FALSE(send(short_one).headers.has("Content-Encoding"));
}

TEST_F(HttpApiTest, TraceSettingsAreOfAllModelsOrOfOne) {
  serve(Package("1"));
  const auto settings = [&](const std::string& target) { return json::parse(get(target).body); };
  const std::string all = "/v2/trace/setting";
  const std::string one = "/v2/models/echo/trace/setting";
  EXPECT_EQ(settings(all)["trace_level"], json::array({"OFF"}));
  EXPECT_EQ(post(all, R"({"trace_level":["TIMESTAMPS"],"trace_rate":"1"})").status, 200);
  EXPECT_EQ(settings(one)["trace_rate"], "1");
  EXPECT_EQ(post(one, R"({"trace_rate":5,"trace_count":"2"})").status, 200);
  EXPECT_EQ(settings(one)["trace_rate"], "5");
  EXPECT_EQ(settings(all)["trace_rate"], "1");
  EXPECT_EQ(post(one, R"({"trace_rate":null})").status, 200);
  testing::internal::CaptureStderr();
  for (int i = 0; i < 5; ++i) post("/v2/models/echo/infer", kInfer);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::ranges::count(log, '\n'), 2) << log;  // trace_count
  EXPECT_THAT(log, HasSubstr("trace: request model=echo version=1"));
  EXPECT_EQ(settings(one)["trace_count"], "0");
  for (const char* wrong :
       {R"({"trace_level":"LOUD"})", R"({"trace_level":["TENSORS"]})", R"({"trace_rate":"0"})",
        R"({"trace_rate":"x"})", R"({"trace_count":-2})", R"({"trace_file":"/etc/passwd"})", "[]",
        "{"}) {
    EXPECT_EQ(post(all, wrong).status, 400) << wrong;
  }
  EXPECT_EQ(get("/v2/models/other/trace/setting").status, 404);
}

TEST_F(HttpApiTest, LogSettingsAreALevel) {
  const log::Level before = log::level();
  const auto set = [&](const std::string& body) { return post("/v2/logging", body); };
  EXPECT_EQ(json::parse(get("/v2/logging").body)["log_info"], before <= log::Level::kInfo);
  EXPECT_EQ(set(R"({"log_verbose_level":2})").status, 200);
  EXPECT_EQ(log::level(), log::Level::kDebug);
  EXPECT_EQ(set(R"({"log_verbose_level":0,"log_info":false})").status, 200);
  EXPECT_EQ(log::level(), log::Level::kWarn);
  EXPECT_EQ(json::parse(set(R"({"log_warning":false})").body)["log_warning"], false);
  EXPECT_EQ(log::level(), log::Level::kError);
  for (const char* wrong : {R"({"log_error":false})", R"({"log_info":true})", R"({"log_info":1})",
                            R"({"log_file":"/tmp/x"})", R"({"log_format":"ISO8601"})",
                            R"({"other":1})", R"({"log_verbose_level":-1})", "null"}) {
    EXPECT_EQ(set(wrong).status, 400) << wrong;
    EXPECT_EQ(log::level(), log::Level::kError) << wrong;
  }
  log::set_level(before);
  HttpRequest remote = request("POST", "/v2/logging", "{}");
  remote.peer.address = "127.0.0.1:4711";
  EXPECT_EQ(send(remote).status, 403);
}

TEST_F(HttpApiTest, WhatAPathTakesIsSaid) {
  const HttpResponse response = send(request("DELETE", "/v2/trace/setting"));
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers.get("Allow"), "GET, HEAD, POST");
  EXPECT_EQ(get("/v2/cudasharedmemory/status").body, "[]");
  EXPECT_EQ(post("/v2/cudasharedmemory/unregister", "").status, 200);
  EXPECT_EQ(post("/v2/cudasharedmemory/region/r/register", "{}").status, 400);
}

TEST_F(HttpApiTest, AnOutputThatIsNotFiniteIsAFailureWhereItMustBe) {
  const auto infer = [this](const std::string& type, const std::string& bytes) {
    const std::string head =
        json{{"parameters", {{"binary_data_output", true}}},
             {"inputs", json::array({{{"name", "x"},
                                      {"datatype", type},
                                      {"shape", {1}},
                                      {"parameters", {{"binary_data_size", bytes.size()}}}}})}}
            .dump();
    HttpRequest call = request("POST", "/v2/models/echo/infer", head + bytes);
    call.headers.set("Inference-Header-Content-Length", std::to_string(head.size()));
    return send(std::move(call));
  };
  const std::vector<std::tuple<std::string, std::string, std::string>> cases = {
      {"FP16", std::string("\xff\x7b", 2), std::string("\x00\x7c", 2)},  // 65504, infinity
      {"FP32", std::string("\xff\xff\x7f\x7f", 4), std::string("\x01\x00\x80\xff", 4)},  // max, NaN
      {"FP64", std::string("\xff\xff\xff\xff\xff\xff\xef\x7f", 8),
       std::string("\0\0\0\0\0\0\xf0\xff", 8)}};
  int version = 0;
  for (const auto& [type, fine, bad] : cases) {
    for (const bool must : {false, true}) {
      Package package(std::to_string(++version));
      for (json* document : {&package.model, &package.manifest}) {
        (*document)["inputs"] = json::array({test::tensor("x", type, {-1})});
        (*document)["outputs"] = json::array({test::tensor("y", type, {-1})});
      }
      if (must) package.manifest["finite"] = {"y"};
      post("/v2/repository/models/echo/unload", "");
      serve(package);
      EXPECT_EQ(infer(type, fine).status, 200) << type;
      const HttpResponse response = infer(type, bad);
      EXPECT_EQ(response.status, must ? 500 : 200) << type;
      if (!must) continue;
      EXPECT_THAT(error_of(response), HasSubstr("gave NaN or infinity in output 'y'"));
      EXPECT_THAT(get("/metrics").body,
                  HasSubstr(fmt::format("skerry_inference_not_finite_total{{model=\"echo\","
                                        "version=\"{}\"}} 1\n",
                                        version)));
    }
  }
}

TEST_F(HttpApiTest, ACallersTimeoutIsKept) {
  serve_gated();
  const std::string body = R"({"parameters":{"timeout":20000},"inputs":
      [{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]})";
  const HttpResponse response = post("/v2/models/echo/infer", body);
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(error_of(response), HasSubstr("within its timeout of 21 ms"));
}

TEST_F(HttpApiTest, LargeBodiesAreReadAndWrittenOffTheLoop) {
  Package package("1");
  serve(package.shape({-1}));
  std::string data = "0.5";
  for (int i = 1; i < 50'000; ++i) data += ",0.5";
  const std::string body =
      R"({"inputs":[{"data":[)" + data + R"(],"name":"x","datatype":"FP32","shape":[50000]}]})";
  io::TaskScope scope;
  std::optional<HttpResponse> response;
  scope.spawn(test::store(api_.handle(request("POST", "/v2/models/echo/infer", body)), &response));
  EXPECT_FALSE(response);  // nothing of it has happened on this thread
  ASSERT_TRUE(test::run_until(loop_, [&] { return response.has_value(); }));
  ASSERT_EQ(response->status, 200) << response->body;
  EXPECT_EQ(json::parse(response->body)["outputs"][0]["data"].size(), 50'000u);
}

TEST_F(HttpApiTest, WatchesForDriftWhereThePackageHasAReference) {
  serve(Package("1"));
  EXPECT_THAT(error_of(get("/v2/models/echo/drift")), HasSubstr("no reference.json"));
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(i % 97);
  const monitor::Reference reference{
      {*monitor::make_feature("x[0]", values), *monitor::make_feature("y[1]", values)}};
  const auto load = [&](const std::string& version, const std::string& text) {
    const std::string path = Package(version).write(dir_.path(version));
    std::ofstream(path + "/reference.json") << text;
    return post("/v2/repository/models/echo/load", json{{"parameters", {{"path", path}}}}.dump());
  };
  EXPECT_THAT(error_of(load("2", "{}")), HasSubstr("format"));
  EXPECT_THAT(error_of(load("3", to_text(monitor::Reference{{*monitor::make_feature("z", {1})}}))),
              HasSubstr("'z'"));
  Package other("5");  // listed, and another file
  other.manifest["files"] = {{"reference.json", std::string(64, '0')}};
  const std::string path = other.write(dir_.path("5"));
  std::ofstream(path + "/reference.json") << to_text(reference);
  EXPECT_THAT(error_of(post("/v2/repository/models/echo/load",
                            json{{"parameters", {{"path", path}}}}.dump())),
              HasSubstr("not the file"));
  ASSERT_EQ(load("4", to_text(reference)).status, 200);
  for (int request = 0; request < 20; ++request) {
    json body = {{"inputs", {{{"name", "x"}, {"datatype", "FP32"}, {"shape", {50, 2}}}}}};
    for (int row = 0; row < 50; ++row) {
      body["inputs"][0]["data"].push_back((request * 50 + row) % 97);
      body["inputs"][0]["data"].push_back((request * 50 + row) % 97 + 50);
    }
    ASSERT_EQ(post("/v2/models/echo/infer", body.dump()).status, 200);
  }
  const json drift = json::parse(get("/v2/models/echo/drift").body);
  EXPECT_EQ(drift["windows"], 1);
  EXPECT_EQ(drift["driftedWindows"], 1);
  EXPECT_EQ(drift["features"][0]["drifted"], false);
  EXPECT_EQ(drift["features"][1]["drifted"], true);
  EXPECT_EQ(drift["features"][1]["count"], 1000);
}

}  // namespace
}  // namespace skerry::serve
