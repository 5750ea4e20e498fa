// The authority is one file, authority.pem: its certificate, then its key. So it is there as a
// whole or not at all, whenever the power goes.
#include "nucleus/server_certificates.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <openssl/obj_mac.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "net/x509.h"

namespace skerry::nucleus {
namespace {

namespace x509 = net::x509;

constexpr int64_t kAuthorityLifeS = int64_t{30} * 365 * 86'400;
constexpr int64_t kFloorS = 1'704'067'200;  // 2024-01-01: no clock that is right shows less
constexpr std::string_view kOrganization = "Skerry device";

struct Authority {
  net::openssl::Certificate certificate;
  net::openssl::Key key;
};

Result<Authority> make_authority(io::Files& files, io::Random& random, const std::string& path,
                                 int64_t now_s) {
  Authority made;
  SKERRY_ASSIGN(made.key, x509::make_key());
  x509::Template wanted = x509::authority_template("Client devices' CA", kOrganization);
  wanted.not_before_s = kFloorS;
  wanted.not_after_s = now_s + kAuthorityLifeS;
  SKERRY_ASSIGN(made.certificate,
                x509::make_certificate(random, wanted, made.key.get(), nullptr, made.key.get()));
  SKERRY_TRY(io::make_directories(files, io::parent_of(path), 0755));
  SKERRY_TRY(io::write_file_atomic(
      files, path, x509::pem_of(made.certificate.get()) + x509::pem_of(made.key.get()), 0600));
  return made;
}

Result<Authority> open_authority(io::Files& files, io::Random& random, const std::string& path,
                                 int64_t now_s) {
  if (!io::exists(files, path)) return make_authority(files, random, path, now_s);
  SKERRY_ASSIGN(const std::string text, io::read_file(files, path));
  Authority read{x509::parse_certificate(text), x509::parse_key(text)};
  if (!read.certificate || !read.key ||
      X509_check_private_key(read.certificate.get(), read.key.get()) != 1) {
    return fail(Code::kCorrupt,
                path +
                    " is damaged: restore it, or remove it and give client devices the new "
                    "ca.pem beside it");
  }
  return read;
}

bool is_host_name(const std::string& name) {
  return !name.empty() && name.size() <= 253 && name.front() != '-' && name.front() != '.' &&
         std::ranges::all_of(name, [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
         });
}

}  // namespace

Result<ServerCertificate> ServerCertificates::issue(const std::vector<std::string>& names,
                                                    int64_t valid_s, int64_t now_ms) {
  for (const std::string& name : names) {
    if (!x509::is_address(name) && !is_host_name(name))
      return fail(Code::kInvalidArgument, "'" + name + "' is no host's name and no address");
  }
  const int64_t now_s = std::max(now_ms / 1000, kFloorS);
  SKERRY_ASSIGN(const Authority authority,
                open_authority(files_, random_, directory_ + "/authority.pem", now_s));
  ServerCertificate made;
  made.names = names;
  made.issued_ms = now_ms;
  made.expires_ms = (now_s + valid_s) * 1000;
  made.ca_pem = x509::pem_of(authority.certificate.get());
  const std::string shown = directory_ + "/ca.pem";
  if (io::read_file(files_, shown).value_or("") != made.ca_pem)
    SKERRY_TRY(io::write_file_atomic(files_, shown, made.ca_pem, 0644));
  SKERRY_ASSIGN(const auto key, x509::make_key());
  x509::Template wanted = x509::end_template("", kOrganization, "serverAuth");
  wanted.not_before_s = kFloorS;  // the clocks of client devices may be behind
  wanted.not_after_s = now_s + valid_s;
  wanted.extensions.emplace_back(NID_subject_alt_name, x509::alternative_names(names));
  SKERRY_ASSIGN(const auto certificate,
                x509::make_certificate(random_, wanted, key.get(), authority.certificate.get(),
                                       authority.key.get()));
  made.key_pem = x509::pem_of(key.get());
  made.public_key_pem = x509::public_pem_of(key.get());
  made.certificate_pem = x509::pem_of(certificate.get());
  return made;
}

std::vector<std::string> names_of_machine() {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  const auto add = [&](std::string name) {
    const bool is_one = is_host_name(name) || x509::is_address(name);
    if (is_one && std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  };
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) == 0) add(host);
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return names;
  for (const ifaddrs* one = all; one; one = one->ifa_next) {
    if (!one->ifa_addr || !(one->ifa_flags & IFF_UP)) continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (one->ifa_addr->sa_family == AF_INET) {
      const auto* address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
      ::inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size());
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      const auto* address = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
      if (IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr)) continue;
      ::inet_ntop(AF_INET6, &address->sin6_addr, text.data(), text.size());
    }
    add(text.data());
  }
  ::freeifaddrs(all);
  std::sort(names.begin() + 3, names.end());
  return names;
}

}  // namespace skerry::nucleus
