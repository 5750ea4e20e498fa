// mqtt.spooler of config.yaml, as the stock nucleus names it.
#pragma once

#include <cstdint>

namespace skerry::nucleus {

struct SpoolOptions {
  bool on_disk = true;             // storageType: Disk or Memory
  uint64_t max_bytes = 2'621'440;  // maxSizeInBytes
  bool keeps_qos0 = false;         // keepQos0WhenOffline: in memory, within max_bytes
  int64_t settle_ms = 5'000;       // from a message to its place on the disk, without an answer

  bool operator==(const SpoolOptions&) const = default;
};

}  // namespace skerry::nucleus
