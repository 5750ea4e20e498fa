// Steps of a compiled model below the two roofs of a machine: what it multiplies, and what it
// reads. Williams, Waterman, Patterson, "Roofline", 2009.
#include <algorithm>
#include <cmath>
#include <sstream>

#include "cli/models/model_compile_report.h"

namespace skerry::cli {
namespace {

constexpr double kLeft = 70, kTop = 50, kWide = 620, kHigh = 380;

// Both axes are logarithmic, over whole powers of ten.
struct Axis {
  double low, high;
  double at(double value) const {
    return (std::log10(std::clamp(value, low, high)) - std::log10(low)) /
           (std::log10(high) - std::log10(low));
  }
};
Axis axis_over(double least, double most) {
  return {std::pow(10, std::floor(std::log10(least))), std::pow(10, std::ceil(std::log10(most)))};
}

class Plot {
 public:
  Plot(Axis x, Axis y) : x_(x), y_(y) {}
  double left(double x) const { return kLeft + kWide * x_.at(x); }
  double top(double y) const { return kTop + kHigh * (1 - y_.at(y)); }
  void text(double left, double top, const std::string& words, const char* more = "") {
    svg_ << "<text x='" << left << "' y='" << top << "' " << more << ">" << words << "</text>\n";
  }
  void axes();
  void roof(double bytes_per_us, double macs_per_us, const char* color, const std::string& name);
  void point(double x, double y, bool is_bytes, const std::string& name);
  std::string done() { return svg_.str() + "</svg>\n"; }

 private:
  Axis x_, y_;
  std::ostringstream svg_;
};

void Plot::axes() {
  svg_ << "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 " << kLeft + kWide + 40 << " "
       << kTop + kHigh + 60 << "' font-family='sans-serif' font-size='12'>\n";
  for (double x = x_.low; x <= x_.high * 1.01; x *= 10) {
    svg_ << "<path d='M" << left(x) << " " << kTop << " v" << kHigh << "' stroke='#ddd'/>\n";
    std::ostringstream number;
    number << x;
    text(left(x), kTop + kHigh + 18, number.str(), "text-anchor='middle'");
  }
  for (double y = y_.low; y <= y_.high * 1.01; y *= 10) {
    svg_ << "<path d='M" << kLeft << " " << top(y) << " h" << kWide << "' stroke='#ddd'/>\n";
    std::ostringstream number;
    number << y / 1e3;
    text(kLeft - 8, top(y) + 4, number.str(), "text-anchor='end'");
  }
  text(kLeft + kWide / 2, kTop + kHigh + 42, "multiply-adds for each byte that is read or written",
       "text-anchor='middle'");
  text(kLeft - 55, kTop - 14, "10⁹ multiply-adds a second");
}

void Plot::roof(double bytes_per_us, double macs_per_us, const char* color,
                const std::string& name) {
  const double corner = std::clamp(macs_per_us / bytes_per_us, x_.low, x_.high);
  svg_ << "<path d='M" << left(x_.low) << " " << top(bytes_per_us * x_.low) << " L" << left(corner)
       << " " << top(macs_per_us) << " H" << left(x_.high) << "' fill='none' stroke='" << color
       << "' stroke-width='2'/>\n";
  text(left(x_.high) - 4, top(macs_per_us) - 5, name, "text-anchor='end'");
}

void Plot::point(double x, double y, bool is_bytes, const std::string& name) {
  svg_ << "<g><title>" << name << "</title><circle cx='" << left(x) << "' cy='" << top(y)
       << "' r='5' fill='" << (is_bytes ? "#d62728" : "#1f77b4") << "' fill-opacity='0.6'/></g>\n";
}

}  // namespace

std::string roofline_svg(const compile::CompileReport& report) {
  const compile::Profile& profile = *report.profile;
  const compile::MachineLimits& limits = profile.limits;
  const double near = limits.bytes_per_us(report.constant_bytes + report.arena_bytes);
  struct Point {
    double x, y;
    const compile::StepReport* step;
    std::string title;
  };
  std::vector<Point> points;
  double least_x = 1, most_x = 100, least_y = limits.macs_per_us / 100;
  for (size_t i = 0; i < report.steps.size(); ++i) {
    const compile::StepReport& step = report.steps[i];
    const auto bytes = static_cast<double>(step.constant_bytes + step.value_bytes);
    if (step.macs == 0 || bytes == 0 || profile.step_us[i] <= 0) continue;
    const auto macs = static_cast<double>(step.macs);
    std::ostringstream title;
    title << i << ": " << step.kernel << ", " << profile.step_us[i] << " µs";
    points.push_back({macs / bytes, macs / profile.step_us[i], &step, title.str()});
    least_x = std::min(least_x, points.back().x);
    most_x = std::max(most_x, points.back().x);
    least_y = std::min(least_y, points.back().y);
  }
  const double most_y = std::max(limits.macs_per_us, limits.byte_macs_per_us);
  Plot plot(axis_over(least_x, most_x), axis_over(least_y, most_y * 1.5));
  plot.axes();
  plot.roof(near, limits.macs_per_us, "#1f77b4", "FP32");
  plot.roof(near, limits.byte_macs_per_us, "#d62728", "INT8");
  for (const Point& each : points) plot.point(each.x, each.y, each.step->is_bytes, each.title);
  return plot.done();
}

}  // namespace skerry::cli
