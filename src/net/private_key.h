// Private keys by name: a PEM file, or a key in a token as RFC 7512 names it:
//
//   pkcs11:token=dev;object=devkey;type=private?module-path=/usr/lib/x.so&pin-source=file:/etc/pin
//
// TlsFiles::key_file takes either. A key in a token never leaves it. The way there is OpenSSL's
// engine pkcs11 (Debian: libengine-pkcs11-openssl), which is loaded when the first such key is; a
// process has one module.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "net/openssl.h"

namespace skerry::net {

bool is_in_token(std::string_view name);

// The name without what is secret in it, for people.
std::string shown_key_name(std::string_view name);

// The name with more of its query, each in percent-encoding; what it says already stays.
struct TokenAccess {
  std::string module_path;
  std::string pin;       // either
  std::string pin_file;  // or
  std::string slot;      // "" where the name itself says which token
};
std::string key_name_with(std::string name, const TokenAccess& access);
// The file of `pin-source`, "" where there is none.
std::string pin_file_of(std::string_view name);

// Every failure names what is missing: the file, the engine, the module, the PIN, the key. May take
// milliseconds; of any thread.
Result<openssl::Key> load_private_key(const std::string& name);

}  // namespace skerry::net
