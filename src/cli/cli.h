// The `skerry` command line.
#pragma once

namespace skerry::cli {

// Parses, runs, prints; returns the exit code.
int run(int argc, const char* const* argv);

}  // namespace skerry::cli
