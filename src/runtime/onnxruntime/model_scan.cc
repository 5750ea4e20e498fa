// Walks the protobuf wire format of an ONNX model (onnx.proto) without building it: only the
// messages that can hold a tensor are entered.
#include "runtime/onnxruntime/model_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/protobuf.h"

namespace skerry::runtime {
namespace {

enum class Message {
  kModel,
  kGraph,
  kNode,
  kAttribute,
  kTensor,
  kSparseTensor,
  kFunction,
  kTraining
};

struct Child {
  Message parent;
  uint32_t field;
  Message message;
};

// onnx.proto: the path from a model to every tensor in it.
constexpr std::array<Child, 19> kChildren = {{
    {Message::kModel, 7, Message::kGraph},
    {Message::kModel, 20, Message::kTraining},
    {Message::kModel, 25, Message::kFunction},
    {Message::kGraph, 1, Message::kNode},
    {Message::kGraph, 5, Message::kTensor},
    {Message::kGraph, 15, Message::kSparseTensor},
    {Message::kNode, 5, Message::kAttribute},
    {Message::kAttribute, 5, Message::kTensor},
    {Message::kAttribute, 6, Message::kGraph},
    {Message::kAttribute, 10, Message::kTensor},
    {Message::kAttribute, 11, Message::kGraph},
    {Message::kAttribute, 22, Message::kSparseTensor},
    {Message::kAttribute, 23, Message::kSparseTensor},
    {Message::kSparseTensor, 1, Message::kTensor},
    {Message::kSparseTensor, 2, Message::kTensor},
    {Message::kFunction, 7, Message::kNode},
    {Message::kFunction, 11, Message::kAttribute},
    {Message::kTraining, 1, Message::kGraph},
    {Message::kTraining, 2, Message::kGraph},
}};

constexpr uint32_t kModelGraph = 7;
constexpr uint32_t kGraphInitializer = 5;
constexpr uint32_t kNodeOperator = 4;
constexpr uint32_t kNodeDomain = 7;
constexpr uint32_t kTensorExternalData = 13;
constexpr uint32_t kTensorDataLocation = 14;
constexpr uint64_t kLocationExternal = 1;
constexpr int kMaxMessageDepth = 100;  // protobuf's own limit

// Operators whose time or output size depends on values, not shapes alone.
constexpr std::array<std::string_view, 23> kUnbounded = {"AffineGrid",
                                                         "BlackmanWindow",
                                                         "CenterCropPad",
                                                         "Col2Im",
                                                         "ConstantOfShape",
                                                         "DFT",
                                                         "Expand",
                                                         "HammingWindow",
                                                         "HannWindow",
                                                         "ImageDecoder",
                                                         "Loop",
                                                         "MaxUnpool",
                                                         "MelWeightMatrix",
                                                         "OneHot",
                                                         "Pad",
                                                         "Range",
                                                         "Resize",
                                                         "STFT",
                                                         "Scan",
                                                         "SequenceMap",
                                                         "SplitToSequence",
                                                         "Tile",
                                                         "Upsample"};
static_assert(std::ranges::is_sorted(kUnbounded));

bool is_bounded_node(std::string_view op, std::string_view domain) {
  const bool known = domain.empty() || domain == "ai.onnx" || domain == "ai.onnx.ml";
  return known && !std::ranges::binary_search(kUnbounded, op);
}

class ProtobufScanner {
 public:
  Result<void> scan(std::string_view bytes, Message message, int depth, bool may_be_external) {
    if (depth > kMaxMessageDepth) return fail(Code::kCorrupt, "its messages are nested too deep");
    ProtobufReader reader(bytes);
    bool has_graph = false;
    std::string_view op;
    std::string_view domain;
    while (!reader.at_end()) {
      const auto field = reader.next();
      if (!field) return fail(Code::kCorrupt, "the file is damaged or no ONNX model");
      has_graph = has_graph || field->number == kModelGraph;
      if (message == Message::kNode && field->number == kNodeOperator) op = field->bytes;
      if (message == Message::kNode && field->number == kNodeDomain) domain = field->bytes;
      if (message == Message::kTensor) SKERRY_TRY(note_external(*field, may_be_external));
      if (!field->is_message) continue;
      for (const Child& child : kChildren) {
        if (child.parent != message || child.field != field->number) continue;
        const bool is_initializer =
            message == Message::kGraph && depth == 1 && child.field == kGraphInitializer;
        SKERRY_TRY(scan(field->bytes, child.message, depth + 1, is_initializer));
      }
    }
    if (message == Message::kNode && !is_bounded_node(op, domain)) result_.is_bounded = false;
    if (message == Message::kModel && !has_graph) {
      return fail(Code::kCorrupt, "the file is damaged or no ONNX model: it has no graph");
    }
    return {};
  }

  ModelScan take() {
    std::ranges::sort(result_.external_files);
    const auto repeated = std::ranges::unique(result_.external_files);
    result_.external_files.erase(repeated.begin(), repeated.end());
    return std::move(result_);
  }

 private:
  Result<void> note_external(const ProtobufField& field, bool may_be_external) {
    const bool is_external =
        field.number == kTensorExternalData ||
        (field.number == kTensorDataLocation && field.value == kLocationExternal);
    if (!is_external) return {};
    if (!may_be_external) {
      return fail(Code::kUnsupported,
                  "a tensor inside of a node or subgraph has its data in another file; save the "
                  "model with all data inside");
    }
    if (field.number != kTensorExternalData) return {};
    ProtobufReader entry(field.bytes);  // StringStringEntryProto
    std::string_view key;
    std::string_view value;
    while (!entry.at_end()) {
      const auto part = entry.next();
      if (!part) return fail(Code::kCorrupt, "the file is damaged or no ONNX model");
      if (part->number == 1) key = part->bytes;
      if (part->number == 2) value = part->bytes;
    }
    if (key == "location") result_.external_files.emplace_back(value);
    return {};
  }

  ModelScan result_;
};

}  // namespace

Result<ModelScan> scan_model(std::string_view model) {
  ProtobufScanner scanner;
  SKERRY_TRY(scanner.scan(model, Message::kModel, 0, false));
  return scanner.take();
}

}  // namespace skerry::runtime
