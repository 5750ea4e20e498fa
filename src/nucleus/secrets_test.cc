// Sealed files, their key, and what power cuts and bit flips do to them.
#include "nucleus/secrets.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "io/fault_files.h"
#include "net/openssl.h"
#include "net/test_token.h"
#include "nucleus/secret_key.h"

namespace skerry::nucleus {
namespace {

constexpr const char* kDirectory = "/state/secrets";
constexpr const char* kValue = "correct horse battery staple";

std::string key_pem(bool rsa) {
  const net::openssl::Key key(rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  const net::openssl::Bio text(BIO_new(BIO_s_mem()));
  EXPECT_EQ(PEM_write_bio_PrivateKey(text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr),
            1);
  return net::openssl::text_of(text);
}

class SecretsTest : public ::testing::Test {
 protected:
  SecretStore open(const std::string& private_key = "") {
    return {files_, random_, {kDirectory, private_key, "arn:aws:secretsmanager:eu:1:secret:"}};
  }
  void write(const std::string& path, const std::string& bytes) {
    ASSERT_TRUE(io::make_directories(files_, io::parent_of(path)));
    ASSERT_TRUE(io::write_file_atomic(files_, path, bytes));
  }
  static std::string value(const Result<Secret>& found) {
    return found ? found->versions.at(0).value : found.error().message();
  }
  std::string file() {
    for (const std::string& name : files_.list(kDirectory).value())
      if (name.ends_with(".secret")) return std::string(kDirectory) + "/" + name;
    return "";
  }

  io::FaultFiles files_;
  io::SeededRandom random_{1};
};

TEST_F(SecretsTest, ASecretIsFoundByNameAndArnAndVersion) {
  auto store = open();
  const auto first = store.put("db/password", "one", false, 1).value();
  EXPECT_TRUE(first.arn.starts_with("arn:aws:secretsmanager:eu:1:secret:db/password-"));
  const auto second = store.put("db/password", std::string("two\0", 4), true, 2).value();
  EXPECT_EQ(second.arn, first.arn);
  const std::string partial = first.arn.substr(0, first.arn.size() - 7);
  for (const std::string& id : {std::string("db/password"), first.arn, partial}) {
    EXPECT_EQ(value(store.find({id, "", ""})), std::string("two\0", 4)) << id;
    EXPECT_EQ(value(store.find({id, "", "AWSPREVIOUS"})), "one");
    EXPECT_EQ(value(store.find({id, first.versions[0].id, ""})), "one");
  }
  EXPECT_EQ(store.find({"db/password", first.versions[0].id, "AWSCURRENT"}).error().code(),
            Code::kNotFound);
  EXPECT_EQ(store.find({"db", "", ""}).error().code(), Code::kNotFound);
  EXPECT_EQ(store.find({first.arn + "x", "", ""}).error().code(), Code::kNotFound);
  // A third: the first is gone.
  ASSERT_TRUE(store.put("db/password", "three", false, 3));
  EXPECT_EQ(store.find({"db/password", first.versions[0].id, ""}).error().code(), Code::kNotFound);
  ASSERT_EQ(store.list()->size(), 1u);
  EXPECT_EQ(store.list()->at(0).versions.at(0).value, "") << "a list has no values";
  ASSERT_TRUE(store.remove("db/password"));
  EXPECT_EQ(store.remove("db/password").error().code(), Code::kNotFound);
  EXPECT_TRUE(store.list()->empty());
}

TEST_F(SecretsTest, AKeyInATokenOpensThem) {
  const auto& token = net::test_token();
  ASSERT_NE(token.key_name, "") << "softhsm2-util or pkcs11-tool is missing: ./dev setup";
  ASSERT_TRUE(open(token.key_name).put("db/password", kValue, false, 1));
  EXPECT_EQ(value(open(token.key_name).find({"db/password", "", ""})), kValue);
  EXPECT_FALSE(open().find({"db/password", "", ""})) << "without the token";
}

class WrappedSecretsTest : public SecretsTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Keys, WrappedSecretsTest, ::testing::Bool(),
                         [](const auto& which) { return which.param ? "Rsa" : "Ec"; });

TEST_P(WrappedSecretsTest, NothingOfItIsReadableOnTheDisk) {
  write("/device.key", key_pem(GetParam()));
  auto store = open("/device.key");
  ASSERT_TRUE(store.put("name-of-it", kValue, false, 1));
  for (const std::string& name : files_.list(kDirectory).value()) {
    const auto bytes = io::read_file(files_, std::string(kDirectory) + "/" + name).value();
    EXPECT_EQ(bytes.find("horse"), std::string::npos) << name;
    EXPECT_EQ(bytes.find("name-of-it"), std::string::npos) << name;
    EXPECT_EQ(files_.stat(std::string(kDirectory) + "/" + name)->mode, 0600u) << name;
  }
  // Only with the same private key.
  EXPECT_EQ(value(open("/device.key").find({"name-of-it", "", ""})), kValue);
  write("/other.key", key_pem(GetParam()));
  EXPECT_EQ(open("/other.key").find({"name-of-it", "", ""}).error().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(open().find({"name-of-it", "", ""}).error().code(), Code::kFailedPrecondition);
}

TEST_F(SecretsTest, ADeviceThatGetsAPrivateKeyLaterWrapsItsKeyThen) {
  ASSERT_TRUE(open().put("a", kValue, false, 1));
  const std::string plain = io::read_file(files_, std::string(kDirectory) + "/key").value();
  write("/device.key", key_pem(false));
  EXPECT_EQ(value(open("/device.key").find({"a", "", ""})), kValue);
  EXPECT_NE(io::read_file(files_, std::string(kDirectory) + "/key").value(), plain);
  EXPECT_EQ(open().find({"a", "", ""}).error().code(), Code::kFailedPrecondition);
}

TEST_F(SecretsTest, AKeyFileThatSaysSomethingElseIsRefusedAndEndsNothing) {
  ASSERT_TRUE(open().put("a", kValue, false, 1));
  const std::string path = std::string(kDirectory) + "/key";
  for (const char* text :
       {"", "{", "[]", "7", "{}", R"({"wrapped":7,"key":{}})", R"({"wrapped":"none","key":7})",
        R"({"wrapped":"ec","key":"","point":1})", R"({"wrapped":"none","key":"AAAA"})",
        R"({"wrapped":"none","key":"%"})"}) {
    write(path, text);
    EXPECT_EQ(open().find({"a", "", ""}).error().code(), Code::kFailedPrecondition) << text;
  }
}

TEST_F(SecretsTest, EveryFlippedBitIsFound) {
  ASSERT_TRUE(open().put("a", kValue, false, 1));
  const std::string path = file();
  const std::string good = io::read_file(files_, path).value();
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    write(path, bad);
    EXPECT_EQ(open().find({"a", "", ""}).error().code(), Code::kCorrupt) << at;
  }
  write(path, good);
  EXPECT_EQ(value(open().find({"a", "", ""})), kValue);
  // One secret's file is not another's.
  ASSERT_TRUE(open().put("b", "other", false, 1));
  for (const std::string& name : files_.list(kDirectory).value()) {
    if (name.ends_with(".secret")) write(std::string(kDirectory) + "/" + name, good);
  }
  EXPECT_EQ(open().find({"b", "", ""}).error().code(), Code::kCorrupt);
}

TEST_F(SecretsTest, APowerCutLeavesTheOldVersionOrTheNewOne) {
  for (const auto policy : {io::CrashPolicy::kDropUnsynced, io::CrashPolicy::kSeeded}) {
    for (size_t at = 0;; ++at) {
      io::FaultFiles files;
      SecretStore store(files, random_, {kDirectory, "", "arn:"});
      ASSERT_TRUE(store.put("a", "old", false, 1));
      files.crash_at(files.operations().size() + at);
      const bool acknowledged = store.put("a", "new", false, 2).has_value();
      if (!files.crashed()) break;
      files.reboot(policy, at);
      SecretStore again(files, random_, {kDirectory, "", "arn:"});
      const std::string now = value(again.find({"a", "", ""}));
      EXPECT_TRUE(now == "new" || (now == "old" && !acknowledged)) << at << ": " << now;
    }
  }
  // The first secret of all, with its key.
  for (size_t at = 0;; ++at) {
    io::FaultFiles files;
    files.crash_at(at);
    const bool acknowledged =
        SecretStore(files, random_, {kDirectory, "", "arn:"}).put("a", "new", false, 1).has_value();
    if (!files.crashed()) break;
    files.reboot(io::CrashPolicy::kSeeded, at);
    SecretStore again(files, random_, {kDirectory, "", "arn:"});
    const auto found = again.find({"a", "", ""});
    EXPECT_TRUE(value(found) == "new" || (!acknowledged && found.error().code() == Code::kNotFound))
        << at << ": " << value(found);
  }
}

TEST_F(SecretsTest, NamesAndSizesHaveLimits) {
  auto store = open();
  EXPECT_EQ(store.put("", "v", false, 1).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(store.put("a b", "v", false, 1).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(store.put(std::string(257, 'a'), "v", false, 1).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(store.put("a", "", false, 1).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(store.put("a", std::string((64 << 10) + 1, 'v'), false, 1).error().code(),
            Code::kInvalidArgument);
  EXPECT_TRUE(store.put("../../etc/passwd", std::string(64 << 10, 'v'), false, 1));
  EXPECT_EQ(files_.list("/state").value(), (std::vector<std::string>{"secrets"}));
}

}  // namespace
}  // namespace skerry::nucleus
