// An output's members are taken over but for its elements, of which each row gets its own.
#include "cli/bulk_lines.h"

#include <nlohmann/json.hpp>

namespace skerry::cli {
namespace {

using nlohmann::json;

// The part of `output`, which has `rows` rows, that belongs to row `row`; nothing where it has not.
std::optional<json> row_of(const json& output, size_t row, size_t rows) {
  const auto shape = output.find("shape");
  const auto data = output.find("data");
  if (shape == output.end() || data == output.end() || !shape->is_array() || shape->empty() ||
      (*shape)[0] != rows || !data->is_array() || data->size() % rows != 0) {
    return std::nullopt;
  }
  json part = json::object();
  for (const auto& [key, value] : output.items()) {
    if (key != "data") part[key] = value;
  }
  part["shape"][0] = 1;
  const auto size = static_cast<ptrdiff_t>(data->size() / rows);
  const auto begin = data->begin() + static_cast<ptrdiff_t>(row) * size;
  part["data"] = json::array_t(begin, begin + size);
  return part;
}

}  // namespace

std::optional<std::string> bulk_lines(std::string_view answer, const std::string& model,
                                      const BulkInput& input, size_t first, size_t count) {
  const json document = json::parse(answer, nullptr, false);
  if (!document.is_object() || !document.contains("outputs")) return std::nullopt;
  const json& outputs = document["outputs"];
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    json parts = count == 1 ? outputs : json::array();
    for (const json& output : outputs) {
      if (count == 1) break;
      auto part = output.is_object() ? row_of(output, i, count) : std::nullopt;
      if (!part) return std::nullopt;
      parts.push_back(*std::move(part));
    }
    const json line = {{"item", input.name(first + i)},
                       {"model", model},
                       {"version", document.value("model_version", "")},
                       {"outputs", std::move(parts)}};
    text += line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  }
  return text;
}

}  // namespace skerry::cli
