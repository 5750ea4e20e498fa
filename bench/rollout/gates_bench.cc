// False alarms and detection delay of the gate on deployment failures: a table, and a picture.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "sim/blast_radius.h"

namespace {

using namespace skerry::sim;

struct Line {
  double effect = 0;
  double stopped = 0;      // share of runs
  double first_stage = 0;  // share of runs stopped at 1 % of the fleet
  int64_t median = 0;      // devices when stopped
  int64_t late = 0;        // the 99th percentile
};

Line measure(double control, double effect, int runs) {
  BlastFleet fleet;
  fleet.control_rate = control;
  fleet.release_rate = control + effect;
  std::vector<int64_t> asked;
  int contained = 0;
  for (int seed = 1; seed <= runs; ++seed) {
    const Blast blast = roll_out(default_plan(), fleet, static_cast<uint64_t>(seed));
    if (!blast.stopped) continue;
    asked.push_back(blast.asked);
    contained += blast.asked <= fleet.devices / 100 ? 1 : 0;
  }
  std::ranges::sort(asked);
  Line line{effect, static_cast<double>(asked.size()) / runs,
            static_cast<double>(contained) / runs};
  if (asked.empty()) return line;
  line.median = asked[asked.size() / 2];
  line.late = asked[std::min(asked.size() - 1, asked.size() * 99 / 100)];
  return line;
}

// Shares of runs that are stopped, and stopped within the first stage, over the effect.
void draw(const std::vector<Line>& lines, const std::string& path) {
  std::ofstream svg(path);
  svg << "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 640 360' font-family='sans-serif' "
         "font-size='12'>\n<rect width='640' height='360' fill='white'/>\n";
  const auto x = [](double effect) { return 60 + effect * 100 * 100; };
  const auto y = [](double share) { return 310 - share * 270; };
  for (double share : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    svg << fmt::format(
        "<line x1='60' x2='560' y1='{0}' y2='{0}' stroke='#ddd'/><text x='52' y='{1}' "
        "text-anchor='end'>{2:.0f} %</text>\n",
        y(share), y(share) + 4, share * 100);
  }
  for (const Line& line : lines) {
    svg << fmt::format("<text x='{}' y='330' text-anchor='middle'>{:.2g}</text>\n", x(line.effect),
                       line.effect * 100);
  }
  const auto curve = [&](double Line::* member, const char* colour, const char* name, int at) {
    std::string points;
    for (const Line& line : lines) points += fmt::format("{},{} ", x(line.effect), y(line.*member));
    svg << fmt::format(
        "<polyline points='{}' fill='none' stroke='{}' stroke-width='2'/><text x='570' "
        "y='{}' fill='{}'>{}</text>\n",
        points, colour, at, colour, name);
  };
  curve(&Line::stopped, "#d62728", "stopped", 50);
  curve(&Line::first_stage, "#1f77b4", "at 1 %", 70);
  svg << "<text x='310' y='352' text-anchor='middle'>failures above control, percentage points "
         "(control "
         "2 %, fleet of 1,000,000)</text>\n</svg>\n";
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 2'000;
  fmt::print("{:>8} {:>8} {:>9} {:>9} {:>16} {:>16}\n", "control", "release", "stopped", "at 1 %",
             "median devices", "99 % within");
  std::vector<Line> picture;
  for (double control : {0.005, 0.02, 0.05}) {
    for (double effect : {0.0, 0.0025, 0.005, 0.01, 0.02, 0.05}) {
      const Line line = measure(control, effect, runs);
      fmt::print("{:>7.1f}% {:>7.2f}% {:>8.2f}% {:>8.2f}% {:>16} {:>16}\n", control * 100,
                 (control + effect) * 100, line.stopped * 100, line.first_stage * 100, line.median,
                 line.late);
      if (control == 0.02) picture.push_back(line);
    }
  }
  if (argc > 2) draw(picture, argv[2]);
  return 0;
}
