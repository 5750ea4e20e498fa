// OpenSSL's error queue in words: who refused whom, and what to look at.
#include "net/tls_error.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <cerrno>
#include <cstring>

namespace skerry::net {

std::string take_openssl_error() {
  unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  const char* reason = ERR_reason_error_string(code);
  return reason ? reason : "OpenSSL error " + std::to_string(code);
}

const char* certificate_alert(int alert) {
  switch (alert) {
    case TLS13_AD_CERTIFICATE_REQUIRED:
      return "it wants a certificate and was shown none";
    case SSL_AD_UNKNOWN_CA:
      return "it does not trust the CA that issued it";
    case SSL_AD_CERTIFICATE_EXPIRED:
      return "it has expired";
    case SSL_AD_CERTIFICATE_REVOKED:
      return "it is revoked";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
      return "it cannot use it";
    case SSL_AD_ACCESS_DENIED:
      return "it may not connect";
    default:
      return nullptr;
  }
}

std::string verification_failure(long result, const std::string& host) {
  std::string text = X509_verify_cert_error_string(result);
  switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return text + " (it does not name " + host + ")";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
      return text + " (the CA file does not hold its issuer)";
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return text + " (by this machine's clock)";
    default:
      return text;
  }
}

Error tls_error(ssl_st* ssl, int status, const std::string& peer, const std::string& host) {
  int system_error = errno;
  unsigned long code = ERR_peek_last_error();
  long verified = SSL_get_verify_result(ssl);
  if (status == SSL_ERROR_SSL && ERR_GET_LIB(code) == ERR_LIB_SSL) {
    int reason = ERR_GET_REASON(code);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
      ERR_clear_error();
      return Error(Code::kPermissionDenied, "TLS with " + peer + ": its certificate is refused: " +
                                                verification_failure(verified, host));
    }
    if (const char* why = certificate_alert(reason - SSL_AD_REASON_OFFSET)) {
      ERR_clear_error();
      return Error(Code::kPermissionDenied,
                   "TLS with " + peer + ": it refuses our certificate: " + why);
    }
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
      ERR_clear_error();
      return Error(Code::kPermissionDenied, "TLS with " + peer + ": it has shown no certificate");
    }
    if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      ERR_clear_error();
      return Error(Code::kUnavailable, "TLS with " + peer + ": the connection was closed");
    }
  }
  if (status == SSL_ERROR_SYSCALL && code == 0) {
    return Error(Code::kUnavailable, "TLS with " + peer + ": " +
                                         (system_error != 0 ? std::strerror(system_error)
                                                            : "the connection was closed"));
  }
  return Error(Code::kUnavailable, "TLS with " + peer + ": " + take_openssl_error());
}

}  // namespace skerry::net
