// The file, then its first subgraph.
#include "graph/tflite/import.h"

#include <fmt/format.h>

#include "graph/onnx/tensors.h"
#include "graph/tflite/lowering.h"

namespace skerry::graph::tflite {
namespace {

// All operators that stand against an import at once, each with one of its outputs.
Result<void> check_operators(const ModelTable& model) {
  constexpr size_t kNamed = 20;
  size_t count = 0;
  std::string message;
  const SubgraphTable& graph = model.subgraphs[0];
  for (const OperatorTable& node : graph.operators) {
    const OperatorCode& code = model.codes[node.code];
    if (row_of(code.code) != nullptr || ++count > kNamed) continue;
    const bool named = !node.outputs.empty() && node.outputs[0] >= 0;
    message += fmt::format(
        "\n  {} '{}'", operator_name(code),
        named ? graph.tensors[static_cast<size_t>(node.outputs[0])].name : std::string_view());
  }
  if (count == 0) return {};
  if (count > kNamed) message += fmt::format("\n  and {} more", count - kNamed);
  return fail(Code::kUnsupported, "these operators are not supported:" + message);
}

}  // namespace

Result<Imported> import_bytes(std::shared_ptr<const tensor::Bytes> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  FlatBuffer file(text);
  SKERRY_ASSIGN(const ModelTable model, parse_model(file));
  SKERRY_TRY(check_operators(model));
  Imported imported;
  SKERRY_ASSIGN(imported.graph, Lowering(model, file, bytes).run());
  imported.description = std::string(model.description);
  imported.bytes = bytes->size();
  return imported;
}

Result<Imported> import_file(const std::string& path, const ImportOptions& options) {
  SKERRY_ASSIGN(auto bytes, onnx::read_whole_file(path, options.max_file_bytes));
  auto imported = import_bytes(std::move(bytes));
  if (!imported) return fail(imported.error().with_context(path));
  return imported;
}

}  // namespace skerry::graph::tflite
