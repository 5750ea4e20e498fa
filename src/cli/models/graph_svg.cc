// A graph from top to bottom: each node one row below the last of those that it reads.
#include <algorithm>
#include <sstream>
#include <unordered_map>

#include "cli/models/model_graph.h"
#include "graph/statistics.h"

namespace skerry::cli {
namespace {

constexpr int kWidth = 190;
constexpr int kHeight = 38;
constexpr int kRow = 66;
constexpr int kColumn = 210;

std::string escaped(std::string_view text, size_t longest) {
  std::string out;
  for (const char c : text.substr(0, longest)) {
    const bool special = c == '<' || c == '>' || c == '&' || c == '"' || c == '\'';
    if (special || static_cast<unsigned char>(c) < 0x20) {
      out += "&#" + std::to_string(special ? c : '?') + ";";
    } else {
      out += c;
    }
  }
  if (text.size() <= longest) return out;
  // Not in the middle of a character.
  while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0x80) != 0) out.pop_back();
  return out + "…";
}

const char* color_of(const graph::Node& node) {
  if (node.definition().macs != nullptr) return "#cfe3f6";
  return node.subgraphs().empty() ? "#f2f2f2" : "#f6e3cf";
}

struct Place {
  int row = 0, column = 0;
  int x() const { return 20 + column * kColumn; }
  int y() const { return 50 + row * kRow; }
};

using Places = std::unordered_map<const graph::Node*, Place>;

Places places_of(const graph::Graph& graph) {
  Places places;
  std::unordered_map<int, int> used;  // columns in each row
  for (const auto& node : graph.nodes()) {
    Place place;
    for (const graph::Value* input : node->inputs()) {
      const auto above = input == nullptr ? places.end() : places.find(input->producer());
      if (above != places.end()) place.row = std::max(place.row, above->second.row + 1);
    }
    place.column = used[place.row]++;
    places[node.get()] = place;
  }
  return places;
}

}  // namespace

std::string graph_svg(const graph::Graph& graph) {
  const Places places = places_of(graph);
  const graph::Statistics statistics = statistics_of(graph);
  int rows = 1;
  int columns = 1;
  for (const auto& [node, place] : places) {
    rows = std::max(rows, place.row + 1);
    columns = std::max(columns, place.column + 1);
  }
  std::ostringstream svg;
  svg << "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 " << 40 + columns * kColumn << " "
      << 60 + rows * kRow << "' font-family='sans-serif' font-size='12'>\n<text x='20' y='26' "
      << "font-size='16'>" << escaped(graph.name, 60) << ": " << graph.nodes().size()
      << " operators, " << count_text(statistics.macs) << " MACs, "
      << bytes_text(statistics.parameter_bytes) << " of parameters</text>\n";
  for (const graph::NodeCost& cost : statistics.nodes) {
    const Place& to = places.at(cost.node);
    for (const graph::Value* input : cost.node->inputs()) {
      const auto from = input == nullptr ? places.end() : places.find(input->producer());
      if (from == places.end()) continue;
      svg << "<path d='M" << from->second.x() + kWidth / 2 << " " << from->second.y() + kHeight
          << " L" << to.x() + kWidth / 2 << " " << to.y() << "' stroke='#999' fill='none'/>\n";
    }
  }
  for (const graph::NodeCost& cost : statistics.nodes) {
    const Place& place = places.at(cost.node);
    const graph::Value* output = cost.node->output(0);
    const double share = statistics.macs > 0 && cost.macs ? static_cast<double>(*cost.macs) /
                                                                static_cast<double>(statistics.macs)
                                                          : 0;
    svg << "<g><title>" << escaped(cost.node->describe(), 200) << "</title><rect x='" << place.x()
        << "' y='" << place.y() << "' width='" << kWidth << "' height='" << kHeight
        << "' rx='4' fill='" << color_of(*cost.node) << "' stroke='#888'/><rect x='" << place.x()
        << "' y='" << place.y() + kHeight - 3 << "' width='" << static_cast<int>(kWidth * share)
        << "' height='3' fill='#1f77b4'/><text x='" << place.x() + 8 << "' y='" << place.y() + 15
        << "' font-weight='bold'>" << cost.node->op().name() << "</text><text x='" << place.x() + 8
        << "' y='" << place.y() + 30 << "' font-size='10'>"
        << (output != nullptr ? escaped(to_string(output->type()), 32) : "") << "</text></g>\n";
  }
  svg << "</svg>\n";
  return svg.str();
}

}  // namespace skerry::cli
