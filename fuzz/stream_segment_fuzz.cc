// A segment file of a stream with any bytes in it: opened, read, appended to, and opened again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "io/fault_files.h"
#include "io/message_log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skerry;
  using namespace skerry::io;
  io::FaultFiles files;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (!files.make_directory("/log", 0700)) std::abort();
  if (!io::write_file_atomic(files, "/log/0000000000000000000.segment", bytes)) std::abort();
  auto log = FileLog::open(files, "/log", {});
  if (!log) return 0;
  const auto sequence = (*log)->append("appended", 1);
  if (!sequence || !(*log)->finish(true)) std::abort();
  log = FileLog::open(files, "/log", {});
  const auto read = (*log)->read(*sequence, 1, 1);
  if (!read || read->size() != 1 || read->front().payload != "appended") std::abort();
  return 0;
}
