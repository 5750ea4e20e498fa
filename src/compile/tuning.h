// Which way each layer is computed in on a target, as measured: the file that `skerry model tune`
// writes and `skerry model compile --tuning` takes. It says nothing of a model, so that it serves
// others with the same layers. docs/data/tuning.md shows one.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "compile/lower.h"
#include "compile/way.h"

namespace skerry::compile {

struct TunedLayer {
  Way way;
  double us = 0;        // of a run, and
  double usual_us = 0;  // in the way without a tuning, measured in turns with it

  bool operator==(const TunedLayer&) const = default;
};

struct Tuning {
  std::string target;
  std::string machine;  // where it was measured, for people
  std::string kernels;  // kernels_version() of the program that measured
  std::map<std::string, TunedLayer, std::less<>> layers;  // as Choice names them

  bool operator==(const Tuning&) const = default;
  WaysByLayer ways() const;
};

std::string to_text(const Tuning& tuning);
// Untrusted. kCorrupt names what is wrong; kUnsupported: of another version.
Result<Tuning> parse_tuning(std::string_view text);
Result<Tuning> read_tuning(const std::string& path);

// Of the kernels of this program: with others, a tuning may be out of date, but is never wrong.
std::string kernels_version();

}  // namespace skerry::compile
