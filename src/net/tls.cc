// SSL_CTX from files, with errors that name the file.
#include "net/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

#include "net/openssl.h"
#include "net/private_key.h"
#include "net/tls_error.h"

namespace skerry::net {
namespace {

using openssl::Bio;
using openssl::Certificate;
using openssl::Context;
using openssl::Key;

Result<Bio> open_file(const std::string& what, const std::string& path) {
  if (path.empty()) return fail(Code::kInvalidArgument, "no " + what + " is named");
  ERR_clear_error();
  errno = 0;
  Bio bio(BIO_new_file(path.c_str(), "r"));
  if (!bio) {
    int error = errno;
    ERR_clear_error();
    return fail(errno_error("open the " + what, path, error));
  }
  return bio;
}

Error bad_file(const std::string& what, const std::string& path) {
  return Error(Code::kInvalidArgument, what + " " + path + ": " + take_openssl_error());
}

// An encrypted key has no one to ask for its password here: a program must never wait on a
// terminal.
int no_password(char*, int, int, void*) {
  return -1;
}

Result<void> load_trust(SSL_CTX* context, const std::string& path) {
  SKERRY_ASSIGN(Bio bio, open_file("CA file", path));
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  int count = 0;
  while (Certificate certificate{PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)}) {
    if (X509_STORE_add_cert(store, certificate.get()) != 1) return fail(bad_file("CA file", path));
    // What a server asks its clients for.
    SSL_CTX_add_client_CA(context, certificate.get());
    ++count;
  }
  // The loop ends in an error: that there is no further certificate, or what is wrong with it.
  bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (count == 0 && at_end) {
    ERR_clear_error();
    return fail(Code::kInvalidArgument, "CA file " + path + ": holds no PEM certificate");
  }
  if (!at_end) return fail(bad_file("CA file", path));
  ERR_clear_error();
  return {};
}

Result<void> load_certificate(SSL_CTX* context, const std::string& path) {
  SKERRY_ASSIGN(Bio bio, open_file("certificate file", path));
  Certificate leaf(PEM_read_bio_X509_AUX(bio.get(), nullptr, no_password, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return fail(bad_file("certificate file", path));
  }
  while (Certificate issuer{PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)}) {
    if (SSL_CTX_add1_chain_cert(context, issuer.get()) != 1) {
      return fail(bad_file("certificate file", path));
    }
  }
  ERR_clear_error();
  return {};
}

// PEM may also hold a reference to a key in a token: OpenSSL's decoders resolve it through the
// providers that its configuration names.
Result<void> load_key(SSL_CTX* context, const TlsFiles& files) {
  SKERRY_ASSIGN(const Key key, load_private_key(files.key_file));
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return fail(Code::kInvalidArgument, "key file " + shown_key_name(files.key_file) +
                                            " does not belong to the certificate " +
                                            files.certificate_file);
  }
  return {};
}

Result<Context> make_context(const TlsFiles& files, const SSL_METHOD* method) {
  Context context(SSL_CTX_new(method));
  if (!context) return fail(Code::kInternal, "TLS cannot start: " + take_openssl_error());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_read_ahead(context.get(), 1);  // one system call a record instead of two
  // Sessions would outlive the revocation of their certificate.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
  if (!files.ca_file.empty()) SKERRY_TRY(load_trust(context.get(), files.ca_file));
  if (!files.certificate_file.empty()) {
    SKERRY_TRY(load_certificate(context.get(), files.certificate_file));
    SKERRY_TRY(load_key(context.get(), files));
  }
  return context;
}

}  // namespace

// The file is another one where any of these differs.
struct TlsContext::Renewal {
  std::string path;
  bool is_in_token = false;  // the key stays, and is not in the file
  ino_t number = 0;
  timespec changed{};

  static int before_handshake(SSL* ssl, void* self) {
    static_cast<Renewal*>(self)->look(ssl);
    return 1;
  }
  // What is damaged is passed over: the identity that was good before may still be.
  void look(SSL* ssl) {
    struct stat now{};
    if (::stat(path.c_str(), &now) != 0) return;
    if (now.st_ino == number && now.st_ctim.tv_sec == changed.tv_sec &&
        now.st_ctim.tv_nsec == changed.tv_nsec)
      return;
    const Bio bio(BIO_new_file(path.c_str(), "r"));
    const Certificate certificate(bio ? PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)
                                      : nullptr);
    Key key(bio && BIO_reset(bio.get()) == 0
                ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr)
                : nullptr);
    if (EVP_PKEY* in_use =
            key || !is_in_token ? nullptr : SSL_CTX_get0_privatekey(SSL_get_SSL_CTX(ssl));
        in_use && EVP_PKEY_up_ref(in_use) == 1) {
      key.reset(in_use);
    }
    const bool fits =
        certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
    if (fits &&
        SSL_CTX_use_cert_and_key(SSL_get_SSL_CTX(ssl), certificate.get(), key.get(), nullptr, 1) ==
            1 &&
        SSL_use_cert_and_key(ssl, certificate.get(), key.get(), nullptr, 1) == 1) {
      number = now.st_ino;
      changed = now.st_ctim;
    }
    ERR_clear_error();
  }
};

TlsContext::TlsContext(ssl_ctx_st* context, bool is_server)
    : context_(context), is_server_(is_server) {}

// Where in a context its CertificateTimes stand.
static int times_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

static int64_t seconds_of(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : INT64_MIN;
}

Result<std::shared_ptr<TlsContext>> TlsContext::client(
    const TlsFiles& files, std::shared_ptr<const CertificateTimes> times) {
  if (files.ca_file.empty()) {
    return fail(Code::kInvalidArgument,
                "TLS needs a CA file: without one no server can be trusted");
  }
  SKERRY_ASSIGN(Context context, make_context(files, TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, verify_times);
  SSL_CTX_set_ex_data(context.get(), times_index(), const_cast<CertificateTimes*>(times.get()));
  std::shared_ptr<TlsContext> made(new TlsContext(context.release(), false));
  made->times_ = std::move(times);
  if (!files.renewed_file.empty()) {
    made->renewal_ = std::make_unique<Renewal>();
    made->renewal_->path = files.renewed_file;
    made->renewal_->is_in_token = is_in_token(files.key_file);
    SSL_CTX_set_cert_cb(made->context_, Renewal::before_handshake, made->renewal_.get());
  }
  return made;
}

Result<std::shared_ptr<TlsContext>> TlsContext::server(
    const TlsFiles& files, bool require_client_certificate,
    std::shared_ptr<const CertificateTimes> times) {
  if (files.certificate_file.empty()) {
    return fail(Code::kInvalidArgument, "a TLS server needs a certificate file and a key file");
  }
  if (require_client_certificate && files.ca_file.empty()) {
    return fail(Code::kInvalidArgument,
                "a TLS server that requires client certificates needs a CA file");
  }
  SKERRY_ASSIGN(Context context, make_context(files, TLS_server_method()));
  if (require_client_certificate) {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       verify_times);
  }
  SSL_CTX_set_ex_data(context.get(), times_index(), const_cast<CertificateTimes*>(times.get()));
  std::shared_ptr<TlsContext> made(new TlsContext(context.release(), true));
  made->times_ = std::move(times);
  return made;
}

int verify_times(int accepted, X509_STORE_CTX* store) {
  const int error = X509_STORE_CTX_get_error(store);
  if (accepted == 1 ||
      (error != X509_V_ERR_CERT_NOT_YET_VALID && error != X509_V_ERR_CERT_HAS_EXPIRED)) {
    return accepted;
  }
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const auto* times = static_cast<const CertificateTimes*>(
      SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), times_index()));
  const X509* certificate = X509_STORE_CTX_get_current_cert(store);
  if (!times || !certificate ||
      !times->may_be_valid(seconds_of(X509_get0_notBefore(certificate)),
                           seconds_of(X509_get0_notAfter(certificate)))) {
    return 0;
  }
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

}  // namespace skerry::net
