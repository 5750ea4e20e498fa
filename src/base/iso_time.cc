// By the C library.
#include "base/iso_time.h"

#include <cstdio>
#include <ctime>

namespace skerry {

std::string iso_time(int64_t ms) {
  // Towards the past where it is before 1970.
  const int64_t rest = (ms % 1000 + 1000) % 1000;
  const time_t seconds = (ms - rest) / 1000;
  tm utc{};
  char text[48];
  const size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &utc));
  std::snprintf(text + used, sizeof text - used, ".%03dZ", static_cast<int>(rest));
  return text;
}

}  // namespace skerry
