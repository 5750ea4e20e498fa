// X.509, by OpenSSL.
#include "learner/identity.h"

#include <algorithm>

#include "net/x509.h"

namespace skerry::learner {
namespace {

namespace x509 = net::x509;
using federated::secure::Announcement;

constexpr uint64_t kMostPemBytes = 1 << 20;

}  // namespace

struct Identity::Parts {
  std::vector<net::openssl::Certificate> authorities;
  std::string certificate_pem;
  net::openssl::Key key;
};

Identity::Identity(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Identity::Identity(Identity&&) noexcept = default;
Identity& Identity::operator=(Identity&&) noexcept = default;
Identity::~Identity() = default;

Result<Identity> Identity::read(io::Files& files, const std::string& ca_file,
                                const std::string& certificate_file, const std::string& key_file) {
  auto parts = std::make_unique<Parts>();
  SKERRY_ASSIGN(const std::string ca, io::read_file(files, ca_file, kMostPemBytes));
  parts->authorities = x509::parse_certificates(ca);
  if (parts->authorities.empty()) {
    return fail(Code::kInvalidArgument, ca_file + " has no certificate of a CA");
  }
  SKERRY_ASSIGN(const std::string pem, io::read_file(files, certificate_file, kMostPemBytes));
  const auto certificate = x509::parse_certificate(pem);
  if (!certificate) return fail(Code::kInvalidArgument, certificate_file + " has no certificate");
  parts->certificate_pem = x509::pem_of(certificate.get());
  SKERRY_ASSIGN(const std::string key, io::read_file(files, key_file, kMostPemBytes));
  parts->key = x509::parse_key(key);
  if (!parts->key) return fail(Code::kInvalidArgument, key_file + " has no private key in PEM");
  return Identity(std::move(parts));
}

Result<void> Identity::sign(Announcement& keys, const std::string& training, size_t attempt) const {
  keys.certificate = parts_->certificate_pem;
  SKERRY_ASSIGN(keys.signature, x509::sign(parts_->key.get(), federated::secure::signed_text(
                                                                  keys, training, attempt)));
  return {};
}

Result<void> Identity::verify(const Announcement& keys, const std::string& training,
                              size_t attempt) const {
  const auto certificate = x509::parse_certificate(keys.certificate);
  const bool is_ours =
      certificate && std::ranges::any_of(parts_->authorities, [&](const auto& authority) {
        return x509::is_issued_by(certificate.get(), authority.get());
      });
  if (!is_ours) {
    return fail(Code::kPermissionDenied, "secure aggregation: a peer is no device of this fleet");
  }
  if (x509::has_signed(certificate.get(), federated::secure::signed_text(keys, training, attempt),
                       keys.signature)) {
    return {};
  }
  return fail(Code::kPermissionDenied,
              "secure aggregation: a peer has not signed the keys that are said to be its own");
}

}  // namespace skerry::learner
