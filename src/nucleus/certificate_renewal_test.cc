// The device's certificate under power cuts, lost answers and damage; when it is due.
#include "nucleus/certificate_renewal.h"

#include <gtest/gtest.h>

#include <map>

#include "io/test_env.h"
#include "net/private_key.h"
#include "net/test_token.h"
#include "net/x509.h"

namespace skerry::nucleus {
namespace {

namespace x509 = net::x509;

constexpr int64_t kDayMs = 86'400'000;
constexpr const char* kCertificate = "/etc/device.pem";
constexpr const char* kKey = "/etc/device.key";

// Issues as the fleet does: the same certificate for the same key.
struct Issuer {
  Issuer() : key(*x509::make_key()) {
    auto wanted = x509::authority_template("CA", "Test");
    wanted.not_after_s = 4'000'000'000;
    ca = *x509::make_certificate(random, wanted, key.get(), nullptr, key.get());
  }
  std::string certificate_of(EVP_PKEY* of, int64_t until_s) {
    auto wanted = x509::end_template("press", "Test", "clientAuth");
    wanted.not_after_s = until_s;
    return x509::pem_of(x509::make_certificate(random, wanted, of, ca.get(), key.get())->get());
  }
  std::string answer(const std::string& request_pem) {
    const auto request = x509::parse_request(request_pem);
    EVP_PKEY* of = X509_REQ_get0_pubkey(request.get());
    EXPECT_EQ(X509_REQ_verify(request.get(), of), 1);
    std::string& issued = by_key[x509::public_pem_of(of)];
    if (issued.empty()) issued = certificate_of(of, expires_s);
    return issued;
  }
  bool is_good(const std::string& certificate_pem) const {
    const auto certificate = x509::parse_certificate(certificate_pem);
    return certificate && X509_verify(certificate.get(), key.get()) == 1;
  }
  io::SeededRandom random{7};
  net::openssl::Key key;
  net::openssl::Certificate ca;
  int64_t expires_s = 3'000'000'000;
  std::map<std::string, std::string> by_key;
};

io::Task<Result<std::string>> answered(Issuer* issuer, std::string request, bool* loses) {
  std::string answer = issuer->answer(request);
  if (*loses) co_return fail(Code::kUnavailable, "lost on its way");
  co_return answer;
}

io::Task<void> keep(CertificateRenewal* renewal, std::optional<Result<void>>* result) {
  result->emplace(co_await renewal->renew());
}

struct Machine : io::TestEnv {
  explicit Machine(Issuer& by) : issuer(by) {
    const auto key = *x509::make_key();
    EXPECT_TRUE(io::make_directories(files, "/etc", 0755));
    EXPECT_TRUE(io::make_directories(files, "/root/state", 0755));
    EXPECT_TRUE(io::write_file_atomic(files, kKey, x509::pem_of(key.get()), 0600));
    EXPECT_TRUE(io::write_file_atomic(files, kCertificate,
                                      issuer.certificate_of(key.get(), 2'000'000'000), 0644));
    EXPECT_TRUE(files.sync_directory("/"));
    EXPECT_TRUE(files.sync_directory("/root"));
  }
  Result<void> renew() {
    CertificateRenewal renewal(env, paths, ThingName("press"), [this](std::string request) {
      return answered(&issuer, std::move(request), &loses);
    });
    std::optional<Result<void>> result;
    io::TaskScope tasks;
    tasks.spawn(keep(&renewal, &result));
    while (!result) loop.run_for(1);
    return *result;
  }
  std::string read(const std::string& path) { return io::read_file(files, path).value_or(""); }
  // What TLS would use: certificate and key.
  std::pair<std::string, std::string> identity() {
    const std::string renewed = read(paths.renewed());
    return renewed.empty() ? std::pair(read(kCertificate), read(kKey))
                           : std::pair(renewed, renewed);
  }
  bool has_good_identity() {
    const auto [certificate, key] = identity();
    const auto shown = x509::parse_certificate(certificate);
    const auto secret = x509::parse_key(key);
    return shown && secret && X509_check_private_key(shown.get(), secret.get()) == 1 &&
           issuer.is_good(certificate);
  }
  Issuer& issuer;
  RenewalFiles paths{kCertificate, kKey, "/root/state"};
  bool loses = false;
};

TEST(CertificateRenewal, ItHasANewKeyAndTheOldOneStays) {
  Issuer issuer;
  Machine machine(issuer);
  const std::string old_key = machine.read(kKey);
  ASSERT_TRUE(machine.renew());
  const std::string first = machine.read(machine.paths.renewed());
  EXPECT_EQ(machine.files.stat(machine.paths.renewed())->mode, 0600u);
  EXPECT_EQ(machine.read(machine.paths.next_key()), "");
  EXPECT_TRUE(machine.has_good_identity());
  EXPECT_EQ(first.find(old_key), std::string::npos);
  EXPECT_EQ(machine.read(kKey), old_key) << "secrets are sealed with it";
  issuer.expires_s += 1'000;
  ASSERT_TRUE(machine.renew());
  EXPECT_NE(machine.read(machine.paths.renewed()), first);
  EXPECT_TRUE(machine.has_good_identity());
  EXPECT_EQ(issuer.by_key.size(), 2u);
}

TEST(CertificateRenewal, AKeyInATokenStaysThereAndGetsANewCertificate) {
  const auto& token = net::test_token();
  ASSERT_NE(token.key_name, "") << "softhsm2-util or pkcs11-tool is missing: ./dev setup";
  const auto key = net::load_private_key(token.key_name);
  ASSERT_TRUE(key) << key.error().message();
  Issuer issuer;
  Machine machine(issuer);
  ASSERT_TRUE(io::write_file_atomic(machine.files, kCertificate,
                                    issuer.certificate_of(key->get(), 2'000'000'000), 0644));
  machine.paths.key_file = token.key_name;
  ASSERT_TRUE(machine.renew());
  const std::string renewed = machine.read(machine.paths.renewed());
  EXPECT_EQ(renewed.find("PRIVATE KEY"), std::string::npos);
  EXPECT_TRUE(issuer.is_good(renewed));
  EXPECT_EQ(machine.read(machine.paths.next_key()), "");
  EXPECT_EQ(X509_check_private_key(x509::parse_certificate(renewed).get(), key->get()), 1);
  EXPECT_FALSE(*tidy_identity(machine.files, machine.paths)) << "it is whole";
  EXPECT_EQ(machine.read(machine.paths.renewed()), renewed);
  // The fleet gives what it has until something newer is to be had.
  EXPECT_FALSE(machine.renew());
  issuer.by_key.clear();
  issuer.expires_s += 1'000;
  ASSERT_TRUE(machine.renew());
  EXPECT_NE(machine.read(machine.paths.renewed()), renewed);
  // One of another key does not take its place.
  const auto other = *x509::make_key();
  ASSERT_TRUE(io::write_file_atomic(machine.files, machine.paths.renewed(),
                                    issuer.certificate_of(other.get(), 3'100'000'000), 0600));
  EXPECT_TRUE(*tidy_identity(machine.files, machine.paths));
  EXPECT_EQ(machine.read(machine.paths.renewed()), "");
}

TEST(CertificateRenewal, ALostAnswerIsAskedForAgainWithTheSameKey) {
  Issuer issuer;
  Machine machine(issuer);
  machine.loses = true;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(machine.renew());
  EXPECT_EQ(machine.read(machine.paths.renewed()), "");
  machine.loses = false;
  ASSERT_TRUE(machine.renew());
  EXPECT_EQ(issuer.by_key.size(), 1u);
}

TEST(CertificateRenewal, APowerCutLeavesTheOldIdentityOrTheNewOne) {
  Issuer issuer;
  bool finished = false;
  for (size_t at = 0; !finished; ++at) {
    Machine machine(issuer);
    ASSERT_TRUE(machine.renew());  // the second one replaces a file and leaves one key behind
    issuer.expires_s += 1'000;
    const size_t before = issuer.by_key.size();
    machine.files.crash_at(machine.files.operations().size() + at);
    finished = machine.renew().has_value();
    machine.files.reboot(at % 2 ? io::CrashPolicy::kSeeded : io::CrashPolicy::kDropUnsynced, at);
    const auto tidied = tidy_identity(machine.files, machine.paths);
    ASSERT_TRUE(tidied) << tidied.error().message();
    EXPECT_FALSE(*tidied) << "damaged by a cut at operation " << at;
    EXPECT_TRUE(machine.has_good_identity()) << "cut at operation " << at;
    if (finished) break;
    issuer.expires_s += 1'000;
    const auto again = machine.renew();
    // One that had been issued for the key before the cut may be good for no longer.
    if (!again) ASSERT_TRUE(machine.renew()) << "cut at operation " << at;
    EXPECT_TRUE(machine.has_good_identity()) << "cut at operation " << at;
    EXPECT_LE(issuer.by_key.size(), before + 2) << "cut at operation " << at;
  }
}

TEST(CertificateRenewal, WhatIsNoCertificateOfTheKeyChangesNothing) {
  Issuer issuer;
  Machine machine(issuer);
  const auto other = *x509::make_key();
  const std::string wrong = issuer.certificate_of(other.get(), 3'000'000'000);
  for (const std::string& answer : {std::string(), std::string("no"), wrong}) {
    for (auto& [key, issued] : issuer.by_key) issued = answer;
    machine.loses = issuer.by_key.empty();  // the first only makes the key
    EXPECT_FALSE(machine.renew());
    EXPECT_EQ(machine.read(machine.paths.renewed()), "");
  }
  EXPECT_TRUE(machine.has_good_identity());
}

TEST(CertificateRenewal, DamageAndANewProvisioningBringBackWhatWasProvisioned) {
  Issuer issuer;
  Machine machine(issuer);
  ASSERT_TRUE(machine.renew());
  const std::string good = machine.read(machine.paths.renewed());
  EXPECT_FALSE(*tidy_identity(machine.files, machine.paths));
  EXPECT_EQ(machine.read(machine.paths.renewed()), good);
  for (size_t size : {size_t{0}, good.size() / 3, good.size() / 2, good.size() - 100}) {
    ASSERT_TRUE(
        io::write_file_atomic(machine.files, machine.paths.renewed(), good.substr(0, size), 0600));
    EXPECT_TRUE(*tidy_identity(machine.files, machine.paths)) << size;
    EXPECT_EQ(machine.read(machine.paths.renewed()), "") << size;
    EXPECT_TRUE(machine.has_good_identity());
  }
  ASSERT_TRUE(io::write_file_atomic(machine.files, machine.paths.renewed(), good, 0600));
  const auto key = *x509::make_key();
  ASSERT_TRUE(io::write_file_atomic(machine.files, kKey, x509::pem_of(key.get()), 0600));
  ASSERT_TRUE(io::write_file_atomic(machine.files, kCertificate,
                                    issuer.certificate_of(key.get(), 2'000'000'000), 0644));
  EXPECT_FALSE(*tidy_identity(machine.files, machine.paths)) << "not damaged: outdated";
  EXPECT_EQ(machine.read(machine.paths.renewed()), "");
}

TEST(CertificateRenewal, AKeyInATokenIsNotReplacedByAFile) {
  Issuer issuer;
  Machine machine(issuer);
  ASSERT_TRUE(io::write_file_atomic(machine.files, kKey,
                                    "-----BEGIN PKCS#11 PROVIDER URI-----\nAAAA\n"
                                    "-----END PKCS#11 PROVIDER URI-----\n",
                                    0600));
  EXPECT_EQ(machine.renew().error().code(), Code::kUnsupported);
  EXPECT_EQ(issuer.by_key.size(), 0u);
}

TEST(CertificateRenewal, IsDueWithAThirdOfTheLifeLeftAndWithinThirtyDays) {
  const auto due = CertificateRenewal::due_in_ms;
  EXPECT_EQ(due(kDayMs, 4 * kDayMs, 2 * kDayMs), kDayMs);
  EXPECT_EQ(due(kDayMs, 4 * kDayMs, 3 * kDayMs), 0);
  EXPECT_EQ(due(kDayMs, 4 * kDayMs, 9 * kDayMs), 0);
  EXPECT_EQ(due(kDayMs, 401 * kDayMs, 370 * kDayMs), kDayMs);
  EXPECT_EQ(due(0, 401 * kDayMs, 370 * kDayMs), kDayMs) << "not known when it was issued";
  EXPECT_EQ(due(0, 20 * kDayMs, kDayMs), 0);
}

}  // namespace
}  // namespace skerry::nucleus
