// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace skerry {

bool is_utf8(std::string_view text);
// Characters (code points) of a text that is UTF-8.
size_t utf8_length(std::string_view text);

}  // namespace skerry
