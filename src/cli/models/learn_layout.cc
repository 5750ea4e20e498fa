// A walk through the file's initialisers, beside the graph that was read from it.
#include "cli/models/learn_layout.h"

#include <map>

#include "base/protobuf.h"
#include "train/step.h"

namespace skerry::cli {
namespace {

// Fields of onnx.proto.
constexpr uint32_t kGraph = 7;
constexpr uint32_t kInitialiser = 5;
constexpr uint32_t kDataType = 2, kFloatData = 4, kName = 8, kRawData = 9;
constexpr uint64_t kFloat = 1;

struct Stored {
  std::string_view name, floats;
  uint64_t type = 0;
};

Stored read_tensor(std::string_view bytes) {
  Stored stored;
  ProtobufReader reader(bytes);
  while (!reader.at_end()) {
    const auto field = reader.next();
    if (!field) return {};
    if (field->number == kDataType) stored.type = field->value;
    if (field->number == kName && field->is_message) stored.name = field->bytes;
    const bool has_numbers = field->number == kRawData || field->number == kFloatData;
    // Twice would be two pieces.
    if (has_numbers && field->is_message) {
      stored.floats = stored.floats.empty() ? field->bytes : std::string_view();
    }
  }
  return stored;
}

// Messages with this number in `bytes`.
template <class Each>
void for_each(std::string_view bytes, uint32_t number, Each each) {
  ProtobufReader reader(bytes);
  while (!reader.at_end()) {
    const auto field = reader.next();
    if (!field) return;
    if (field->number == number && field->is_message) each(field->bytes);
  }
}

}  // namespace

Result<federated::Layout> layout_of(std::string_view file, const graph::Graph& model) {
  SKERRY_ASSIGN(const train::Step step, train::make_step(model, {}));
  std::map<std::string_view, std::string_view> floats;  // by name
  for_each(file, kGraph, [&](std::string_view graph) {
    for_each(graph, kInitialiser, [&](std::string_view tensor) {
      const Stored stored = read_tensor(tensor);
      if (stored.type == kFloat) floats[stored.name] = stored.floats;
    });
  });
  federated::Layout layout;
  for (const auto* learned : {&step.parameters, &step.statistics}) {
    for (const train::Carried& one : *learned) {
      uint64_t count = 1;
      for (const int64_t size : one.shape) count *= static_cast<uint64_t>(size);
      const auto found = floats.find(one.input);
      if (found == floats.end() || found->second.size() != count * sizeof(float)) {
        return fail(Code::kUnsupported, "the file does not have the parameter " + one.input +
                                            " as floats in one place: write it anew with skerry "
                                            "model convert, and publish that");
      }
      layout.push_back({static_cast<uint64_t>(found->second.data() - file.data()), count});
    }
  }
  return layout;
}

}  // namespace skerry::cli
