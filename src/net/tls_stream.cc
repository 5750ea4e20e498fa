// TLS over a non-blocking socket: OpenSSL says what it waits for, the socket's readiness is
// awaited.
#include "net/tls_stream.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/encoding.h"
#include "net/openssl.h"
#include "net/tls_error.h"

namespace skerry::net {
namespace {

constexpr size_t kRecordBytes = 16 << 10;

// OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE on a closed connection.
int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  auto* socket = static_cast<Socket*>(BIO_get_data(bio));
  ssize_t count = ::send(socket->fd(), data, static_cast<size_t>(size), MSG_NOSIGNAL);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(count);
}

int bio_read(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  auto* socket = static_cast<Socket*>(BIO_get_data(bio));
  ssize_t count = ::recv(socket->fd(), data, static_cast<size_t>(size), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (count == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(count);
}

long bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* socket_bio() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "skerry socket");
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

using openssl::Ssl;

class TlsStream : public Stream {
 public:
  TlsStream(std::unique_ptr<Socket> socket, std::shared_ptr<TlsContext> context, std::string host,
            std::string address, std::string source)
      : context_(std::move(context)), host_(std::move(host)), socket_(std::move(socket)) {
    peer_.address = std::move(address);
    peer_.source = std::move(source);
  }
  ~TlsStream() override { shutdown_write(); }

  Result<void> prepare() {
    ssl_.reset(SSL_new(context_->native()));
    BIO* bio = ssl_ ? BIO_new(socket_bio()) : nullptr;
    if (!bio) return fail(Code::kResourceExhausted, "TLS: " + take_openssl_error());
    BIO_set_data(bio, socket_.get());
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
    if (context_->is_server()) {
      SSL_set_accept_state(ssl_.get());
      return {};
    }
    SSL_set_connect_state(ssl_.get());
    return expect_host();
  }

  io::Task<Result<void>> handshake() {
    for (;;) {
      ERR_clear_error();
      errno = 0;
      int result = SSL_do_handshake(ssl_.get());
      if (result == 1) break;
      int status = SSL_get_error(ssl_.get(), result);
      if (status == SSL_ERROR_WANT_READ) {
        co_await socket_->readable();
      } else if (status == SSL_ERROR_WANT_WRITE) {
        co_await socket_->writable();
      } else {
        co_return fail(tls_error(ssl_.get(), status, peer_.address, host_));
      }
    }
    established_ = true;
    if (context_->is_server()) read_peer_certificate();
    co_return {};
  }

  io::Task<Result<size_t>> read_some(char* data, size_t size) override {
    for (;;) {
      ERR_clear_error();
      errno = 0;
      size_t count = 0;
      int result = SSL_read_ex(ssl_.get(), data, size, &count);
      if (result == 1) {
        bytes_moved_ += count;
        co_return count;
      }
      int status = SSL_get_error(ssl_.get(), result);
      if (status == SSL_ERROR_ZERO_RETURN) co_return size_t{0};
      if (status != SSL_ERROR_WANT_READ) co_return fail(broken(status));
      co_await socket_->readable();
    }
  }

  io::Task<Result<void>> write_all(std::string_view bytes) override {
    while (!bytes.empty()) {
      ERR_clear_error();
      errno = 0;
      size_t count = 0;
      int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &count);
      if (result == 1) {
        bytes_moved_ += count;
        bytes.remove_prefix(count);
        continue;
      }
      int status = SSL_get_error(ssl_.get(), result);
      // Without renegotiation a write never waits to read.
      if (status != SSL_ERROR_WANT_WRITE) co_return fail(broken(status));
      co_await socket_->writable();
    }
    co_return {};
  }

  io::Task<Result<void>> write_both(std::string_view first, std::string_view second) override {
    // What fits into one record travels in one.
    if (first.size() + second.size() <= kRecordBytes) {
      std::string record;
      record.reserve(first.size() + second.size());
      record.append(first).append(second);
      co_return co_await write_all(record);
    }
    SKERRY_CO_TRY(co_await write_all(first));
    co_return co_await write_all(second);
  }

  void shutdown_write() override {
    if (!established_ || std::exchange(shut_down_, true)) return;
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }

  void abort() override { socket_->abort(); }

  bool is_stale() override {
    char byte;
    size_t count = 0;
    ERR_clear_error();
    int result = SSL_peek_ex(ssl_.get(), &byte, 1, &count);
    return result == 1 || SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ;
  }

  bool is_closed_by_peer() const override { return socket_->is_closed_by_peer(); }
  uint64_t bytes_moved() const override { return bytes_moved_; }
  const Peer& peer() const override { return peer_; }

 private:
  // The certificate must be for `host_`; names (not addresses) are also told to the server.
  Result<void> expect_host() {
    unsigned char address[sizeof(in6_addr)];
    bool numeric = inet_pton(AF_INET, host_.c_str(), address) == 1 ||
                   inet_pton(AF_INET6, host_.c_str(), address) == 1;
    X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl_.get());
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool set = numeric ? X509_VERIFY_PARAM_set1_ip_asc(parameters, host_.c_str()) == 1
                       : !host_.empty() &&
                             X509_VERIFY_PARAM_set1_host(parameters, host_.c_str(), 0) == 1 &&
                             SSL_set_tlsext_host_name(ssl_.get(), host_.c_str()) == 1;
    if (set) return {};
    ERR_clear_error();
    return fail(Code::kInvalidArgument, "TLS: not a host name or address: '" + host_ + "'");
  }

  void read_peer_certificate() {
    const X509* certificate = SSL_get0_peer_certificate(ssl_.get());
    if (!certificate) return;
    const X509_NAME* subject = X509_get_subject_name(certificate);
    int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (index >= 0) {
      unsigned char* text = nullptr;
      int size =
          ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
      if (size >= 0) peer_.certificate_cn.assign(reinterpret_cast<char*>(text), size);
      OPENSSL_free(text);
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return;
    peer_.certificate_sha256 =
        hex_encode(std::string_view(reinterpret_cast<const char*>(digest), size));
  }

  // A fatal error ends the session: close_notify must not be sent any more.
  Error broken(int status) {
    established_ = false;
    return tls_error(ssl_.get(), status, peer_.address, host_);
  }

  std::shared_ptr<TlsContext> context_;
  std::string host_;
  std::unique_ptr<Socket> socket_;
  Ssl ssl_;
  Peer peer_;
  uint64_t bytes_moved_ = 0;
  bool established_ = false;
  bool shut_down_ = false;
};

}  // namespace

io::Task<Result<std::unique_ptr<Stream>>> tls_handshake(std::unique_ptr<Socket> socket,
                                                        std::shared_ptr<TlsContext> context,
                                                        std::string host, std::string address,
                                                        std::string source) {
  auto stream = std::make_unique<TlsStream>(std::move(socket), std::move(context), std::move(host),
                                            std::move(address), std::move(source));
  SKERRY_CO_TRY(stream->prepare());
  SKERRY_CO_TRY(co_await stream->handshake());
  co_return stream;
}

}  // namespace skerry::net
