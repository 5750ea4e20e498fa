// Owners of OpenSSL's objects: fields are its own, only the end is ours. For .cc files.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <string>

#include "base/owned.h"

namespace skerry::net::openssl {

using Bio = Owned<BIO, BIO_free_all>;
using Certificate = Owned<X509, X509_free>;
using Context = Owned<SSL_CTX, SSL_CTX_free>;
using Digest = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using Extension = Owned<X509_EXTENSION, X509_EXTENSION_free>;
using Key = Owned<EVP_PKEY, EVP_PKEY_free>;
using Name = Owned<X509_NAME, X509_NAME_free>;
using Number = Owned<BIGNUM, BN_free>;
using Request = Owned<X509_REQ, X509_REQ_free>;
using Ssl = Owned<SSL, SSL_free>;
using Time = Owned<ASN1_TIME, ASN1_TIME_free>;

// What was written to a BIO of BIO_s_mem().
inline std::string text_of(const Bio& memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

}  // namespace skerry::net::openssl
