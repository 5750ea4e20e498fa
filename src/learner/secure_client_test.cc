// A device in secure aggregation against a server that does as it should, and several that do not:
// nothing leaves it but under masks, cut, and among devices of its fleet.
#include <gtest/gtest.h>

#include <openssl/obj_mac.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "federated/secure/aggregation.h"
#include "federated/secure/participant.h"
#include "formats/checkpoint.h"
#include "io/fault_files.h"
#include "learner/test_device.h"
#include "net/x509.h"
#include "tensor/npy.h"

namespace skerry::learner {
namespace {

namespace secure = federated::secure;
namespace x509 = net::x509;
using federated::Task;
using nlohmann::json;
using secure::StepKind;

const std::string kSecureNet = R"(graph "net" {
  input %x: FP32[batch,2]
  const %w = FP32[2,2] {0,0, 0,0}
  const %b = FP32[2] {0,0}
  %y = Gemm(%x, %w, %b) "head"
  return %y
})";
constexpr size_t kNumbers = 6;

// An authority of a fleet, and identities under it.
struct Authority {
  explicit Authority(const std::string& folder, const std::string& name)
      : path(folder + "/" + name) {
    key = *x509::make_key();
    auto made = x509::authority_template(name, "test");
    made.not_after_s = 4'000'000'000;
    certificate = *x509::make_certificate(random, made, key.get(), nullptr, key.get());
    write(path + ".pem", x509::pem_of(certificate.get()));
  }
  static void write(const std::string& file, const std::string& text) {
    std::ofstream(file, std::ios::binary) << text;
  }
  Identity identity(const std::string& device) {
    auto own = *x509::make_key();
    auto made = x509::end_template(device, "test", "clientAuth");
    made.not_after_s = 4'000'000'000;
    const auto issued =
        x509::make_certificate(random, made, own.get(), certificate.get(), key.get());
    EXPECT_TRUE(issued);
    write(path + device + ".pem", x509::pem_of(issued->get()));
    write(path + device + ".key", x509::pem_of(own.get()));
    io::RealFiles files;
    auto read =
        Identity::read(files, path + ".pem", path + device + ".pem", path + device + ".key");
    EXPECT_TRUE(read) << read.error().message();
    return std::move(*read);
  }

  std::string path;
  io::SeededRandom random{5};
  net::openssl::Key key;
  net::openssl::Certificate certificate;
};

class SecureDevice : public DeviceTest {
 protected:
  static constexpr size_t kOthers = 3;

  SecureDevice() : fleet_ca_(scratch_.path(), "fleet"), own_(fleet_ca_.identity("me")) {
    task_ = {.kind = Task::Kind::kTrain,
             .training = "3f2a",
             .attempt = 1,
             .data = "parts",
             .model_sha256 = hex_encode(sha256(kSecureNet)),
             .model_bytes = kSecureNet.size(),
             .parameters = kNumbers,
             .local = {.epochs = 5, .batch = 4, .rate = 1, .clip = 1000},
             .secure = federated::SecureTask{.levels = 1 << 20, .noise = 0}};
    tensor::Tensor rows{.name = "", .type = tensor::DataType::kFp32, .shape = {8, 2}};
    tensor::Tensor labels{.name = "", .type = tensor::DataType::kInt64, .shape = {8}};
    for (size_t row = 0; row < 8; ++row) {
      const float values[] = {row % 2 == 0 ? 5.0F : 0.0F, row % 2 == 0 ? 0.0F : 5.0F};
      const auto label = static_cast<int64_t>(row % 2);
      append(rows, values, sizeof values);
      append(labels, &label, sizeof label);
    }
    Authority::write(path("rows.npy"), *tensor::to_npy(rows.view()));
    Authority::write(path("labels.npy"), *tensor::to_npy(labels.view()));
    EXPECT_TRUE(round_files_.make_directory("/a", 0700));
    for (size_t i = 0; i < kOthers; ++i) {
      identities_.push_back(fleet_ca_.identity(name(i)));
      others_.emplace_back(random_);
    }
    start([this](net::HttpRequest request) { return answer_to(std::move(request)); });
  }
  static void append(tensor::Tensor& tensor, const void* bytes, size_t size) {
    const size_t at = tensor.bytes.size();
    tensor.bytes.resize(at + size);
    std::memcpy(tensor.bytes.data() + at, bytes, size);
  }
  static std::string name(size_t other) { return "other" + std::to_string(other); }

  io::Task<net::HttpResponse> answer_to(net::HttpRequest request) {
    const std::string target(net::split_target(request.target).first);
    if (target.ends_with("/tasks")) {
      co_return net::json_response(200, federated::to_json(task_).dump());
    }
    if (target.ends_with("/model")) co_return net::text_response(200, kSecureNet);
    if (target.find("/parameters/") != std::string::npos) {
      tensor::Tensor model{.name = "model", .type = tensor::DataType::kFp32, .shape = {kNumbers}};
      model.bytes.resize(kNumbers * sizeof(float));
      co_return net::text_response(200, formats::encode({.document = "{}", .tensors = {model}}));
    }
    if (target.ends_with("/updates/1")) {
      if (request.method == "PUT") upload_ = request.body;
      co_return net::json_response(
          200, json{{"bytes", 0}, {"complete", request.method == "PUT"}}.dump());
    }
    if (target.ends_with("/refusals/1")) ++refusals_;
    if (target.ends_with("/secure/1") && request.method == "GET") {
      move_on();
      auto step = server_.next("me");
      if (!step) co_return net::text_response(409, "{}");
      step->retry_after_s = 0.001;
      if (tamper_) tamper_(*step);
      co_return net::json_response(200, secure::to_json(*step).dump());
    }
    if (target.ends_with("/secure/1")) {
      const auto said = secure::parse_said(request.body);
      EXPECT_TRUE(said);
      const auto heard = server_.hear("me", *said);
      EXPECT_TRUE(heard) << heard.error().message();
    }
    co_return net::json_response(200, "{}");
  }

  // What the others do, all of them at once, as soon as the device has done its part.
  void move_on() {
    using Phase = secure::Aggregation::Phase;
    const bool is_done =
        server_.phase() == Phase::kUpdates ? !upload_.empty() : server_.has_said("me");
    if (!is_done) return;
    std::set<std::string> all = {"me"};
    const Phase phase = server_.phase();
    for (size_t i = 0; i < kOthers; ++i) {
      const auto step = server_.next(name(i));
      EXPECT_TRUE(step);
      all.insert(name(i));
      if (phase == Phase::kKeys) {
        secure::Said said{.kind = StepKind::kKeys, .keys = others_[i].announce()};
        EXPECT_TRUE(identities_[i].sign(said.keys, task_.training, task_.attempt));
        EXPECT_TRUE(server_.hear(name(i), said));
      } else if (phase == Phase::kShares) {
        EXPECT_TRUE(server_.hear(name(i), *others_[i].share(*step)));
      } else if (phase == Phase::kUpdates) {
        EXPECT_TRUE(others_[i].receive(*step));
        secure::Numbers zeros(sent(), 0);
        sum_.resize(sent());
        EXPECT_TRUE(others_[i].mask(zeros));
        for (size_t at = 0; at < sum_.size(); ++at) sum_[at] += zeros[at];
      } else if (step->kind == StepKind::kUnmask) {
        EXPECT_TRUE(server_.hear(name(i), *others_[i].unmask(*step)));
      }
    }
    if (phase == Phase::kKeys) server_.begin_shares({all.begin(), all.end()}, random_);
    if (phase == Phase::kShares) server_.begin_updates();
    if (phase == Phase::kUpdates) server_.begin_unmasking(all);
  }

  Result<double> work(LocalPolicy policy = {}) {
    ClientOptions options = options_of(policy);
    options.validation = 0;
    return work_with(std::move(options), &own_);
  }
  size_t sent() const { return kNumbers + (task_.secure->count_noise ? 2 : 1); }
  // The update alone, as all others have sent noughts.
  secure::Sum sum_of_all() {
    const auto masked = secure::decode_masked(upload_, sent());
    EXPECT_TRUE(masked);
    for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += masked->numbers[i];
    EXPECT_TRUE(server_.unmask(sum_));
    return secure::from_numbers(sum_, {task_.local.clip, task_.secure->levels},
                                task_.secure->count_noise.has_value());
  }
  federated::Vector unmasked() { return sum_of_all().values; }
  void expect_refusal(LocalPolicy policy = {}) {
    EXPECT_TRUE(work(policy));
    EXPECT_EQ(refusals_, 1);
    EXPECT_EQ(upload_, "");
  }

  Authority fleet_ca_;
  Identity own_;
  federated::TaskMessage task_;
  io::FaultFiles round_files_;
  secure::Aggregation server_{round_files_, "/a"};
  std::vector<Identity> identities_;
  std::vector<secure::Participant> others_;
  std::function<void(secure::Step&)> tamper_;
  secure::Numbers sum_ = secure::Numbers(kNumbers + 1, 0);
  std::string upload_;
  int refusals_ = 0;
};

TEST_F(SecureDevice, SendsAnUpdateThatIsInTheSumAndNowhereElse) {
  ASSERT_TRUE(work({.only_secure = true}));
  EXPECT_EQ(refusals_, 0);
  const auto masked = secure::decode_masked(upload_, kNumbers + 1);
  ASSERT_TRUE(masked);
  const auto alone = secure::from_numbers(masked->numbers, {1000, 1 << 20}).values;
  EXPECT_GT(federated::length_of(alone), 10'000);  // noise
  const double length = federated::length_of(unmasked());
  EXPECT_GT(length, 0.5);
  EXPECT_LT(length, 100);
  EXPECT_TRUE(std::filesystem::is_empty(path("learn/updates")));
}

TEST_F(SecureDevice, IsCutToItsOwnLimitUnderTheMasks) {
  ASSERT_TRUE(work({.longest_update = 0.25, .only_secure = true}));
  EXPECT_LE(federated::length_of(unmasked()), 0.26);
}

TEST_F(SecureDevice, TellsUnderTheMasksWhetherItsUpdateWasCut) {
  task_.secure->count_noise = 0;
  ASSERT_TRUE(work());
  EXPECT_EQ(sum_of_all().within, 0.5);
}

TEST_F(SecureDevice, OfAnUpdateThatWasCutTellsThat) {
  task_.secure->count_noise = 0;
  task_.local.clip = 0.01;
  ASSERT_TRUE(work());
  EXPECT_EQ(sum_of_all().within, -0.5);
}

TEST_F(SecureDevice, AddsTheNoiseItself) {
  task_.secure->noise = 0.1;
  ASSERT_TRUE(work());
  EXPECT_GT(federated::length_of(unmasked()), 20);  // deviation 100 in each of 6
}

TEST_F(SecureDevice, ThatWantsMasksSendsNothingWithout) {
  task_.secure.reset();
  expect_refusal({.only_secure = true});
}

TEST_F(SecureDevice, DoesNotHideAmongTooFew) {
  expect_refusal({.fewest_peers = 4});
}

TEST_F(SecureDevice, RefusesKeysThatAServerHasPutInThePlaceOfOthers) {
  tamper_ = [&](secure::Step& step) {
    if (step.kind == StepKind::kShares) {
      step.peers[1].keys.mask_key = secure::make_key_pair(random_).open;
    }
  };
  expect_refusal();
}

TEST_F(SecureDevice, RefusesPeersThatAreOfNoFleetOfItsOwn) {
  Authority other(scratch_.path(), "other");
  const Identity stranger = other.identity("stranger");
  tamper_ = [&](secure::Step& step) {
    if (step.kind == StepKind::kShares) {
      EXPECT_TRUE(stranger.sign(step.peers[0].keys, task_.training, task_.attempt));
    }
  };
  expect_refusal();
}

TEST_F(SecureDevice, RefusesKeysOfAnotherAttempt) {
  tamper_ = [&](secure::Step& step) {
    if (step.kind == StepKind::kShares) {
      EXPECT_TRUE(identities_[0].sign(step.peers[0].keys, task_.training, task_.attempt + 1));
    }
  };
  expect_refusal();
}

TEST_F(SecureDevice, RefusesStepsThatSkipTheOnesBefore) {
  tamper_ = [&](secure::Step& step) { step = {.kind = StepKind::kUpdate}; };
  expect_refusal();
}

TEST_F(SecureDevice, DoesNotUnmaskForAServerThatLeavesItOut) {
  tamper_ = [&](secure::Step& step) {
    if (step.kind != StepKind::kUnmask) return;
    step.dropped.push_back(step.alive[0]);
    step.alive.erase(step.alive.begin());
  };
  EXPECT_TRUE(work());
  EXPECT_EQ(refusals_, 1);
  EXPECT_FALSE(server_.has_said("me"));
}

TEST(Identities, AreVerifiedForTheirAttemptAlone) {
  const io::ScratchDirectory folder;
  Authority fleet(folder.path(""), "fleet");
  const Identity one = fleet.identity("one"), other = fleet.identity("two");
  io::SeededRandom random(1);
  secure::Announcement keys = secure::Participant(random).announce();
  ASSERT_TRUE(one.sign(keys, "3f2a", 7));
  EXPECT_TRUE(other.verify(keys, "3f2a", 7));
  EXPECT_FALSE(other.verify(keys, "3f2b", 7));
  EXPECT_FALSE(other.verify(keys, "3f2a", 8));
  auto wrong = keys;
  wrong.seed_digest[0] ^= 1;
  EXPECT_FALSE(other.verify(wrong, "3f2a", 7));
  wrong = keys;
  wrong.certificate = "none";
  EXPECT_FALSE(other.verify(wrong, "3f2a", 7));
  io::RealFiles files;
  EXPECT_FALSE(Identity::read(files, folder.path("nothing"), "", ""));
}

}  // namespace
}  // namespace skerry::learner
