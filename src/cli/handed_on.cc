// Starts skerry-model in place of this program, with the command line as it is.
#include "cli/handed_on.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace skerry::cli {
namespace {

constexpr const char* kProgram = "skerry-model";

// As skerry-model describes them; a test compares the two.
constexpr struct {
  const char* name;
  const char* description;
} kModelCommands[] = {
    {"inspect", "Show what a model is made of: operators, MACs, parameters, memory"},
    {"run", "Run a model with the reference executor: exact, not fast"},
    {"diff", "Compare two models layer by layer on the same data"},
    {"convert", "Write a model in another form"},
    {"bench", "Measure a model in an engine: time, memory, and accuracy on labelled data"},
    {"optimise", "Make a model smaller and faster, and show that it still answers the same"},
    {"train", "Train a model from nothing on labelled rows"},
    {"finetune",
     "Train a model further: on labelled rows, for other classes, or as another's pupil"},
    {"compile",
     "Compile a model to a shared object that needs no runtime, for one kind of machine"},
    {"tune", "Measure which way each layer of a model is fastest in, for skerry model compile"},
};

}  // namespace

bool is_handed_on(const std::vector<std::string>& words) {
  if (words.empty()) return false;
  if (words[0] == "learn") return true;
  return words[0] == "model" && words.size() > 1 &&
         std::ranges::any_of(kModelCommands,
                             [&](const auto& command) { return words[1] == command.name; });
}

Error hand_on(const char* const* argv) {
  std::error_code unreadable;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", unreadable);
  const std::string program = (self.parent_path() / kProgram).string();
  execv(program.c_str(), const_cast<char* const*>(argv));
  return Error(Code::kFailedPrecondition,
               "this command is done by " + program +
                   ", which cannot be started: " + std::strerror(errno) +
                   "\nInstall it beside skerry; in a clone, ./dev build makes it.");
}

void list_handed_on_model_commands(CLI::App& model) {
  for (const auto& command : kModelCommands)
    model.add_subcommand(command.name, command.description);
}

void list_handed_on_learn(CLI::App& app) {
  app.add_subcommand("learn", "Federated learning: rounds on many devices");
}

}  // namespace skerry::cli
