// Keys in files and in a token: what they do for TLS, and what is said where they are not there.
#include "net/private_key.h"

#include <gtest/gtest.h>

#include <fstream>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/test_support.h"
#include "net/test_token.h"
#include "net/x509.h"

namespace skerry::net {
namespace {

class TokenTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(token_.key_name, "") << "softhsm2-util or pkcs11-tool is missing: ./dev setup";
  }
  static std::string reason(const std::string& name) {
    const auto key = load_private_key(name);
    return key ? "" : key.error().message();
  }
  // Key and certificate of an authority, and of a device whose key is in the token, in files.
  void issue() {
    ca_key_ = *x509::make_key();
    io::SeededRandom random(3);
    auto wanted = x509::authority_template("CA", "Test");
    wanted.not_after_s = 4'000'000'000;
    const auto ca = *x509::make_certificate(random, wanted, ca_key_.get(), nullptr, ca_key_.get());
    const auto key = load_private_key(token_.key_name);
    ASSERT_TRUE(key) << key.error().message();
    // As an operator's tool gets it: by a request that the token has signed.
    const auto request = x509::parse_request(*x509::make_request(key->get(), "press"));
    EVP_PKEY* of = X509_REQ_get0_pubkey(request.get());
    ASSERT_EQ(X509_REQ_verify(request.get(), of), 1);
    auto end = x509::end_template("press", "Test", "clientAuth");
    end.not_after_s = 4'000'000'000;
    const auto certificate = *x509::make_certificate(random, end, of, ca.get(), ca_key_.get());
    std::ofstream(files_.ca_file) << x509::pem_of(ca.get());
    std::ofstream(files_.certificate_file) << x509::pem_of(certificate.get());
    server_key_ = *x509::make_key();
    auto server = x509::end_template("server", "Test", "serverAuth");
    server.not_after_s = 4'000'000'000;
    server.extensions.emplace_back(NID_subject_alt_name, x509::alternative_names({"127.0.0.1"}));
    const auto shown =
        *x509::make_certificate(random, server, server_key_.get(), ca.get(), ca_key_.get());
    std::ofstream(scratch_.path() + "/server.pem") << x509::pem_of(shown.get());
    std::ofstream(scratch_.path() + "/server.key") << x509::pem_of(server_key_.get());
  }

  io::Task<HttpResponse> greet(HttpRequest request) {
    seen_ = request.peer.certificate_cn;
    co_return text_response(200, "hello");
  }

  std::string seen_;  // whom the server knows the client as
  ScratchDirectory scratch_;
  const TestToken& token_ = test_token();
  TlsFiles files_{scratch_.path() + "/ca.pem", scratch_.path() + "/device.pem", token_.key_name,
                  ""};
  openssl::Key ca_key_, server_key_;
};

// First: whoever has logged in once is not asked for the PIN again.
TEST_F(TokenTest, WhatIsMissingIsNamedAndThePinIsNot) {
  const std::string path = "pkcs11:token=dev;object=devkey;type=private";
  const std::string module = "?module-path=/usr/lib/softhsm/libsofthsm2.so";
  EXPECT_NE(reason(path).find("pin-source"), std::string::npos) << reason(path);
  const std::string no_module = reason(path + "?pin-value=1234");
  EXPECT_NE(no_module.find("module-path"), std::string::npos) << no_module;
  EXPECT_NE(reason(path + "?pin-value=1234&module-path=/none.so").find("/none.so"),
            std::string::npos);
  EXPECT_NE(reason(path + module + "&pin-source=file:/none").find("/none"), std::string::npos);
  EXPECT_NE(reason(path + module + "&pin=1").find("unknown part 'pin'"), std::string::npos);
  const std::string wrong_pin = reason(path + module + "&pin-value=98765");
  EXPECT_NE(wrong_pin.find("its PIN right"), std::string::npos) << wrong_pin;
  EXPECT_EQ(wrong_pin.find("98765"), std::string::npos) << wrong_pin;
  const std::string no_key =
      reason("pkcs11:token=dev;object=other;type=private" + module + "&pin-value=1234");
  EXPECT_NE(no_key.find("object=other"), std::string::npos) << no_key;
  EXPECT_EQ(no_key.find("1234"), std::string::npos) << no_key;
  // The module is there by now, and there is room for one.
  EXPECT_NE(reason(path + "?pin-value=1234&module-path=/etc/passwd").find("already"),
            std::string::npos);
  // After all that the right key is there.
  EXPECT_EQ(reason(token_.key_name), "");
}

TEST_F(TokenTest, AKeyInATokenIsTheDevicesIdentityForTls) {
  ASSERT_NO_FATAL_FAILURE(issue());
  io::RealLoop loop;
  HttpServer server(loop, [this](HttpRequest request) { return greet(std::move(request)); });
  const auto server_tls = TlsContext::server(
      {files_.ca_file, scratch_.path() + "/server.pem", scratch_.path() + "/server.key", ""}, true);
  ASSERT_TRUE(server_tls) << server_tls.error().message();
  const auto port = server.listen_tcp("127.0.0.1", 0, *server_tls);
  ASSERT_TRUE(port);
  const auto tls = TlsContext::client(files_);
  ASSERT_TRUE(tls) << tls.error().message();
  const auto client = make_http_client(loop, *tls);
  const auto got =
      run_task(loop, client->fetch("https://127.0.0.1:" + std::to_string(*port) + "/", {}));
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->body, "hello");
  EXPECT_EQ(seen_, "press");
  // A certificate of another key is not taken for its own.
  std::ofstream(files_.certificate_file) << std::ifstream(scratch_.path() + "/server.pem").rdbuf();
  const auto wrong = TlsContext::client(files_);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message(),
            "key file pkcs11:token=dev;object=devkey;type=private does not "
            "belong to the certificate " +
                files_.certificate_file);
}

TEST(PrivateKey, NamesAreCompletedAndShownWithoutSecrets) {
  EXPECT_FALSE(is_in_token("/etc/device.key"));
  EXPECT_EQ(shown_key_name("/etc/device.key"), "/etc/device.key");
  const std::string name = "pkcs11:object=devkey;type=private";
  EXPECT_EQ(
      key_name_with(name, {.module_path = "/m.so", .pin = "1 2", .pin_file = "", .slot = "7"}),
      name + ";slot-id=7?module-path=/m.so&pin-value=1%202");
  EXPECT_EQ(key_name_with(name + "?pin-value=1",
                          {.module_path = "/m.so", .pin = "2", .pin_file = "/pin", .slot = ""}),
            name + "?pin-value=1&module-path=/m.so");
  const std::string with_file =
      key_name_with("pkcs11:token=dev;object=devkey",
                    {.module_path = "/m.so", .pin = "", .pin_file = "/etc/pin", .slot = "7"});
  EXPECT_EQ(with_file, "pkcs11:token=dev;object=devkey?module-path=/m.so&pin-source=file:/etc/pin");
  EXPECT_EQ(pin_file_of(with_file), "/etc/pin");
  EXPECT_EQ(pin_file_of("/etc/device.key"), "");
  EXPECT_EQ(shown_key_name("pkcs11:object=a;pin-value=1234?pin-value=1"), "pkcs11:object=a");
  EXPECT_EQ(shown_key_name("pkcs11:object=a?pin-value=%zz"), "pkcs11:…");
}

TEST(PrivateKey, OfAFileItSaysWhatIsWrongWithIt) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/key";
  EXPECT_NE(load_private_key(path).error().message().find(path), std::string::npos);
  std::ofstream(path) << "no key";
  EXPECT_EQ(load_private_key(path).error().code(), Code::kInvalidArgument);
  const auto key = *x509::make_key();
  std::ofstream(path) << x509::pem_of(key.get());
  const auto read = load_private_key(path);
  ASSERT_TRUE(read);
  EXPECT_EQ(EVP_PKEY_eq(read->get(), key.get()), 1);
}

}  // namespace
}  // namespace skerry::net
