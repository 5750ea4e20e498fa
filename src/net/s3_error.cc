// A tag's text, without an XML parser: it is shown to people and nothing else.
#include "net/s3_error.h"

#include <algorithm>

namespace skerry::net {

std::string said_by_s3(std::string_view xml, std::string_view tag) {
  constexpr size_t kMostCharacters = 200;
  const std::string begin = "<" + std::string(tag) + ">";
  const size_t from = xml.find(begin);
  if (from == std::string_view::npos) return {};
  xml.remove_prefix(from + begin.size());
  std::string text(xml.substr(0, std::min(xml.find('<'), kMostCharacters)));
  std::erase_if(text, [](unsigned char c) { return c < ' ' || c > '~'; });
  return text;
}

}  // namespace skerry::net
