// Base64 (RFC 4648 section 4, with padding) and lower-case hexadecimal.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

std::string base64_encode(std::string_view bytes);
// kInvalidArgument on a character outside the alphabet or bad padding; missing padding is accepted.
Result<std::string> base64_decode(std::string_view text);

std::string hex_encode(std::string_view bytes);
// Either case. kInvalidArgument on another character or an odd number of them.
Result<std::string> hex_decode(std::string_view text);

}  // namespace skerry
