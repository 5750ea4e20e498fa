// The search for the fastest way of each layer, by measurement in a given time. What measures is
// behind an interface, and what is done with the times depends on them and the seed alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "compile/way.h"

namespace skerry::compile {

// A layer and the ways in which it can be computed, the usual one first.
struct LayerSpace {
  std::string layer;
  std::vector<Way> ways;
  // What a model of costs expects of each, in any unit: the order in which they are tried. Empty:
  // what resembles the usual way first.
  std::vector<double> expected = {};
};

// For each layer, which of its ways.
using Assignment = std::vector<size_t>;

class Measurer {
 public:
  virtual ~Measurer() = default;
  // Microseconds of each layer in each candidate, the least of many turns that candidates take one
  // after the other. Each call starts afresh: what one start has against a candidate (where its
  // memory lies) the next has not.
  virtual Result<std::vector<std::vector<double>>> measure(
      const std::vector<Assignment>& candidates) = 0;
  // The same of the whole model.
  virtual Result<std::vector<double>> measure_whole(const std::vector<Assignment>& candidates) = 0;
  virtual double seconds() = 0;  // since it was made, however that is counted
};

struct SearchProgress {
  double seconds = 0;
  size_t tried = 0, ways = 0;  // of all layers together
  double share = 1;            // of the layers' usual time that the best ways take
  bool is_final = false;       // the best of each layer are measured again
};

struct SearchOptions {
  double seconds = 60;  // for everything; the ways that were begun are ended
  uint64_t seed = 1;
  std::function<void(const SearchProgress&)> progress = [](const SearchProgress&) {};
};

struct SearchResult {
  struct Layer {
    size_t way = 0;
    double us = 0, usual_us = 0;
    size_t tried = 0;  // of its ways, the usual one besides
    // Of each way, what it takes of the usual one's time; infinity where it was not tried.
    std::vector<double> shares = {};
  };
  std::vector<Layer> layers;
  double usual_us = 0, us = 0;  // of the whole model
  // The layers' ways together take less than the usual ones; where not, `layers` has the usual.
  bool is_faster = false;
  int restarts = 0;  // that the last comparison took
};

Result<SearchResult> search(const std::vector<LayerSpace>& layers, Measurer& measurer,
                            const SearchOptions& options);

}  // namespace skerry::compile
