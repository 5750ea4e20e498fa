// The operating system as tests want it: a real loop and real processes, and by default a clock set
// by hand and a file system in memory that fails on order. Public members, so that a test can reach
// into each part; `env` is what the code under test gets.
#pragma once

#include "io/clock.h"
#include "io/env.h"
#include "io/fault_files.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/processes.h"
#include "io/random.h"

namespace skerry::io {

template <class ClockType, class FilesType>
struct BasicTestEnv {
  explicit BasicTestEnv(uint64_t seed = 1) : random(seed) {}
  BasicTestEnv(const BasicTestEnv&) = delete;
  BasicTestEnv& operator=(const BasicTestEnv&) = delete;

  RealLoop loop;
  ClockType clock;
  FilesType files;
  RealProcesses processes{loop};
  SeededRandom random;
  InlinePool pool;
  Env env{loop, clock, files, processes, random, pool, pool};
};

using TestEnv = BasicTestEnv<ManualClock, FaultFiles>;
using RealTestEnv = BasicTestEnv<RealClock, RealFiles>;

}  // namespace skerry::io
