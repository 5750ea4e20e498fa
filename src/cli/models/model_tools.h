// What skerry-model adds to `skerry model`, a function per file; and `skerry learn`.
#pragma once

#include "cli/command.h"

namespace skerry::cli {

void add_model_graph_commands(CLI::App& model, Session& session);  // model inspect|run|diff
void add_model_convert(CLI::App& model, Session& session);
void add_model_bench(CLI::App& model, Session& session);
void add_model_optimise(CLI::App& model, Session& session);
void add_model_train(CLI::App& model, Session& session);  // model train|finetune
void add_model_compile(CLI::App& model, Session& session);
void add_model_tune(CLI::App& model, Session& session);
void add_learn_commands(CLI::App& app, Session& session);  // learn start|status|simulate|…

}  // namespace skerry::cli
