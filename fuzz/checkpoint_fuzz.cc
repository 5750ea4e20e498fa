// Checkpoints: whatever the bytes, an answer; what is read is written again as it was. The digest
// would keep nearly everything out, so that it is put right first.
#include <cstdlib>

#include "base/sha256.h"
#include "formats/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  bytes += skerry::sha256(bytes);
  const auto checkpoint = skerry::formats::decode_checkpoint(bytes);
  if (checkpoint && skerry::formats::encode(*checkpoint) != bytes) abort();
  return 0;
}
