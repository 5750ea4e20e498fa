// Tuning files and what measuring programs print: whatever the bytes, an answer; a file that is
// read is written again as it was. The digest would keep nearly everything out, so that it is put
// right first.
#include <cstdlib>

#include "base/encoding.h"
#include "base/sha256.h"
#include "compile/layer_measurer.h"
#include "compile/tuning.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  const auto times = skerry::compile::parse_times(text, 2, 1);
  if (times && (times->us.size() != 2 || !(times->us[1][0] > 0))) abort();
  text += "sha256 " + skerry::hex_encode(skerry::sha256(text)) + "\n";
  const auto tuning = skerry::compile::parse_tuning(text);
  if (tuning && skerry::compile::to_text(*tuning) != text) abort();
  return 0;
}
