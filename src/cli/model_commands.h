// Parts of `skerry model`.
#pragma once

#include <string>

#include "cli/command.h"

namespace skerry::cli {

// Of a version in the fleet's API.
std::string model_path(const std::string& component, const std::string& version);

void add_model_publish(CLI::App& model, Session& session);
void add_model_compile(CLI::App& model, Session& session);
void add_model_graph_commands(CLI::App& model, Session& session);  // model inspect|run|diff
void add_model_convert(CLI::App& model, Session& session);
void add_model_bench(CLI::App& model, Session& session);
void add_model_optimise(CLI::App& model, Session& session);
void add_model_train(CLI::App& model, Session& session);  // model train|finetune

}  // namespace skerry::cli
