// What a file is, its first bytes say.
#include "graph/model_file.h"

#include <fmt/format.h>

#include "graph/onnx/import.h"
#include "graph/text.h"
#include "graph/tflite/export.h"
#include "graph/tflite/import.h"
#include "io/files.h"

namespace skerry::graph {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;
constexpr size_t kNamedNodes = 20;

// The first bytes; fewer where the file is shorter.
Result<std::string> head_of(const std::string& path) {
  io::RealFiles files;
  SKERRY_ASSIGN(const auto file, files.open(path, io::OpenMode::kRead, 0));
  SKERRY_ASSIGN(const uint64_t size, file->size());
  return file->read_at(0, std::min<uint64_t>(size, 64));
}

bool is_text(std::string_view head) {
  const size_t first = head.find_first_not_of(" \n\t");
  return first != std::string_view::npos && head.substr(first).starts_with("graph");
}

Result<ModelFile> read_text(const std::string& path) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string text, io::read_file(files, path, kMaxTextBytes));
  auto graph = parse_text(text);
  if (!graph) return fail(graph.error().with_context(path));
  return ModelFile{.graph = std::move(*graph), .format = "text", .bytes = text.size()};
}

Result<ModelFile> read_tflite(const std::string& path) {
  SKERRY_ASSIGN(auto imported, tflite::import_file(path));
  return ModelFile{.graph = std::move(imported.graph),
                   .format = "TFLite",
                   .producer = std::move(imported.description),
                   .bytes = imported.bytes};
}

// What an import said, or all nodes that stand against it.
Error named_nodes(const std::string& path, Error error) {
  if (error.code() != Code::kUnsupported) return error;
  io::RealFiles files;
  const auto file = io::read_file(files, path, kMaxTextBytes);
  if (!file) return error;
  const auto first = reinterpret_cast<const std::byte*>(file->data());
  const auto nodes = onnx::unsupported_nodes({first, first + file->size()});
  if (!nodes || nodes->empty()) return error;
  std::string message = path + ": these operators are not supported:";
  for (size_t i = 0; i < std::min(nodes->size(), kNamedNodes); ++i) {
    message += "\n  " + (*nodes)[i].op + " '" + (*nodes)[i].node + "'";
  }
  if (nodes->size() > kNamedNodes) {
    message += fmt::format("\n  and {} more", nodes->size() - kNamedNodes);
  }
  return {Code::kUnsupported, message};
}

}  // namespace

Result<ModelFile> read_model_file(const std::string& path) {
  SKERRY_ASSIGN(const std::string head, head_of(path));
  if (is_text(head)) return read_text(path);
  if (head.size() >= 8 && head.substr(4, 4) == "TFL3") return read_tflite(path);
  auto imported = onnx::import_file(path);
  if (!imported) return fail(named_nodes(path, imported.error()));
  return ModelFile{.graph = std::move(imported->graph),
                   .format = "ONNX",
                   .opset = imported->opset,
                   .producer = std::move(imported->producer),
                   .bytes = imported->bytes};
}

Result<void> write_model_file(const Graph& graph, const std::string& path,
                              const onnx::ExportOptions& options) {
  if (path.ends_with(".onnx")) return onnx::export_file(graph, path, options);
  if (path.ends_with(".tflite")) return tflite::export_file(graph, path);
  if (path.ends_with(".graph")) {
    io::RealFiles files;
    return io::write_file_atomic(files, path, to_text(graph), 0644);
  }
  return fail(Code::kInvalidArgument,
              path + ": models are written as *.onnx, *.tflite, or as text into *.graph");
}

}  // namespace skerry::graph
