// A device's place in every rollout: the first 63 bits of the SHA-256 of its thing's name. Devices
// are asked in ascending order of it, so a device is early or late in every rollout of every group,
// and anybody can compute which: `printf %s NAME | sha256sum`.
#pragma once

#include <cstdint>

#include "base/named_type.h"
#include "base/sha256.h"

namespace skerry::fleet::rollout {

inline int64_t cohort_of(const ThingName& thing) {
  uint64_t first = 0;
  for (const char byte : sha256(thing.str()).substr(0, 8)) {
    first = first << 8 | static_cast<uint8_t>(byte);
  }
  return static_cast<int64_t>(first >> 1);
}

}  // namespace skerry::fleet::rollout
