// What a program needs from the operating system, handed down from main (or from a test).
#pragma once

#include "io/clock.h"
#include "io/files.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/processes.h"
#include "io/random.h"

namespace skerry::io {

struct Env {
  Loop& loop;
  Clock& clock;
  Files& files;
  Processes& processes;
  Random& random;
  Pool& pool;     // for file work that may take long
  Pool& records;  // for short writes that somebody waits for: never behind that work
};

}  // namespace skerry::io
