// Updates as whole numbers modulo 2³², whose sum is exact whatever masks were added and taken away,
// and the masks: ChaCha20's stream of a seed (RFC 8439).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "federated/update.h"
#include "io/random.h"

namespace skerry::federated::secure {

using Numbers = std::vector<uint32_t>;

// Adds the mask of `seed` (32 bytes) from its beginning on, or takes it away.
void add_mask(std::span<uint32_t> numbers, std::string_view seed, bool takes_away = false);

inline constexpr double kMostLoss = 64;  // that is told; a larger one counts as that

// How numbers become whole ones: `levels` stands for the longest update that there may be. Chosen
// so that the sum of all devices, with their noise, stays within ±2³¹.
struct FixedPoint {
  double longest = 1;
  uint32_t levels = 1;
  double step() const { return longest / levels; }
};
// `noise`: the deviation of each device's, times the longest update.
FixedPoint fixed_point(double longest, size_t devices, double noise);

// An update that is cut to the longest length, with rounding counted in, and the mean loss as the
// number behind the last. `noise` as above is added to all but that. kInvalidArgument where a
// number is not finite, or rounding alone would be longer than an update may be.
Result<Numbers> to_numbers(const Update& update, const FixedPoint& fixed, double noise,
                           io::Random& random);
// One more number, half added or taken away: whether the update was short enough not to be cut.
void add_count(Numbers& numbers, bool within, double noise, io::Random& random);
// What the sum of such stands for; its loss is the sum of the losses, `within` that of the halves,
// where there are some (`counts`).
struct Sum {
  Vector values;
  double loss = 0, within = 0;
};
Sum from_numbers(std::span<const uint32_t> sum, const FixedPoint& fixed, bool counts = false);
// The longest that a sum of so many updates of `size` numbers can be where each has been cut, with
// the noise that each device adds: more than that has one in a billion at most.
double longest_sum(const FixedPoint& fixed, size_t updates, size_t size, double noise);

// A masked update on its way and on the disk (docs/data/learning-rounds.md).
std::string encode_masked(size_t attempt, const Numbers& numbers);
struct Masked {
  size_t attempt = 0;
  Numbers numbers;
};
// Untrusted: kCorrupt where it is not what encode_masked() writes, or not of `size` numbers.
Result<Masked> decode_masked(std::string_view bytes, size_t size);

}  // namespace skerry::federated::secure
