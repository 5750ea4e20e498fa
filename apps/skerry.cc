// skerry: the command line.
#include "cli/cli.h"

int main(int argc, char** argv) {
  return skerry::cli::run_here_or_hand_on(argc, argv);
}
