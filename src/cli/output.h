// What commands print: tables and colours on a terminal, tabs elsewhere, JSON when asked; progress
// on standard error, on a terminal only.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::cli {

struct Table {
  std::vector<std::string> heading;
  std::vector<std::vector<std::string>> rows;
};

class Output {
 public:
  Output();

  bool json = false;  // --json

  void print_json(const nlohmann::json& value) const;  // one line
  void print_table(const Table& table) const;  // states such as RUNNING and FAILED in colour
  void print_line(std::string_view line) const;
  // On a terminal in place of the `shown` lines that the last call printed; else below them.
  void print_in_place(const std::vector<std::string>& lines, size_t& shown) const;
  // What a person wants to know and a program does not: nothing with --json or off a terminal.
  void hint(std::string_view line) const;
  // The line of progress, replaced by the next one; "" takes it away.
  void progress(std::string_view line) const;
  // Several lines of progress, replaced by the next ones; none takes them away.
  void progress_block(const std::vector<std::string>& lines) const;
  // To standard error; with --json as {"error":{"code","message"}}.
  void error(const Error& error) const;

 private:
  std::string painted(std::string_view text) const;
  bool terminal_;
  bool error_terminal_;
  bool color_;
  mutable size_t block_lines_ = 0;  // on the terminal now
};

// The newest values as bars between their least and their most, "▁▃▅▇█".
std::string bars(std::vector<double> values);

// "12 s ago", from seconds since 1970.
std::string age(double timestamp_s, double now_s);

}  // namespace skerry::cli
