// The data plane's client against a real HTTP server that misbehaves.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "net/http_server.h"
#include "nucleus/cloud.h"
#include "nucleus/test_cloud.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

class HttpCloudTest : public testing::Test {
 protected:
  io::Task<net::HttpResponse> handle(net::HttpRequest request) {
    targets_.push_back(request.target);
    net::HttpResponse response;
    response.status = status_;
    response.body = answer_(request.target);
    co_return response;
  }
  void SetUp() override {
    auto port = server_.listen_tcp("127.0.0.1", 0, nullptr);
    ASSERT_TRUE(port);
    origin_ = "http://127.0.0.1:" + std::to_string(*port);
    cloud_ = make_http_cloud(*client_, {origin_, ThingName("press-7"), {}});
  }
  struct Counting : DownloadSink {
    io::Task<Result<void>> begin(uint64_t, uint64_t) override { co_return Result<void>(); }
    io::Task<Result<void>> write(std::string bytes) override {
      count += bytes.size();
      co_return Result<void>();
    }
    size_t count = 0;
  };

  io::RealLoop loop_;
  net::HttpServer server_{loop_,
                          [this](net::HttpRequest request) { return handle(std::move(request)); }};
  std::unique_ptr<net::HttpClient> client_ = net::make_http_client(loop_, nullptr);
  std::string origin_;
  std::unique_ptr<Cloud> cloud_;
  int status_ = 200;
  std::function<std::string(const std::string& target)> answer_;
  std::vector<std::string> targets_;
};

TEST_F(HttpCloudTest, EveryPageOfTheGroupsIsRead) {
  answer_ = [](const std::string& target) {
    const size_t token = target.find("?nextToken=");
    const int page = token == std::string::npos ? 0 : target.back() - '0';
    json groups = json::array();
    for (int i = 0; i < 100; ++i) {
      groups.push_back({{"thingGroupName", "g" + std::to_string(page * 100 + i)}});
    }
    json body = {{"thingGroups", groups}};
    if (page < 2) body["nextToken"] = "a/b&c=" + std::to_string(page + 1);
    return body.dump();
  };
  auto groups = run_task(loop_, cloud_->thing_groups());
  ASSERT_TRUE(groups) << groups.error().message();
  EXPECT_EQ(groups->size(), 300u);
  EXPECT_EQ(groups->back(), "thinggroup/g299");
  EXPECT_EQ(targets_.back(),
            "/greengrass/v2/coreDevices/press-7/thingGroups?nextToken=a%2Fb%26c%3D2");
}

TEST_F(HttpCloudTest, PagesWithoutEndAreAnError) {
  answer_ = [](const std::string&) { return R"({"thingGroups":[],"nextToken":"again"})"; };
  auto groups = run_task(loop_, cloud_->thing_groups());
  ASSERT_FALSE(groups);
  EXPECT_EQ(groups.error().code(), Code::kCorrupt);
}

TEST_F(HttpCloudTest, AnErrorOfAnySizeIsReadInPartOnly) {
  for (const int status : {403, 503}) {
    status_ = status;
    answer_ = [](const std::string&) { return std::string(8 << 20, 'x'); };
    Counting sink;
    auto done = run_task(loop_, cloud_->download(origin_ + "/a", 0, &sink));
    ASSERT_FALSE(done);
    EXPECT_EQ(sink.count, 0u);
    EXPECT_EQ(done.error().code(), status == 403 ? Code::kPermissionDenied : Code::kUnavailable)
        << done.error().message();
    EXPECT_NE(done.error().message().find("HTTP " + std::to_string(status)), std::string::npos)
        << done.error().message();
  }
}

TEST_F(HttpCloudTest, TheSignatureOfAUrlIsInNoError) {
  const std::string secret = "?X-Amz-Credential=KEYID&X-Amz-Signature=SECRET";
  for (const std::string& url :
       {"http://127.0.0.1:1/bucket/key" + secret, "http://user:SECRET@127.0.0.1:1/key" + secret,
        "ftp://127.0.0.1/key" + secret, "http://127.0.0.1:x/key" + secret, "http:///key" + secret,
        "http://127.0.0.1:1/a b" + secret}) {
    Counting sink;
    auto done = run_task(loop_, cloud_->download(url, 0, &sink));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().message().find("SECRET"), std::string::npos) << done.error().message();
    EXPECT_EQ(done.error().message().find("KEYID"), std::string::npos) << done.error().message();
  }
}

}  // namespace
}  // namespace skerry::nucleus
