// How many neighbours: so many that a tenth of all devices may vanish (secure_test.cc counts).
#include "federated/secure/neighbours.h"

#include <algorithm>

namespace skerry::federated::secure {
namespace {

constexpr size_t kNeighbours = 48;
constexpr size_t kManyMembers = 2000;  // from which on it is kMostPeers

}  // namespace

std::vector<size_t> neighbours_of(size_t index, size_t members) {
  const size_t wanted = members > kManyMembers ? kMostPeers : kNeighbours;
  std::vector<size_t> found;
  if (members <= wanted + 1) {
    for (size_t other = 0; other < members; ++other) {
      if (other != index) found.push_back(other);
    }
    return found;
  }
  for (size_t distance = 1; distance <= wanted / 2; ++distance) {
    found.push_back((index + distance) % members);
    found.push_back((index + members - distance) % members);
  }
  std::ranges::sort(found);
  return found;
}

size_t threshold_of(size_t holders) {
  return 2 * holders / 3 + 1;
}

}  // namespace skerry::federated::secure
