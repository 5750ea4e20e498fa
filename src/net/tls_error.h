// Inside of net: OpenSSL's error queue in words.
#pragma once

#include <string>

#include "base/error.h"

struct ssl_st;
struct x509_store_ctx_st;

namespace skerry::net {

// The last error of this thread's queue as text, without OpenSSL's file and function names; empties
// it.
std::string take_openssl_error();

// OpenSSL's callback for each certificate of a chain: asks the context's CertificateTimes about one
// that is not valid by the machine's clock.
int verify_times(int accepted, x509_store_ctx_st* store);

// Why a certificate was not accepted (X509_V_ERR_…); `host`: the name it had to have.
std::string verification_failure(long result, const std::string& host);
// What the other side says of our certificate by a TLS alert, or null where the alert is about
// other things.
const char* certificate_alert(int alert);

// Why a handshake, a read or a write on `ssl` failed, as SSL_get_error's `status` and the queue
// tell it. `peer`: whom to name. `host`: the name that the certificate had to have ("" on a
// server). kPermissionDenied: one side refused the other's certificate. kUnavailable: the
// connection broke.
Error tls_error(ssl_st* ssl, int status, const std::string& peer, const std::string& host);

}  // namespace skerry::net
