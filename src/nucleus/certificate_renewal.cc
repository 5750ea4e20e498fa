// The key is on the disk before anybody signs it, so a request whose answer was lost is repeated
// and answered with the same certificate; then certificate and key replace the identity in one
// piece.
#include "nucleus/certificate_renewal.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "base/sha256.h"
#include "formats/renewal.h"
#include "io/pool.h"
#include "net/private_key.h"
#include "net/x509.h"

namespace skerry::nucleus {
namespace {

namespace x509 = net::x509;

constexpr const char* kRenewalModule = "identity";
constexpr int64_t kMostBeforeMs = int64_t{30} * 86'400'000;
constexpr int64_t kLookEveryMs = 3'600'000;  // a clock may jump
constexpr int64_t kFirstRetryMs = 5'000;
constexpr std::string_view kOf = "# of ", kIssued = "# issued ";

// What follows `word` at the beginning of a line; "" where there is none.
std::string_view after_word(std::string_view text, std::string_view word) {
  const size_t at = text.starts_with(word) ? 0 : text.find("\n" + std::string(word));
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + (at == 0 ? 0 : 1) + word.size());
  return text.substr(0, text.find('\n'));
}

std::string id_of_configured(io::Files& files, const RenewalFiles& paths) {
  return hex_encode(sha256(io::read_file(files, paths.certificate_file).value_or("")));
}

struct IdentityInUse {
  net::openssl::Certificate certificate;
  net::openssl::Key key;
  int64_t issued_ms = 0;  // 0: not known
  bool is_renewed = false;

  int64_t expires_ms() const { return x509::not_after_s(certificate.get()) * 1000; }
};

// Null members where there is none, or it is damaged.
IdentityInUse read_renewed(io::Files& files, const RenewalFiles& paths) {
  IdentityInUse read;
  const auto text = io::read_file(files, paths.renewed(), 1 << 20);
  if (!text) return read;
  read.certificate = x509::parse_certificate(*text);
  read.key = x509::parse_key(*text);
  const std::string_view issued = after_word(*text, kIssued);
  std::from_chars(issued.data(), issued.data() + issued.size(), read.issued_ms);
  if (net::is_in_token(paths.key_file)) {
    // The key is never read here, and stays what it is: the certificates have it in common.
    const auto provisioned =
        x509::parse_certificate(io::read_file(files, paths.certificate_file).value_or(""));
    read.is_renewed = read.certificate && provisioned &&
                      EVP_PKEY_eq(X509_get0_pubkey(read.certificate.get()),
                                  X509_get0_pubkey(provisioned.get())) == 1;
    return read;
  }
  read.is_renewed = read.certificate && read.key &&
                    X509_check_private_key(read.certificate.get(), read.key.get()) == 1;
  return read;
}

Result<IdentityInUse> read_identity_in_use(io::Files& files, const RenewalFiles& paths) {
  IdentityInUse read = read_renewed(files, paths);
  if (read.is_renewed) return read;
  SKERRY_ASSIGN(const std::string certificate, io::read_file(files, paths.certificate_file));
  if (net::is_in_token(paths.key_file)) {
    read = {x509::parse_certificate(certificate), {}, 0, false};
    if (read.certificate) return read;
    return fail(Code::kUnsupported, paths.certificate_file + " is not to be renewed: no PEM");
  }
  SKERRY_ASSIGN(const std::string key, io::read_file(files, paths.key_file));
  // Of a key in a token there is only a name here. A key on the disk must not take its place.
  if (key.find("PRIVATE KEY-----") == std::string::npos) {
    return fail(Code::kUnsupported,
                "the device's key is in a token that only OpenSSL's configuration names: its "
                "certificate is renewed by whoever provisions the device, or by the device where "
                "privateKeyPath is a pkcs11: name");
  }
  read = {x509::parse_certificate(certificate), x509::parse_key(key), 0, false};
  if (!read.certificate || !read.key) {
    return fail(Code::kUnsupported, paths.certificate_file + " is not to be renewed: no PEM");
  }
  return read;
}

// The key of the next identity: on the disk before it is asked for.
Result<net::openssl::Key> next_key(io::Files& files, const RenewalFiles& paths,
                                   const IdentityInUse& current) {
  const std::string of = std::string(kOf) + id_of_configured(files, paths) + "\n";
  if (const auto text = io::read_file(files, paths.next_key(), 1 << 20);
      text && text->starts_with(of)) {
    net::openssl::Key key = x509::parse_key(*text);
    // It is in use where the power went before the file was removed.
    if (key && EVP_PKEY_eq(key.get(), current.key.get()) != 1) return key;
  }
  SKERRY_ASSIGN(net::openssl::Key key, x509::make_key());
  SKERRY_TRY(io::write_file_atomic(files, paths.next_key(), of + x509::pem_of(key.get()), 0600));
  return key;
}

struct PendingRenewal {
  std::string request_pem, key_pem;  // no key where it is in a token
  int64_t expires_ms = 0;            // of the identity in use
  std::string public_pem;            // of the key
};

Result<PendingRenewal> prepare_renewal(io::Files& files, const RenewalFiles& paths,
                                       const std::string& thing) {
  SKERRY_ASSIGN(const IdentityInUse current, read_identity_in_use(files, paths));
  if (net::is_in_token(paths.key_file)) {
    SKERRY_ASSIGN(const net::openssl::Key in_token, net::load_private_key(paths.key_file));
    SKERRY_ASSIGN(std::string request, x509::make_request(in_token.get(), thing));
    return PendingRenewal{std::move(request), "", current.expires_ms(),
                          x509::public_pem_of(in_token.get())};
  }
  SKERRY_ASSIGN(const net::openssl::Key key, next_key(files, paths, current));
  SKERRY_ASSIGN(std::string request, x509::make_request(key.get(), thing));
  return PendingRenewal{std::move(request), x509::pem_of(key.get()), current.expires_ms(),
                        x509::public_pem_of(key.get())};
}

Result<void> switch_identity(io::Files& files, const RenewalFiles& paths,
                             const PendingRenewal& pending, const std::string& certificate_pem,
                             int64_t now_ms) {
  const auto certificate = x509::parse_certificate(certificate_pem);
  if (!certificate ||
      x509::public_pem_of(X509_get0_pubkey(certificate.get())) != pending.public_pem)
    return fail(Code::kCorrupt, "what was issued is no certificate of the device's new key");
  if (x509::not_after_s(certificate.get()) * 1000 <= pending.expires_ms) {
    // Of an earlier request, and too old by now.
    (void)files.remove(paths.next_key());
    return fail(Code::kUnavailable, "what was issued ends no later than what the device has");
  }
  const std::string text = std::string(kOf) + id_of_configured(files, paths) + "\n" +
                           std::string(kIssued) + std::to_string(now_ms) + "\n" +
                           x509::pem_of(certificate.get()) + pending.key_pem;
  SKERRY_TRY(io::write_file_atomic(files, paths.renewed(), text, 0600));
  // From here on it is the device's identity; the other file has no more meaning.
  (void)files.remove(paths.next_key());
  return {};
}

}  // namespace

Result<bool> tidy_identity(io::Files& files, const RenewalFiles& paths) {
  const auto text = io::read_file(files, paths.renewed(), 1 << 20);
  if (!text) return false;
  const bool is_good = read_renewed(files, paths).is_renewed;
  if (is_good && after_word(*text, kOf) == id_of_configured(files, paths)) return false;
  SKERRY_TRY(files.remove(paths.renewed()));
  SKERRY_TRY(files.sync_directory(paths.directory));
  return !is_good;
}

int64_t CertificateRenewal::due_in_ms(int64_t issued_ms, int64_t expires_ms, int64_t now_ms) {
  const int64_t third_ms = issued_ms > 0 ? (expires_ms - issued_ms) / 3 : kMostBeforeMs;
  return std::max<int64_t>(0, expires_ms - std::min(third_ms, kMostBeforeMs) - now_ms);
}

CertificateRenewal::CertificateRenewal(io::Env& env, RenewalFiles paths, ThingName thing, Ask ask)
    : env_(env), paths_(std::move(paths)), thing_(std::move(thing)), ask_(std::move(ask)) {}

void CertificateRenewal::start() {
  tasks_.spawn(run());
}

io::Task<Result<void>> CertificateRenewal::renew() {
  io::Files& files = env_.files;
  SKERRY_CO_ASSIGN(
      const PendingRenewal pending,
      co_await io::run_on(env_.records, env_.loop, [&files, paths = paths_, thing = thing_.str()] {
        return prepare_renewal(files, paths, thing);
      }));
  SKERRY_CO_ASSIGN(const std::string certificate, co_await ask_(pending.request_pem));
  co_return co_await io::run_on(
      env_.records, env_.loop,
      [&files, paths = paths_, pending, certificate, now_ms = env_.clock.wall_ms()] {
        return switch_identity(files, paths, pending, certificate, now_ms);
      });
}

io::Task<void> CertificateRenewal::run() {
  int64_t retry_ms = kFirstRetryMs;
  bool has_renewed = false;
  for (;;) {
    const auto due_ms = co_await io::run_on(
        env_.records, env_.loop,
        [&files = env_.files, paths = paths_, now_ms = env_.clock.wall_ms()]() -> Result<int64_t> {
          SKERRY_ASSIGN(const auto current, read_identity_in_use(files, paths));
          return due_in_ms(current.issued_ms, current.expires_ms(), now_ms);
        });
    if (!due_ms) {
      log::info(kRenewalModule, "the certificate is not renewed",
                {{"reason", due_ms.error().message()}});
      co_return;
    }
    if (*due_ms > 0 || has_renewed) {
      // Due again at once: our clock is wrong, and will be told so.
      const int64_t wait_ms = *due_ms > 0 ? std::min(*due_ms, kLookEveryMs) : kLookEveryMs;
      has_renewed = false;
      co_await io::sleep(env_.loop, wait_ms);
      continue;
    }
    const auto renewed = co_await renew();
    if (renewed) {
      log::info(kRenewalModule, "the device has a new certificate");
      has_renewed = true;
      retry_ms = kFirstRetryMs;
      continue;
    }
    log::warn(kRenewalModule, "the certificate could not be renewed; tried again",
              {{"reason", renewed.error().message()}, {"in_ms", std::to_string(retry_ms)}});
    const auto jitter = static_cast<int64_t>(env_.random.below(static_cast<uint64_t>(retry_ms)));
    co_await io::sleep(env_.loop, retry_ms / 2 + jitter / 2);
    retry_ms = std::min(retry_ms * 2, kLookEveryMs);
  }
}

namespace {

io::Task<Result<std::string>> ask_once(net::HttpClient* client, std::string url,
                                       std::string request_pem) {
  net::HttpRequest request;
  request.method = "POST";
  request.headers.set("Content-Type", "application/json");
  request.body = nlohmann::json{{"certificateSigningRequest", request_pem}}.dump();
  SKERRY_CO_ASSIGN(const auto answer, co_await client->fetch(url, std::move(request)));
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  const char* key = answer.status == 200 ? "certificatePem" : "message";
  const std::string text = body.is_object() && body.contains(key) && body[key].is_string()
                               ? body[key].get<std::string>()
                               : "";
  if (answer.status == 200) co_return text;
  co_return fail(Code::kUnavailable,
                 "the fleet answered HTTP " + std::to_string(answer.status) + ": " + text);
}

}  // namespace

CertificateRenewal::Ask ask_data_plane(net::HttpClient& client, std::string url) {
  return [client = &client, url = std::move(url) + std::string(formats::kRenewalPath)](
             std::string request_pem) { return ask_once(client, url, std::move(request_pem)); };
}

}  // namespace skerry::nucleus
