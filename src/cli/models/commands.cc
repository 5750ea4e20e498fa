// The commands of skerry-model, which are typed as commands of `skerry`.
#include <CLI/CLI.hpp>

#include "cli/cli.h"
#include "cli/models/model_tools.h"

namespace skerry::cli {

void add_model_tools(CLI::App& app, Session& session) {
  CLI::App* model = app.add_subcommand("model", "Read, optimise, compile and train models");
  model->footer(R"(
Examples:
  skerry model inspect vad.onnx
  skerry model optimise net.onnx -o out --data test.npy --labels labels.npy
  skerry model compile vad.onnx -o vad.so)");
  add_model_graph_commands(*model, session);
  add_model_convert(*model, session);
  add_model_bench(*model, session);
  add_model_optimise(*model, session);
  add_model_train(*model, session);
  add_model_compile(*model, session);
  add_model_tune(*model, session);
  add_learn_commands(app, session);
}

}  // namespace skerry::cli
