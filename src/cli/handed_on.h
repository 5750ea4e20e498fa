// Commands of `skerry` that another program does, skerry-model beside it: it carries the optimiser,
// the compiler and training, many times as much code as everything else of `skerry`.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace CLI {
class App;
}

namespace skerry::cli {

// Whether a command line that begins with `words` is for skerry-model.
bool is_handed_on(const std::vector<std::string>& words);

// Starts it in place of this program, with the same command line; returns only if that fails.
Error hand_on(const char* const* argv);

// For the help: model inspect|run|diff|convert|bench|optimise|train|finetune|compile|tune; learn.
void list_handed_on_model_commands(CLI::App& model);
void list_handed_on_learn(CLI::App& app);

}  // namespace skerry::cli
