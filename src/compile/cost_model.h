// What a way of a layer costs, estimated by counting what its kernel does: for machines that are
// not here, and for the order in which the tuner tries ways.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "compile/target.h"
#include "compile/way.h"

namespace skerry::compile {

// How often a kernel does each of these, in vectors of the tile's lanes: multiply-adds, loads of
// weights, inputs that are spread over all lanes, sums that are begun, ended and stored, tiles, and
// steps in which too few sums are under way to hide how long one takes.
using Work = std::array<double, 6>;

// Absent for ways that are not counted: sparse and depthwise ones.
std::optional<Work> work_of(const Target& target, const LayerSizes& layer, const Way& way);

// In cycles of the target.
std::optional<double> expected_cycles(const Target& target, const LayerSizes& layer,
                                      const Way& way);

// Of all ways, for the tuner; those that are not counted as much as the usual one. Empty where the
// usual one is not counted either.
std::vector<double> expected_of(const Target& target, const Choice& choice);

}  // namespace skerry::compile
