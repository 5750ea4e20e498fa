// OpenSSL's callbacks on the context that libmosquitto uses: host check, server name, reasons.
#include "net/mqtt_tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/tls_error.h"

namespace skerry::net {
namespace {

MqttTls* owner_of(const SSL* ssl) {
  return static_cast<MqttTls*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
}

int on_verify(int accepted, X509_STORE_CTX* store) {
  if (verify_times(accepted, store) == 1) return 1;
  void* ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  owner_of(static_cast<SSL*>(ssl))->server_refused(X509_STORE_CTX_get_error(store));
  return 0;
}

void on_info(const SSL* ssl, int where, int value) {
  if (where & SSL_CB_HANDSHAKE_START) {
    owner_of(ssl)->begins(const_cast<SSL*>(ssl));
  } else if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) {
    owner_of(ssl)->we_are_refused(value & 0xff);
  }
}

}  // namespace

Result<std::unique_ptr<MqttTls>> MqttTls::make(const TlsFiles& files, const std::string& host,
                                               std::shared_ptr<const CertificateTimes> times) {
  SKERRY_ASSIGN(auto context, TlsContext::client(files, std::move(times)));
  std::unique_ptr<MqttTls> tls(new MqttTls(std::move(context), host));
  unsigned char address[sizeof(in6_addr)];
  bool numeric = inet_pton(AF_INET, host.c_str(), address) == 1 ||
                 inet_pton(AF_INET6, host.c_str(), address) == 1;
  X509_VERIFY_PARAM* parameters = SSL_CTX_get0_param(tls->native());
  X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  bool set = numeric ? X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1
                     : !host.empty() &&
                           X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), host.size()) == 1;
  if (!set) return fail(Code::kInvalidArgument, "not a host name or address: '" + host + "'");
  if (!numeric) tls->server_name_ = host;
  SSL_CTX_set_verify(tls->native(), SSL_VERIFY_PEER, on_verify);
  // The library asks SSL_pending() whether to read on, which does not count what is read ahead.
  SSL_CTX_set_read_ahead(tls->native(), 0);
  SSL_CTX_set_app_data(tls->native(), tls.get());
  SSL_CTX_set_info_callback(tls->native(), on_info);
  return tls;
}

MqttTls::MqttTls(std::shared_ptr<TlsContext> context, std::string host)
    : context_(std::move(context)), host_(std::move(host)), ssl_(nullptr, SSL_free) {}

void MqttTls::begins(SSL* ssl) {
  if (ssl == ssl_.get()) return;
  SSL_up_ref(ssl);
  ssl_.reset(ssl);
  fd_ = Fd(::fcntl(SSL_get_fd(ssl), F_DUPFD_CLOEXEC, 0));
  // libmosquitto connects to an address that is already resolved and sends that as the server's
  // name.
  // Not SSL_set_tlsext_host_name: the macro's cast is one that GCC warns of.
  void* name = server_name_.empty() ? nullptr : server_name_.data();
  SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name);
}

std::optional<Error> MqttTls::take_failure() {
  char byte;
  if (!failure_ && ssl_ && fd_ && SSL_is_init_finished(ssl_.get()) &&
      SSL_set_fd(ssl_.get(), fd_.get()) == 1) {
    SSL_read(ssl_.get(), &byte, 1);
    ERR_clear_error();
  }
  ssl_.reset();
  fd_ = Fd();
  return std::exchange(failure_, std::nullopt);
}

void MqttTls::server_refused(long verify_result) {
  failure_ = Error(Code::kPermissionDenied, "the certificate of " + host_ + " is refused: " +
                                                verification_failure(verify_result, host_));
}

void MqttTls::we_are_refused(int alert) {
  if (const char* why = certificate_alert(alert)) {
    failure_ = Error(Code::kPermissionDenied, host_ + " refuses our certificate: " + why);
  }
}

}  // namespace skerry::net
