// Who masks against whom, and who holds shares of whose secrets: all of them where they are few,
// else those that are near on a ring in which the server has put them at random (SecAgg+: Bell,
// Bonawitz, Gascón, Lepoint and Raykova, 2020).
#pragma once

#include <cstddef>
#include <vector>

namespace skerry::federated::secure {

inline constexpr size_t kFewestMembers = 3;
inline constexpr size_t kMostPeers = 64;

// Of the member `index` of `members`, rising; it is in its neighbours' as well.
std::vector<size_t> neighbours_of(size_t index, size_t members);
// Shares that give a secret back, of those that its device and its neighbours hold: more than two
// thirds, so that nobody who asks each holder for one of a device's two secrets gets both, though
// up to a third of them give him both.
size_t threshold_of(size_t holders);

}  // namespace skerry::federated::secure
