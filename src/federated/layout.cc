// Ranges of a file.
#include "federated/layout.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace skerry::federated {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little);  // as the files are

Result<Layout> parse_layout(const json& document, uint64_t file_bytes) {
  const auto wrong = [] {
    return fail(Code::kInvalidArgument,
                "the layout is a list of [offset, count] of numbers in the model's file, apart "
                "from each other");
  };
  if (!document.is_array() || document.empty()) return wrong();
  Layout layout;
  for (const json& one : document) {
    if (!one.is_array() || one.size() != 2 || !one[0].is_number_unsigned() ||
        !one[1].is_number_unsigned()) {
      return wrong();
    }
    const Range range{one[0].get<uint64_t>(), one[1].get<uint64_t>()};
    if (range.count == 0 || range.offset > file_bytes ||
        range.count > (file_bytes - range.offset) / sizeof(float)) {
      return wrong();
    }
    layout.push_back(range);
  }
  Layout sorted = layout;
  std::ranges::sort(sorted, {}, &Range::offset);
  for (size_t i = 1; i < sorted.size(); ++i) {
    const Range& before = sorted[i - 1];
    if (before.offset + before.count * sizeof(float) > sorted[i].offset) return wrong();
  }
  return layout;
}

json to_json(const Layout& layout) {
  json document = json::array();
  for (const Range& range : layout) document.push_back({range.offset, range.count});
  return document;
}

size_t size_of(const Layout& layout) {
  size_t size = 0;
  for (const Range& range : layout) size += range.count;
  return size;
}

Vector numbers_of(std::string_view file, const Layout& layout) {
  Vector numbers(size_of(layout));
  size_t at = 0;
  for (const Range& range : layout) {
    SKERRY_CHECK(range.offset + range.count * sizeof(float) <= file.size(),
                 "the layout is of another file");
    std::memcpy(numbers.data() + at, file.data() + range.offset, range.count * sizeof(float));
    at += range.count;
  }
  return numbers;
}

void put_numbers(const Vector& numbers, const Layout& layout, std::string& file) {
  SKERRY_CHECK(numbers.size() == size_of(layout), "the layout is of another model");
  size_t at = 0;
  for (const Range& range : layout) {
    SKERRY_CHECK(range.offset + range.count * sizeof(float) <= file.size(),
                 "the layout is of another file");
    std::memcpy(file.data() + range.offset, numbers.data() + at, range.count * sizeof(float));
    at += range.count;
  }
}

}  // namespace skerry::federated
