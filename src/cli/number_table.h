// A table of numbers from a CSV file: a line of names, then numbers; empty cells, "nan" and "NA"
// are NaN.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace skerry::cli {

struct NumberTable {
  std::vector<std::string> names;
  std::vector<std::vector<double>> columns;

  size_t rows() const { return columns.empty() ? 0 : columns.front().size(); }
  const std::vector<double>* find(const std::string& name) const;  // null where there is none
  Result<const std::vector<double>*> column(const std::string& name) const;
};

Result<NumberTable> read_number_table(const std::string& path);
Result<NumberTable> parse_number_table(std::string_view text);

}  // namespace skerry::cli
