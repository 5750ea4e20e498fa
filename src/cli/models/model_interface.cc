// INPUT=… of inputs that are open, always the same, or kept.
#include "cli/models/model_interface.h"

#include <CLI/CLI.hpp>
#include <sstream>
#include <utility>

namespace skerry::cli {
namespace {

// "NAME=VALUE", at the first '=' behind which there is something.
Result<std::pair<std::string, std::string>> pair_of(const std::string& text, const char* form) {
  const size_t at = text.find('=');
  if (at != text.npos && at > 0 && at + 1 < text.size()) {
    return std::pair(text.substr(0, at), text.substr(at + 1));
  }
  return fail(Code::kInvalidArgument, "'" + text + "' is not " + form);
}

}  // namespace

void add_interface_options(CLI::App& command, InterfaceWords& words) {
  command.add_option("--shape", words.shapes, "INPUT=SIZE,SIZE…: an input's shape");
  command.add_option("--value", words.values,
                     "INPUT=NUMBER: an input that always has this value, and is refused otherwise");
  command.add_option("--state", words.states,
                     "INPUT=OUTPUT: the input is, in each run, that output of the run before");
}

Result<compile::InterfaceOptions> interface_of(const InterfaceWords& words) {
  compile::InterfaceOptions interface;
  for (const std::string& text : words.shapes) {
    SKERRY_ASSIGN(const auto pair, pair_of(text, "INPUT=SIZE,SIZE…"));
    auto& sizes = interface.shapes[pair.first];
    std::istringstream rest(pair.second);
    for (std::string word; std::getline(rest, word, ',');) {
      int64_t size = 0;
      if (!CLI::detail::lexical_cast(word, size)) {
        return fail(Code::kInvalidArgument, "'" + text + "' is not INPUT=SIZE,SIZE…");
      }
      sizes.push_back(size);
    }
  }
  for (const std::string& text : words.values) {
    SKERRY_ASSIGN(const auto pair, pair_of(text, "INPUT=NUMBER"));
    if (!CLI::detail::lexical_cast(pair.second, interface.values[pair.first])) {
      return fail(Code::kInvalidArgument, "'" + text + "' is not INPUT=NUMBER");
    }
  }
  for (const std::string& text : words.states) {
    SKERRY_ASSIGN(auto pair, pair_of(text, "INPUT=OUTPUT"));
    interface.states.push_back(std::move(pair));
  }
  return interface;
}

}  // namespace skerry::cli
