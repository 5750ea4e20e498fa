// Reading numbers, line by line.
#include "cli/number_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "cli/local_files.h"

namespace skerry::cli {
namespace {

std::string_view take(std::string_view& text, char end) {
  const size_t at = std::min(text.find(end), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kAround = " \t\r\"";
  const size_t from = text.find_first_not_of(kAround);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kAround) - from + 1);
}

std::optional<double> number_of(std::string_view cell) {
  if (cell.empty() || cell == "NA" || cell == "nan" || cell == "NaN") {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (cell == "true" || cell == "false") return cell == "true" ? 1 : 0;
  double number = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), number);
  if (error != std::errc() || end != cell.data() + cell.size()) return std::nullopt;
  return number;
}

}  // namespace

const std::vector<double>* NumberTable::find(const std::string& name) const {
  const auto found = std::ranges::find(names, name);
  return found == names.end() ? nullptr : &columns[static_cast<size_t>(found - names.begin())];
}

Result<const std::vector<double>*> NumberTable::column(const std::string& name) const {
  if (const auto* found = find(name)) return found;
  return fail(Code::kInvalidArgument, "there is no column '" + name + "'");
}

Result<NumberTable> parse_number_table(std::string_view text) {
  NumberTable table;
  std::string_view heading = take(text, '\n');
  while (!heading.empty()) table.names.emplace_back(trimmed(take(heading, ',')));
  table.columns.resize(table.names.size());
  for (size_t line = 2; !text.empty(); ++line) {
    std::string_view row = take(text, '\n');
    if (trimmed(row).empty()) continue;
    for (size_t i = 0; i < table.columns.size(); ++i) {
      const bool is_there = !row.empty() || i + 1 == table.columns.size();
      const std::string_view cell = trimmed(take(row, ','));
      const auto number = number_of(cell);
      if (!is_there || !number) {
        return fail(Code::kInvalidArgument,
                    fmt::format("line {}: '{}' must be a number", line, table.names[i]));
      }
      table.columns[i].push_back(*number);
    }
    if (!row.empty()) {
      return fail(Code::kInvalidArgument, fmt::format("line {} has too many cells", line));
    }
  }
  if (table.rows() == 0) return fail(Code::kInvalidArgument, "the table has no rows");
  return table;
}

Result<NumberTable> read_number_table(const std::string& path) {
  SKERRY_ASSIGN(const std::string text, read_local_file(path));
  auto table = parse_number_table(text);
  if (!table) return fail(table.error().with_context(path));
  return table;
}

}  // namespace skerry::cli
