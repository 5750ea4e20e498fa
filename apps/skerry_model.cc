// skerry-model: the commands of skerry that read, change and train models.
#include "cli/cli.h"

int main(int argc, char** argv) {
  return skerry::cli::run(argc, argv, skerry::cli::add_model_tools);
}
