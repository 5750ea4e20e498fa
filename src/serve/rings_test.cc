// Rings over a real Unix socket, asked by the C client: answers, limits, rights, clients that die
// or mean no good, and the orderly end. The same client by HTTP.
#include "serve/rings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <skerry/infer_client.hpp>

#include <atomic>
#include <cstring>
#include <future>
#include <thread>

extern "C" {
#include "../client/connect.h"
}
#include "base/encoding.h"
#include "base/sha256.h"
#include "net/http_server.h"
#include "serve/http_api.h"
#include "serve/test_runtimes.h"
#include "serve/test_support.h"

namespace skerry::serve {
namespace {

using test::json;
using test::Package;
using testing::HasSubstr;

constexpr std::array<int64_t, 2> kRow{1, 2};

class RingsTest : public testing::Test {
 protected:
  RingsTest() {
    api_.set_ready();
    EXPECT_TRUE(http_.listen_unix(socket(), 0600));
  }
  ~RingsTest() override { gate_->open(); }

  std::string socket() const { return dir_.path("infer.sock"); }

  void serve(const Package& package) {
    const std::string name = package.manifest["name"];
    const std::string path = package.write(dir_.path(name));
    net::HttpRequest request{.method = "POST",
                             .target = "/v2/repository/models/" + name + "/load",
                             .body = json{{"parameters", {{"path", path}}}}.dump()};
    request.peer.address = "unix";
    const auto response = test::run(loop_, api_.handle(std::move(request)));
    ASSERT_EQ(response.status, 200) << response.body;
  }
  void serve_gated() {
    Package package;
    package.manifest["runtime"] = "gated";
    serve(package);
    gate_->close();
  }
  // What `work` gives on a thread of its own, while the loop runs.
  template <class Work>
  auto beside_loop(Work work) {
    auto done = std::async(std::launch::async, std::move(work));
    EXPECT_TRUE(test::run_until(loop_, [&] {
      return done.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    }));
    return done.get();
  }
  skerry::client::Client connect(SkerryClientOptions options = {}) {
    return beside_loop([&] { return skerry::client::Client(socket(), options); });
  }
  // Waits for a ticket's answer, which is version 1's to [3, 4]; the status.
  auto waiting(skerry::client::Client& client) {
    return [this, &client](uint32_t ticket, int32_t timeout_ms) {
      return beside_loop([&client, ticket, timeout_ms] {
        SkerryClientAnswer answer{.size = sizeof answer};
        const int status = skerry_client_wait(client.get(), ticket, timeout_ms, &answer);
        if (status == SKERRY_STATUS_OK) {
          EXPECT_STREQ(answer.version, "1");
          EXPECT_EQ(static_cast<const float*>(answer.outputs[0].data)[1], 4);
          EXPECT_EQ(reinterpret_cast<uintptr_t>(answer.outputs[0].data) % 64, 0u);
        }
        skerry_client_release(client.get(), &answer);
        return status;
      });
    };
  }
  // As text: the first output's floats, or why there are none.
  static std::string ask(skerry::client::Client& client, const char* model,
                         std::vector<float> values) {
    try {
      const std::array<int64_t, 2> shape{1, static_cast<int64_t>(values.size())};
      const auto answer = client.infer(
          model, {skerry::client::tensor<float>("x", shape, std::span<const float>(values))});
      return fmt::format("{}", fmt::join(answer.values<float>("y"), " "));
    } catch (const skerry::client::Error& error) {
      return fmt::format("{} {}: {}", error.status(), error.retry_after_s(), error.what());
    }
  }
  void set_rules(const json& document) {
    auto rules = parse_access_rules(document.dump());
    ASSERT_TRUE(rules) << rules.error().message();
    api_.set_access(std::move(*rules));
  }
  size_t rings() { return api_.rings().size(); }

  io::ScratchDirectory dir_;
  io::RealFiles files_;
  io::RealClock clock_;
  std::shared_ptr<test::Gate> gate_ = std::make_shared<test::Gate>();
  io::RealLoop loop_;
  io::ThreadPool codec_{"codec", 1};
  ModelRepository repository_{loop_, files_, test::runtimes(gate_), {}};
  InferenceService inference_{loop_, {.threads = 2, .max_queued = 2}};
  Scheduler scheduler_{loop_, codec_, inference_, {.threads = 2, .max_queued = 2}};
  HttpApi api_{loop_, clock_, codec_, repository_, scheduler_, {.max_shared_bytes = 1 << 20}};
  net::HttpServer http_{
      loop_, [this](net::HttpRequest request) { return api_.handle(std::move(request)); }};
};

TEST_F(RingsTest, AnswersAndCounts) {
  serve(Package().shape({-1, -1}));
  auto client = connect();
  EXPECT_EQ(beside_loop([&] { return ask(client, "echo", {1.5, -2}); }), "1.5 -2");
  // Larger than what is copied on the loop, and many after one another.
  auto large = connect({.slots = 1, .slot_bytes = 600'000});
  const std::vector<float> many(100'000, 0.5);
  EXPECT_EQ(beside_loop([&] { return ask(large, "echo", many); }).size(), 100'000u * 4 - 1);
  beside_loop([&] {
    for (int i = 0; i < 2000; ++i) {
      EXPECT_EQ(ask(client, "echo", {static_cast<float>(i)}), std::to_string(i));
    }
    return 0;
  });
  EXPECT_EQ(repository_.find("echo")->stats.successes(), 2002u);
  EXPECT_EQ(repository_.find("echo")->stats.failures(), 0u);
}

TEST_F(RingsTest, SaysWhyThereIsNoAnswer) {
  serve(Package());
  auto client = connect({.slots = 1, .slot_bytes = 1000});
  EXPECT_THAT(beside_loop([&] { return ask(client, "other", {1, 2}); }),
              HasSubstr("2 0: model 'other' is not loaded"));
  EXPECT_THAT(beside_loop([&] { return ask(client, "echo", {1}); }), HasSubstr("1 0: "));
  EXPECT_EQ(repository_.find("echo")->stats.failures(), 1u);
  EXPECT_THAT(ask(client, "echo", std::vector<float>(5000)), HasSubstr("does not fit into a slot"));
  EXPECT_EQ(beside_loop([&] { return ask(client, "echo", {1, 2}); }), "1 2");
  beside_loop([&] {
    SkerryClientRequest request{.size = sizeof request, .model = "echo", .version = "9"};
    SkerryClientAnswer answer{.size = sizeof answer};
    EXPECT_EQ(skerry_client_infer(client.get(), &request, &answer), SKERRY_STATUS_NOT_FOUND);
    EXPECT_THAT(answer.message, HasSubstr("serves version 1, not 9"));
    skerry_client_release(client.get(), &answer);
    return 0;
  });
}

TEST_F(RingsTest, SeveralRequestsAreUnderWayAtOnceAndTimeOut) {
  serve_gated();
  auto client = connect({.slots = 3});
  const std::array<float, 2> values{3, 4};
  const auto input = skerry::client::tensor<float>("x", kRow, std::span<const float>(values));
  SkerryClientRequest request{
      .size = sizeof request, .model = "echo", .inputs = &input, .input_count = 1};
  std::array<uint32_t, 4> tickets{};
  for (int i = 0; i < 3; ++i) {
    request.timeout_us = i == 1 ? 1 : 0;
    EXPECT_EQ(skerry_client_begin(client.get(), &request, &tickets[static_cast<size_t>(i)]), 0);
  }
  EXPECT_EQ(skerry_client_begin(client.get(), &request, &tickets[3]),
            SKERRY_STATUS_RESOURCE_EXHAUSTED);
  const auto wait = waiting(client);
  EXPECT_EQ(wait(tickets[1], -1), SKERRY_STATUS_TIMEOUT);  // the service's
  EXPECT_EQ(wait(tickets[2], 1), SKERRY_STATUS_TIMEOUT);   // the caller's
  EXPECT_EQ(wait(tickets[2], 1), SKERRY_STATUS_INVALID_ARGUMENT);
  gate_->open();
  EXPECT_EQ(wait(tickets[0], -1), SKERRY_STATUS_OK);
  // The dropped answer's slot is free once it has come.
  ASSERT_TRUE(
      test::run_until(loop_, [&] { return repository_.find("echo")->stats.successes() == 2; }));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(skerry_client_begin(client.get(), &request, &tickets[static_cast<size_t>(i)]), 0);
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(wait(tickets[static_cast<size_t>(i)], -1), 0);
}

TEST_F(RingsTest, RightsAndLimitsHoldForEachInference) {
  serve(Package());
  const auto refused = [&](const char* token) {
    return beside_loop([&, token]() -> std::string {
      try {
        skerry::client::Client client(socket(), {.token = token});
        return ask(client, "echo", {1, 2});
      } catch (const skerry::client::Error& error) {
        return fmt::format("{}: {}", error.status(), error.what());
      }
    });
  };
  const json mine = {{"name", "camera"},
                     {"token_sha256", hex_encode(sha256("secret"))},
                     {"allow", {"infer"}},
                     {"models", {"echo"}}};
  json rules = {{"format", 1}, {"clients", {mine}}};
  set_rules(rules);
  EXPECT_EQ(refused("secret"), "1 2");
  EXPECT_THAT(refused("other"), HasSubstr("13: the token is not one of this server's"));
  auto client = connect({.token = "secret"});
  EXPECT_THAT(beside_loop([&] { return ask(client, "other", {1, 2}); }),
              HasSubstr("4 0: 'camera' may not use model 'other'"));
  // Rules that are read again hold for rings that are open.
  rules["clients"][0]["requests_per_s"] = 0.001;
  rules["clients"][0]["burst"] = 1;
  set_rules(rules);
  EXPECT_EQ(beside_loop([&] { return ask(client, "echo", {1, 2}); }), "1 2");
  EXPECT_THAT(beside_loop([&] { return ask(client, "echo", {1, 2}); }),
              HasSubstr("8 1000: 'camera' asks more than it may"));
  rules["clients"][0]["token_sha256"] = hex_encode(sha256("new"));
  set_rules(rules);
  EXPECT_THAT(beside_loop([&] { return ask(client, "echo", {1, 2}); }), HasSubstr("13 0: "));
}

TEST_F(RingsTest, OpensForWhoMayAndWhileThereIsRoom) {
  net::HttpRequest request{.target = "/v2/ring?slots=2"};
  request.headers.add("Upgrade", SKERRY_RING_PROTOCOL);
  request.peer.address = "127.0.0.1:99";
  EXPECT_EQ(test::run(loop_, api_.handle(request)).status, 403);
  request.peer.address = "unix";
  EXPECT_EQ(test::run(loop_, api_.handle(request)).status, 101);
  for (const char* target : {"/v2/ring?slots=0", "/v2/ring?slots=65", "/v2/ring?slots=x",
                             "/v2/ring?slot_bytes=99999999999"}) {
    request.target = target;
    EXPECT_EQ(test::run(loop_, api_.handle(request)).status, 400) << target;
  }
  request.target = "/v2/ring";
  request.headers.set("Upgrade", "websocket");
  EXPECT_EQ(test::run(loop_, api_.handle(request)).status, 400);

  // 4 MiB for all, half of it for one user.
  std::vector<skerry::client::Client> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(connect({.slots = 1, .slot_bytes = 600'000}));
  EXPECT_EQ(rings(), 3u);
  const auto reason = [&] {
    return beside_loop([&]() -> std::string {
      try {
        skerry::client::Client another(socket(), {.slots = 1, .slot_bytes = 600'000});
        return "";
      } catch (const skerry::client::Error& error) {
        return fmt::format("{}: {}", error.status(), error.what());
      }
    });
  };
  EXPECT_THAT(reason(), HasSubstr("8: there are 3 rings, 3 of this user's"));
  clients.pop_back();
  ASSERT_TRUE(test::run_until(loop_, [&] { return rings() == 2; }));
  EXPECT_EQ(reason(), "");
}

TEST_F(RingsTest, WhatADeadClientHasAskedIsDropped) {
  serve_gated();
  const auto model = repository_.find("echo");
  {
    auto client = connect();
    const std::array<float, 2> values{3, 4};
    const auto input = skerry::client::tensor<float>("x", kRow, std::span<const float>(values));
    SkerryClientRequest request{
        .size = sizeof request, .model = "echo", .inputs = &input, .input_count = 1};
    for (int i = 0; i < 4; ++i) {
      uint32_t ticket = 0;
      ASSERT_EQ(skerry_client_begin(client.get(), &request, &ticket), 0);
    }
    ASSERT_TRUE(test::run_until(loop_, [&] { return gate_->waiting() == 2; }));
  }
  ASSERT_TRUE(test::run_until(loop_, [&] { return rings() == 0; }));
  gate_->open();
  ASSERT_TRUE(test::run_until(loop_, [&] { return model->in_flight == 0; }));
  EXPECT_EQ(model->stats.successes(), 0u);
  auto next = connect();
  EXPECT_EQ(beside_loop([&] { return ask(next, "echo", {1, 2}); }), "1 2");
}

TEST_F(RingsTest, TheEndWaitsForWhatIsUnderWay) {
  serve_gated();
  auto busy = connect({.slots = 1});
  auto idle = connect({.slots = 1});
  auto asked = std::async(std::launch::async, [&] { return ask(busy, "echo", {5, 6}); });
  ASSERT_TRUE(test::run_until(loop_, [&] { return gate_->waiting() == 1; }));
  api_.rings().stop();
  ASSERT_TRUE(test::run_until(loop_, [&] { return rings() == 1; }));
  EXPECT_THAT(beside_loop([&] { return ask(idle, "echo", {1, 2}); }),
              HasSubstr("9 0: the inference service is gone"));
  gate_->open();
  ASSERT_TRUE(test::run_until(loop_, [&] { return rings() == 0; }));
  EXPECT_EQ(asked.get(), "5 6");
}

// A connection whose memory is written at random while the service works; another client's answers
// stay right.
TEST_F(RingsTest, AClientThatScribblesHarmsNobodyElse) {
  serve(Package());
  auto good = connect();
  Opened bad{};
  std::array<char, 256> reason{};
  beside_loop([&] {
    return skerry_connect(socket().c_str(), "", "/v2/ring?slots=2&slot_bytes=4000", 10'000, &bad,
                          reason.data(), reason.size());
  });
  const io::Fd connection(bad.socket);
  const io::Fd object(bad.descriptor);
  const uint64_t size = RingMemory::size_of(2, 4000);
  void* const mapping = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, object.get(), 0);
  ASSERT_NE(mapping, MAP_FAILED) << reason.data();
  std::atomic<bool> ends = false;
  std::thread scribbler([&] {
    auto* const memory = static_cast<volatile uint32_t*>(mapping);
    uint64_t random = 88172645463325252U;
    for (size_t i = 0; !ends; ++i) {
      random ^= random << 13U;
      random ^= random >> 7U;
      random ^= random << 17U;
      const size_t slot = (SKERRY_RING_AT_SLOTS_BEGIN + (random & 1U) * 8192) / 4;
      // Mostly what is looked at: the words of control, and heads.
      memory[slot + (i % 4 == 0   ? 0
                     : i % 4 == 1 ? 1
                                  : 32 + random % 64)] =
          static_cast<uint32_t>(random >> (random % 60));
      memory[random % (size / 4)] = i % 2 == 0 ? 0 : static_cast<uint32_t>(random);
    }
  });
  beside_loop([&] {
    for (int i = 0; i < 3000; ++i) {
      EXPECT_EQ(ask(good, "echo", {static_cast<float>(i), 1}), fmt::format("{} 1", i));
      (void)!::send(connection.get(), "wake", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return 0;
  });
  ends = true;
  scribbler.join();
  ::munmap(mapping, size);
}

class CClientTest : public RingsTest {
 protected:
  CClientTest() {
    const auto port = http_.listen_tcp("127.0.0.1", 0, nullptr);
    EXPECT_TRUE(port);
    server_ = "http://127.0.0.1:" + std::to_string(*port);
  }
  skerry::client::Client over_tcp(SkerryClientOptions options = {}) {
    options.server = server_.c_str();
    return skerry::client::Client(options);
  }
  skerry::client::Client over_socket(SkerryClientOptions options = {}) {
    options.transport = SKERRY_TRANSPORT_HTTP;
    return skerry::client::Client(socket(), options);
  }

  std::string server_;
};

TEST_F(CClientTest, AnswersAreTheRings) {
  serve(Package().shape({-1, -1}));
  auto ring = connect({.slots = 1, .slot_bytes = 600'000});
  auto tcp = over_tcp();
  auto unix_socket = over_socket();
  const std::vector<float> many(100'000, 0.5);
  for (skerry::client::Client* client : {&ring, &tcp, &unix_socket}) {
    EXPECT_EQ(beside_loop([&] { return ask(*client, "echo", {1.5, -2}); }), "1.5 -2");
    EXPECT_EQ(beside_loop([&] { return ask(*client, "echo", many); }).size(), 399'999u);
    EXPECT_EQ(beside_loop([&] { return ask(*client, "echo", {}); }), "");
    EXPECT_THAT(beside_loop([&] { return ask(*client, "other \"&/1", {1, 2}); }),
                HasSubstr("2 0: model 'other \"&/1' is not loaded"));
    EXPECT_THAT(beside_loop([&] {
                  SkerryClientRequest request{.size = sizeof request, .model = "echo"};
                  SkerryClientAnswer answer{.size = sizeof answer};
                  const int status = skerry_client_infer(client->get(), &request, &answer);
                  EXPECT_EQ(status, SKERRY_STATUS_INVALID_ARGUMENT);
                  std::string message = answer.message;
                  skerry_client_release(client->get(), &answer);
                  return message;
                }),
                HasSubstr("input"));
    EXPECT_EQ(beside_loop([&] { return ask(*client, "echo", {7}); }), "7");
  }
  // More than the client wants to take is refused by it, and the next answer is a right one.
  auto small = over_tcp({.slot_bytes = 1000});
  EXPECT_THAT(beside_loop([&] { return ask(small, "echo", many); }), HasSubstr("8 0: "));
  EXPECT_EQ(beside_loop([&] { return ask(small, "echo", {1}); }), "1");
}

TEST_F(CClientTest, SeveralRequestsAreUnderWayAndTimeOut) {
  serve_gated();
  auto client = over_tcp({.slots = 3});
  const std::array<float, 2> values{3, 4};
  const auto input = skerry::client::tensor<float>("x", kRow, std::span<const float>(values));
  const char* const wanted = "y";
  SkerryClientRequest request{.size = sizeof request,
                              .model = "echo",
                              .version = "1",
                              .inputs = &input,
                              .input_count = 1,
                              .outputs = &wanted,
                              .output_count = 1,
                              .priority = 1};
  std::array<uint32_t, 4> tickets{};
  for (size_t i = 0; i < 3; ++i) {
    request.timeout_us = i == 1 ? 1 : 0;
    EXPECT_EQ(skerry_client_begin(client.get(), &request, &tickets.at(i)), SKERRY_STATUS_OK);
  }
  EXPECT_EQ(skerry_client_begin(client.get(), &request, &tickets[3]),
            SKERRY_STATUS_RESOURCE_EXHAUSTED);
  const auto wait = waiting(client);
  EXPECT_EQ(wait(tickets[1], -1), SKERRY_STATUS_TIMEOUT);  // the service's
  EXPECT_EQ(wait(tickets[2], 1), SKERRY_STATUS_TIMEOUT);   // the caller's
  EXPECT_EQ(wait(tickets[2], 1), SKERRY_STATUS_INVALID_ARGUMENT);
  gate_->open();
  EXPECT_EQ(wait(tickets[0], -1), SKERRY_STATUS_OK);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(skerry_client_begin(client.get(), &request, &tickets.at(i)), SKERRY_STATUS_OK);
  }
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(wait(tickets.at(i), -1), SKERRY_STATUS_OK);
}

TEST_F(CClientTest, CausesAreTheServices) {
  serve(Package());
  const json mine = {{"name", "camera"},
                     {"token_sha256", hex_encode(sha256("secret"))},
                     {"allow", {"infer"}},
                     {"requests_per_s", 0.001},
                     {"burst", 1}};
  set_rules({{"format", 1}, {"clients", {mine}}});
  auto client = over_tcp({.token = "secret"});
  EXPECT_EQ(beside_loop([&] { return ask(client, "echo", {1, 2}); }), "1 2");
  EXPECT_THAT(beside_loop([&] { return ask(client, "echo", {1, 2}); }),
              HasSubstr("8 1000: 'camera' asks more than it may"));
  auto other = over_tcp({.token = "other"});
  EXPECT_THAT(beside_loop([&] { return ask(other, "echo", {1, 2}); }), HasSubstr("13 0: "));
}

TEST_F(CClientTest, OptionsThatDoNotFitAreRefused) {
  const auto refusal = [&](SkerryClientOptions options) {
    try {
      const skerry::client::Client client(options);
      return std::string("accepted");
    } catch (const skerry::client::Error& error) {
      return fmt::format("{}: {}", error.status(), error.what());
    }
  };
  EXPECT_THAT(refusal({.server = "https://a"}), HasSubstr("1: 'https://a' is no server"));
  EXPECT_THAT(refusal({.server = "http://a:b"}), HasSubstr("1: "));
  EXPECT_THAT(refusal({.server = "http://a/b"}), HasSubstr("1: "));
  EXPECT_THAT(refusal({.server = ""}), HasSubstr("1: "));
  EXPECT_THAT(refusal({.socket_path = "/a", .server = "http://b"}), HasSubstr("1: "));
  EXPECT_THAT(refusal({.server = "http://b", .transport = SKERRY_TRANSPORT_RING}),
              HasSubstr("1: "));
  EXPECT_THAT(refusal({.token = "two\nlines", .server = server_.c_str()}), HasSubstr("1: a token"));
  EXPECT_THAT(refusal({.socket_path = "/nowhere", .transport = SKERRY_TRANSPORT_HTTP}),
              HasSubstr("9: the inference service cannot be reached"));
  EXPECT_EQ(refusal({.server = server_.c_str()}), "accepted");
}

TEST(SpinRule, LooksWhereItHasPaidAndEverMoreSeldomElsewhere) {
  SpinRule rule;
  EXPECT_FALSE(rule.goes_on(0));
  rule.answered(1000, true);
  EXPECT_TRUE(rule.goes_on(2000));
  rule.found();
  rule.answered(3000, true);
  EXPECT_TRUE(rule.goes_on(4000));
  EXPECT_FALSE(rule.goes_on(3000 + 50'000));  // in vain
  int64_t now = 1'000'000;
  std::vector<int> between;  // answers without a look
  for (int count = 0; between.size() < 4;) {
    now += 1'000'000;
    rule.answered(now, true);
    if (!rule.goes_on(now)) {
      ++count;
      continue;
    }
    between.push_back(std::exchange(count, 0));
    EXPECT_FALSE(rule.goes_on(now + 50'000));
  }
  EXPECT_EQ(between, (std::vector<int>{1, 3, 7, 15}));
  rule.answered(now, false);
  EXPECT_FALSE(rule.goes_on(now));
}

}  // namespace
}  // namespace skerry::serve
