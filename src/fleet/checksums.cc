// OpenSSL's digests, zlib's CRC-32, our CRC-32C, and CRC-64/NVME here.
#include "fleet/checksums.h"

#include <openssl/evp.h>
#include <zlib.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "io/crc32c.h"

namespace skerry::fleet {
namespace {

struct Name {
  ChecksumKind kind;
  std::string_view name;
  size_t bytes;
};
constexpr Name kNames[] = {
    {ChecksumKind::kCrc32, "CRC32", 4},         {ChecksumKind::kCrc32c, "CRC32C", 4},
    {ChecksumKind::kCrc64Nvme, "CRC64NVME", 8}, {ChecksumKind::kSha1, "SHA1", 20},
    {ChecksumKind::kSha256, "SHA256", 32},      {ChecksumKind::kMd5, "MD5", 16},
};

const Name& entry_of(ChecksumKind kind) {
  return *std::ranges::find(kNames, kind, &Name::kind);
}

// Eight tables, so that eight bytes take one step ("slicing-by-8").
using Crc64Tables = std::array<std::array<uint64_t, 256>, 8>;

consteval Crc64Tables make_crc64_tables() {
  constexpr uint64_t kPolynomial = 0x9a6c9329ac4bc9b5;  // 0xad93d23594c93659, low bit first
  Crc64Tables tables{};
  for (uint64_t byte = 0; byte < 256; ++byte) {
    uint64_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ kPolynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    for (size_t table = 1; table < 8; ++table) {
      const uint64_t before = tables[table - 1][byte];
      tables[table][byte] = before >> 8 ^ tables[0][before & 255];
    }
  }
  return tables;
}
constexpr Crc64Tables kCrc64 = make_crc64_tables();

uint64_t crc64_nvme(uint64_t crc, std::string_view bytes) {
  crc = ~crc;
  while (bytes.size() >= 8) {
    uint64_t next = 0;
    for (int i = 7; i >= 0; --i) next = next << 8 | static_cast<unsigned char>(bytes[i]);
    next ^= crc;
    crc = 0;
    for (int i = 0; i < 8; ++i) crc ^= kCrc64[7 - i][next >> (8 * i) & 255];
    bytes.remove_prefix(8);
  }
  for (char c : bytes) crc = crc >> 8 ^ kCrc64[0][(crc ^ static_cast<unsigned char>(c)) & 255];
  return ~crc;
}

const EVP_MD* digest_of(ChecksumKind kind) {
  switch (kind) {
    case ChecksumKind::kSha1:
      return EVP_sha1();
    case ChecksumKind::kSha256:
      return EVP_sha256();
    case ChecksumKind::kMd5:
      return EVP_md5();
    default:
      return nullptr;
  }
}

}  // namespace

std::optional<ChecksumKind> checksum_kind(std::string_view name) {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  auto found = std::ranges::find(kNames, upper, &Name::name);
  if (found == std::end(kNames) || found->kind == ChecksumKind::kMd5) return std::nullopt;
  return found->kind;
}

std::string_view checksum_name(ChecksumKind kind) {
  return entry_of(kind).name;
}

struct Checksum::Digest {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Digest() = default;
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  ~Digest() { EVP_MD_CTX_free(context); }
};

Checksum::Checksum(ChecksumKind kind) : kind_(kind) {
  const EVP_MD* digest = digest_of(kind);
  if (!digest) return;
  digest_ = std::make_unique<Digest>();
  SKERRY_CHECK(EVP_DigestInit_ex(digest_->context, digest, nullptr) == 1, "OpenSSL has no digest");
}
Checksum::~Checksum() = default;
Checksum::Checksum(Checksum&&) noexcept = default;
Checksum& Checksum::operator=(Checksum&&) noexcept = default;

void Checksum::update(std::string_view bytes) {
  switch (kind_) {
    case ChecksumKind::kCrc32:
      crc_ = ::crc32_z(crc_, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
      return;
    case ChecksumKind::kCrc32c:
      crc_ = io::crc32c(bytes, static_cast<uint32_t>(crc_));
      return;
    case ChecksumKind::kCrc64Nvme:
      crc_ = crc64_nvme(crc_, bytes);
      return;
    default:
      EVP_DigestUpdate(digest_->context, bytes.data(), bytes.size());
  }
}

std::string Checksum::finish() {
  std::string raw(entry_of(kind_).bytes, '\0');
  if (digest_) {
    EVP_DigestFinal_ex(digest_->context, reinterpret_cast<unsigned char*>(raw.data()), nullptr);
    return raw;
  }
  for (size_t i = 0; i < raw.size(); ++i) {
    raw[i] = static_cast<char>(crc_ >> (8 * (raw.size() - 1 - i)));
  }
  return raw;
}

}  // namespace skerry::fleet
