// Where a model's file has the numbers that are learned, so that whoever has the file and a vector
// has the trained model, without knowing anything of its format.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "federated/update.h"

namespace skerry::federated {

// `count` numbers (float, little-endian) from byte `offset` of the file on.
struct Range {
  uint64_t offset = 0, count = 0;
  bool operator==(const Range&) const = default;
};
using Layout = std::vector<Range>;  // in the order of the vector

// [[offset, count], …]. Untrusted: kInvalidArgument where ranges overlap or leave the file.
Result<Layout> parse_layout(const nlohmann::json& document, uint64_t file_bytes);
nlohmann::json to_json(const Layout& layout);
size_t size_of(const Layout& layout);

// Of a file that the layout was checked for.
Vector numbers_of(std::string_view file, const Layout& layout);
void put_numbers(const Vector& numbers, const Layout& layout, std::string& file);

}  // namespace skerry::federated
