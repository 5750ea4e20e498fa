// Printing for people and for programs.
#include "cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace skerry::cli {
namespace {

constexpr const char* kBold = "\033[1m";
constexpr const char* kReset = "\033[0m";
constexpr const char* kEraseLine = "\r\033[K";

const char* color_of(std::string_view state) {
  for (const char* good : {"RUNNING", "FINISHED", "HEALTHY", "SUCCEEDED", "COMPLETED"}) {
    if (state == good) return "\033[32m";
  }
  for (const char* bad :
       {"BROKEN", "ERRORED", "UNHEALTHY", "FAILED", "REJECTED", "TIMED_OUT", "UNREACHABLE"}) {
    if (state == bad) return "\033[31m";
  }
  for (const char* open : {"QUEUED", "IN_PROGRESS", "STARTING", "NEVER_SEEN"}) {
    if (state == open) return "\033[33m";
  }
  return nullptr;
}

// Characters on the screen: UTF-8 continuation bytes take no place.
size_t width(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

// What devices and other people write is shown and never obeyed: no escape sequence of it reaches
// a terminal. Characters that control, the C1 set in UTF-8 as well, become '?', but for `kept`.
std::string printable(std::string_view text, std::string_view kept) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool is_c1 =
        c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    const bool controls = (c < 0x20 && !kept.contains(text[i])) || c == 0x7F || is_c1;
    out += controls ? '?' : text[i];
    if (is_c1) ++i;
  }
  return out;
}

// Of a line on a screen with so many columns.
std::string cut(std::string_view line, size_t columns) {
  size_t at = 0;
  for (size_t shown = 0; at < line.size(); ++at) {
    if ((static_cast<unsigned char>(line[at]) & 0xC0) == 0x80) continue;
    if (++shown > columns) break;
  }
  return std::string(line.substr(0, at));
}

size_t columns_of_screen() {
  struct winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

// The lines, in place of the `shown` ones above the cursor of a terminal.
std::string in_place(const std::vector<std::string>& lines, size_t& shown) {
  std::string text = shown > 0 ? "\033[" + std::to_string(shown) + "F\033[J" : "";
  for (const std::string& line : lines)
    text += cut(printable(line, ""), columns_of_screen()) + "\n";
  shown = lines.size();
  return text;
}

}  // namespace

Output::Output()
    : terminal_(::isatty(STDOUT_FILENO) == 1),
      error_terminal_(::isatty(STDERR_FILENO) == 1),
      color_(terminal_ && !std::getenv("NO_COLOR")) {}

void Output::print_json(const nlohmann::json& value) const {
  put(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Output::print_line(std::string_view line) const {
  put((terminal_ ? printable(line, "\n\t") : std::string(line)) + "\n");
}

void Output::print_in_place(const std::vector<std::string>& lines, size_t& shown) const {
  if (!terminal_) {
    for (const std::string& line : lines) print_line(line);
    return;
  }
  put(in_place(lines, shown));
  std::fflush(stdout);
}

void Output::hint(std::string_view line) const {
  if (terminal_ && !json) print_line(line);
}

std::string Output::painted(std::string_view text) const {
  const char* color = color_ ? color_of(text) : nullptr;
  return color ? color + std::string(text) + kReset : std::string(text);
}

void Output::print_table(const Table& table) const {
  auto rows = table.rows;
  for (auto& row : rows) {
    for (std::string& cell : row) cell = printable(cell, "");
  }
  if (!terminal_) {
    for (const auto& row : rows) {
      std::string line;
      for (const std::string& cell : row) line += (&cell == &row.front() ? "" : "\t") + cell;
      print_line(line);
    }
    return;
  }
  std::vector<size_t> widths;
  widths.reserve(table.heading.size());
  for (const std::string& cell : table.heading) widths.push_back(width(cell));
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  const auto print_row = [&](const std::vector<std::string>& row, bool heading) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += heading ? row[i] : painted(row[i]);
      if (i + 1 < row.size()) line += std::string(widths[i] - width(row[i]) + 2, ' ');
    }
    put((heading && color_ ? kBold + line + kReset : line) + "\n");
  };
  print_row(table.heading, true);
  for (const auto& row : rows) print_row(row, false);
}

void Output::progress(std::string_view line) const {
  if (!error_terminal_ || json) return;
  std::fprintf(stderr, "%s%.*s", kEraseLine, static_cast<int>(line.size()), line.data());
}

void Output::progress_block(const std::vector<std::string>& lines) const {
  if (!error_terminal_ || json) return;
  const std::string text = in_place(lines, block_lines_);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void Output::error(const Error& error) const {
  progress("");
  if (json) {
    const nlohmann::json object = {
        {"error", {{"code", code_name(error.code())}, {"message", error.message()}}}};
    std::fprintf(stderr, "%s\n",
                 object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    const std::string& message = error.message();
    const std::string shown = error_terminal_ ? printable(message, "\n\t") : message;
    std::fprintf(stderr, "skerry: %s\n", shown.c_str());
  }
}

std::string bars(std::vector<double> values) {
  constexpr size_t kPlotWidth = 60;
  static constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (values.size() > kPlotWidth) {
    values.erase(values.begin(), values.end() - static_cast<std::ptrdiff_t>(kPlotWidth));
  }
  if (values.empty()) return "";
  const auto [least, most] = std::ranges::minmax(values);
  std::string line;
  for (const double value : values) {
    const double share = most > least ? (value - least) / (most - least) : 0;
    line += kBars[static_cast<size_t>(std::lround(7 * share))];
  }
  return line;
}

std::string age(double timestamp_s, double now_s) {
  const auto seconds = static_cast<int64_t>(std::max(0.0, now_s - timestamp_s));
  if (seconds < 120) return std::to_string(seconds) + " s ago";
  if (seconds < 7200) return std::to_string(seconds / 60) + " min ago";
  if (seconds < 172'800) return std::to_string(seconds / 3600) + " h ago";
  return std::to_string(seconds / 86'400) + " days ago";
}

}  // namespace skerry::cli
