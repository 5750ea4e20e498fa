// A download as it arrives: staging/SHA256.part, written and hashed on the pool, kept for the next
// try where it breaks off.
#pragma once

#include <memory>
#include <string>

#include "io/env.h"
#include "nucleus/cloud.h"

namespace skerry::nucleus {

// Left free on the disk for the journal, logs and a roll-back, by everything that brings packages.
inline constexpr uint64_t kDiskReserveBytes = 16 << 20;

class PartFile : public DownloadSink {
 public:
  PartFile(io::Env& env, std::string path);

  // Takes up what an earlier try left: its size.
  io::Task<Result<uint64_t>> open();
  // The SHA-256 of what is there, in Base64.
  std::string digest() const;

  // kResourceExhausted: the rest does not fit beside the reserve.
  io::Task<Result<void>> begin(uint64_t offset, uint64_t remaining_bytes) override;
  io::Task<Result<void>> write(std::string bytes) override;
  // Closes it, synced. After an error the bytes may be gone however whole they look.
  io::Task<Result<void>> finish();

 private:
  struct State;  // shared with work on the pool that goes on when the download is dropped

  io::Env& env_;
  std::shared_ptr<State> state_;
};

}  // namespace skerry::nucleus
