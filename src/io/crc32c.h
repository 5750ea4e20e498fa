// CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of stored records. It finds every error
// of up to three bits in a record of our sizes and every burst of up to 32 bits; it is no defence
// against intent.
#pragma once

#include <cstdint>
#include <string_view>

namespace skerry::io {

// Of the bytes that gave `before`, followed by `bytes`.
uint32_t crc32c(std::string_view bytes, uint32_t before = 0);

}  // namespace skerry::io
