// Ways as text.
#include "compile/way.h"

#include <charconv>

namespace skerry::compile {

std::string Way::text() const {
  std::string text = name;
  for (size_t i = 0; i < sizes.size(); ++i) {
    text.append(i == 0 ? " " : "x").append(std::to_string(sizes[i]));
  }
  return text;
}

std::optional<Way> parse_way(std::string_view text) {
  constexpr size_t kMostSizes = 4;
  constexpr int kLargest = 4096;
  const size_t space = text.find(' ');
  if (space == text.npos) return {};
  Way way{.name = std::string(text.substr(0, space)), .sizes = {}};
  bool is_known = false;
  for (const char* name : {"rows", "taps", "winograd", "sparse", "depthwise"}) {
    is_known = is_known || way.name == name;
  }
  if (!is_known) return {};
  const char* at = text.data() + space + 1;
  const char* const end = text.data() + text.size();
  while (way.sizes.size() < kMostSizes) {
    int size = 0;
    const auto [next, error] = std::from_chars(at, end, size);
    if (error != std::errc() || size < 0 || size > kLargest) return {};
    way.sizes.push_back(size);
    if (next == end) break;
    if (*next != 'x') return {};
    at = next + 1;
  }
  // One spelling only: no leading zeros, nothing behind.
  if (way.text() != text) return {};
  return way;
}

}  // namespace skerry::compile
