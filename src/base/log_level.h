// Which log records are written, asked and changed while the program runs. Thread-safe.
#pragma once

#include "base/log.h"

namespace skerry::log {

Level level();
void set_level(Level level);

}  // namespace skerry::log
