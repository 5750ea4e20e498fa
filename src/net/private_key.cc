// PEM by OpenSSL's decoders, tokens by its engine.
#include "net/private_key.h"

#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ui.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "net/http.h"
#include "net/tls_error.h"

namespace skerry::net {
namespace {

constexpr std::string_view kScheme = "pkcs11:";
constexpr size_t kMaxPinBytes = 256;

// Nobody is there to be asked for a password: a program must never wait on a terminal.
int no_password(char*, int, int, void*) {
  return -1;
}

std::vector<std::pair<std::string, std::string>> parts_of(std::string_view text, char separator) {
  std::vector<std::pair<std::string, std::string>> parts;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const size_t equals = std::min(part.find('='), part.size());
    if (!part.empty())
      parts.emplace_back(part.substr(0, equals), part.substr(std::min(equals + 1, part.size())));
  }
  return parts;
}

struct TokenName {
  std::string path;  // "pkcs11:token=dev;object=devkey", without a PIN
  std::string module_path, pin, pin_source;
};

Result<std::string> decoded(const std::string& value) {
  auto text = percent_decode(value);
  if (!text) return fail(text.error().with_context("the key's name"));
  return text;
}

Result<TokenName> parse_token_name(std::string_view name) {
  TokenName parsed;
  parsed.path = kScheme;
  name.remove_prefix(kScheme.size());
  const size_t query = std::min(name.find('?'), name.size());
  for (const auto& [key, value] : parts_of(name.substr(0, query), ';')) {
    // Older programs write the PIN here.
    if (key == "pin-value") {
      SKERRY_ASSIGN(parsed.pin, decoded(value));
      continue;
    }
    if (parsed.path.size() > kScheme.size()) parsed.path += ';';
    parsed.path += key + "=" + value;
  }
  for (const auto& [key, value] : parts_of(name.substr(std::min(query + 1, name.size())), '&')) {
    std::string* member = key == "module-path"  ? &parsed.module_path
                          : key == "pin-value"  ? &parsed.pin
                          : key == "pin-source" ? &parsed.pin_source
                                                : nullptr;
    if (!member) {
      return fail(Code::kInvalidArgument, "the key's name has an unknown part '" + key +
                                              "': known are module-path, pin-source and pin-value");
    }
    SKERRY_ASSIGN(*member, decoded(value));
  }
  return parsed;
}

std::string path_of_source(std::string source) {
  if (source.starts_with("file://")) return source.substr(7);
  if (source.starts_with("file:")) return source.substr(5);
  return source;
}

Result<std::string> pin_of(const TokenName& name) {
  if (!name.pin.empty()) return name.pin;
  if (name.pin_source.empty()) {
    return fail(Code::kInvalidArgument,
                "no PIN of the token is named: add pin-source=file:/PATH to the key's name");
  }
  const std::string path = path_of_source(name.pin_source);
  errno = 0;
  std::ifstream file(path);
  std::string pin;
  if (!file || !std::getline(file, pin)) {
    const int error = errno;
    return fail(error != 0 ? errno_error("read the PIN of the token from", path, error)
                           : Error(Code::kInvalidArgument, path + " holds no PIN"));
  }
  if (pin.size() > kMaxPinBytes) return fail(Code::kInvalidArgument, path + " holds no PIN");
  return pin;
}

// One for the process, as OpenSSL itself has it: the module is initialised once.
struct TokenEngine {
  std::mutex mutex;
  ENGINE* engine = nullptr;  // never released: a module that is unloaded at exit may crash
  std::string module_path;
};

TokenEngine& token_engine() {
  static TokenEngine engine;
  return engine;
}

// OpenSSL 3 deprecates engines, and Debian 12 has nothing else for tokens.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

// Under the lock.
Result<ENGINE*> open_engine(TokenEngine& opened, const std::string& module_path) {
  if (opened.engine && opened.module_path == module_path) return opened.engine;
  if (module_path.empty()) {
    return fail(Code::kInvalidArgument,
                "no PKCS#11 module is named: add module-path=/PATH.so to the key's name, or set "
                "library of aws.greengrass.crypto.Pkcs11Provider");
  }
  if (::access(module_path.c_str(), R_OK) != 0) {
    return fail(errno_error("open the PKCS#11 module", module_path, errno));
  }
  if (opened.engine) {
    return fail(Code::kUnsupported, "this process uses the PKCS#11 module " + opened.module_path +
                                        " already, and has no room for " + module_path);
  }
  ENGINE_load_dynamic();
  ENGINE* engine = ENGINE_by_id("pkcs11");
  if (!engine) {
    ERR_clear_error();
    return fail(Code::kUnsupported,
                "OpenSSL has no engine pkcs11: install it (Debian: libengine-pkcs11-openssl)");
  }
  if (ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", module_path.c_str(), 0) != 1 ||
      ENGINE_init(engine) != 1) {
    ENGINE_free(engine);
    return fail(Code::kUnsupported,
                "the PKCS#11 module " + module_path + ": " + take_openssl_error());
  }
  opened.engine = engine;
  opened.module_path = module_path;
  return engine;
}

Result<openssl::Key> load_from_token(const std::string& name) {
  SKERRY_ASSIGN(const TokenName parsed, parse_token_name(name));
  SKERRY_ASSIGN(const std::string pin, pin_of(parsed));
  TokenEngine& opened = token_engine();
  const std::lock_guard lock(opened.mutex);
  SKERRY_ASSIGN(ENGINE * engine, open_engine(opened, parsed.module_path));
  // Not in the name, which the engine prints where it finds no key.
  ENGINE_ctrl_cmd_string(engine, "PIN", pin.c_str(), 0);
  ERR_clear_error();
  // Nobody to be asked for another PIN.
  auto* nobody =
      const_cast<UI_METHOD*>(UI_null());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  openssl::Key key(ENGINE_load_private_key(engine, parsed.path.c_str(), nobody, nullptr));
  if (key) return key;
  return fail(Code::kFailedPrecondition,
              "the token gives no private key " + parsed.path + " (" + take_openssl_error() +
                  "): is the token there, its PIN right, and the key in it?");
}

#pragma GCC diagnostic pop

}  // namespace

bool is_in_token(std::string_view name) {
  return name.starts_with(kScheme);
}

std::string shown_key_name(std::string_view name) {
  if (!is_in_token(name)) return std::string(name);
  const auto parsed = parse_token_name(name);
  return parsed ? parsed->path : std::string(kScheme) + "…";
}

std::string key_name_with(std::string name, const TokenAccess& access) {
  const auto add = [&name](char first, char next, const std::string& key,
                           const std::string& value) {
    if (value.empty() || name.find(key + "=") != std::string::npos) return;
    const bool is_begun = name.find(first) != std::string::npos;
    name += (is_begun ? next : first) + key + "=" + percent_encode(value, "/:");
  };
  if (!access.slot.empty() && name.find("token=") == std::string::npos &&
      name.find("slot-id=") == std::string::npos) {
    const size_t query = std::min(name.find('?'), name.size());
    name.insert(query, ";slot-id=" + percent_encode(access.slot));
  }
  add('?', '&', "module-path", access.module_path);
  const bool has_pin =
      name.find("pin-value=") != std::string::npos || name.find("pin-source=") != std::string::npos;
  if (!has_pin && !access.pin_file.empty()) add('?', '&', "pin-source", "file:" + access.pin_file);
  if (!has_pin && access.pin_file.empty()) add('?', '&', "pin-value", access.pin);
  return name;
}

std::string pin_file_of(std::string_view name) {
  if (!is_in_token(name)) return "";
  const auto parsed = parse_token_name(name);
  return parsed ? path_of_source(parsed->pin_source) : "";
}

Result<openssl::Key> load_private_key(const std::string& name) {
  if (is_in_token(name)) return load_from_token(name);
  if (name.empty()) return fail(Code::kInvalidArgument, "no key file is named");
  ERR_clear_error();
  errno = 0;
  const openssl::Bio bio(BIO_new_file(name.c_str(), "r"));
  if (!bio) {
    const int error = errno;
    ERR_clear_error();
    return fail(errno_error("open the key file", name, error));
  }
  openssl::Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (key) return key;
  return fail(Code::kInvalidArgument, "key file " + name + ": " + take_openssl_error());
}

}  // namespace skerry::net
