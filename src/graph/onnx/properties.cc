// Numbers as text, both ways.
#include "graph/onnx/properties.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

namespace skerry::graph::onnx {
namespace {

// Numbers with commas between them, as far as they go.
template <class T>
std::vector<T> take_numbers(std::string_view& text) {
  std::vector<T> numbers;
  for (T value{};;) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    const char* const begin = text.data();
    const auto [stop, error] = std::from_chars(begin, begin + text.size(), value);
    if (error != std::errc()) break;
    text.remove_prefix(static_cast<size_t>(stop - begin));
    numbers.push_back(value);
    if (!text.starts_with(',')) break;
    text.remove_prefix(1);
  }
  if (text.starts_with(';')) text.remove_prefix(1);
  return numbers;
}

}  // namespace

bool is_property(std::string_view attribute) {
  return attribute == "rounding";
}

std::string quantisation_text(const Quantisation& quantisation) {
  return fmt::format("{}; {}; {}", quantisation.axis, fmt::join(quantisation.scales, ","),
                     fmt::join(quantisation.zero_points, ","));
}

Result<Quantisation> parse_quantisation(std::string_view text) {
  const auto axis = take_numbers<int64_t>(text);
  Quantisation quantisation;
  quantisation.scales = take_numbers<float>(text);
  quantisation.zero_points = take_numbers<int64_t>(text);
  if (axis.size() != 1 || quantisation.scales.empty() || !text.empty() ||
      quantisation.scales.size() != quantisation.zero_points.size()) {
    return fail(Code::kCorrupt, "its quantisation is not one");
  }
  quantisation.axis = axis[0];
  return quantisation;
}

}  // namespace skerry::graph::onnx
