// The graph, parameters and metadata in the formats of TVM's graph executor as DLR reads them.
#include "compile/dlr.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compile/lowering.h"

namespace skerry::compile {
namespace {

using nlohmann::json;

// Without parameters: magic, reserved, and two empty lists.
constexpr uint64_t kParametersMagic = 0xF7E58D4F05049CB7;

std::string little_endian(std::initializer_list<uint64_t> numbers) {
  std::string bytes;
  for (const uint64_t number : numbers) {
    for (size_t i = 0; i < sizeof number; ++i)
      bytes.push_back(static_cast<char>(number >> (8 * i)));
  }
  return bytes;
}

// As TVM calls it: "float32".
std::string type_name(DataType type) {
  if (type == DataType::kBool) return "uint8";
  const std::string_view c = c_type(type);
  return c == "float" ? "float32" : std::string(c.substr(0, c.size() - 2));
}

json tensor_json(const Value& value) {
  return {{"name", value.name()},
          {"dtype", type_name(value.type().element)},
          {"shape", shape_of(value)}};
}

json graph_json(const std::vector<const Value*>& inputs, const std::vector<const Value*>& outputs) {
  // libdlr tells the shapes of inputs right only where they are sorted by name.
  std::vector<const Value*> sorted = inputs;
  std::ranges::sort(sorted, {}, [](const Value* value) { return value->name(); });
  json nodes = json::array(), arguments = json::array(), heads = json::array();
  json from = json::array(), types = json::array(), shapes = json::array(),
       storages = json::array(), rows = json::array();
  const auto add_entry = [&](const Value& value) {
    storages.push_back(storages.size());
    types.push_back(type_name(value.type().element));
    shapes.push_back(shape_of(value));
  };
  for (const Value* value : sorted) {
    rows.push_back(nodes.size());
    arguments.push_back(nodes.size());
    nodes.push_back({{"op", "null"}, {"name", value->name()}, {"inputs", json::array()}});
    add_entry(*value);
  }
  for (const Value* value : inputs) {
    from.push_back({std::ranges::find(sorted, value) - sorted.begin(), 0, 0});
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    heads.push_back({nodes.size(), i, 0});
    add_entry(*outputs[i]);
  }
  rows.push_back(nodes.size());
  rows.push_back(nodes.size() + outputs.size());
  nodes.push_back({{"op", "tvm_op"},
                   {"name", "model"},
                   {"attrs",
                    {{"func_name", kDlrExports[0]},
                     {"num_inputs", std::to_string(inputs.size())},
                     {"num_outputs", std::to_string(outputs.size())},
                     {"flatten_data", "0"}}},
                   {"inputs", from}});
  return {{"nodes", nodes},
          {"arg_nodes", arguments},
          {"node_row_ptr", rows},
          {"heads", heads},
          {"attrs",
           {{"dltype", {"list_str", types}},
            {"storage_id", {"list_int", storages}},
            {"shape", {"list_shape", shapes}}}}};
}

// {0}: bytes of the arena; {1}: inputs and outputs.
constexpr const char* kCode = R"(// Made by skerry model compile: what libdlr calls.
#include <stdint.h>

#include "cpu_features.h"
#include "skerry/compiled_model.h"

namespace {{

// DLTensor of DLPack, and TVMValue.
struct Tensor {{
  uint8_t* data;
  int32_t device_type, device_id;
  int32_t rank;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
}};
union Value {{
  int64_t number;
  const Tensor* tensor;
}};

constexpr uint64_t kArenaBytes = {0};
alignas(64) thread_local uint8_t arena[kArenaBytes];
thread_local const SkerryCompiledModel* bound = nullptr;

}}  // namespace

extern "C" {{

#define SKERRY_EXPORT __attribute__((visibility("default")))

// libdlr fills it in.
SKERRY_EXPORT void (*__TVMAPISetLastError)(const char*) = nullptr;

static int failed(const char* why) {{
  if (__TVMAPISetLastError != nullptr) __TVMAPISetLastError(why);
  return -1;
}}

// Inputs, then outputs.
SKERRY_EXPORT int skerry_dlr_run(const Value* values, const int*, int count, Value*, int*, void*) {{
  if (bound == nullptr) {{
    const SkerryCompiledModel* model = skerry_compiled_model();
    if (model == nullptr || (model->cpu_features & ~skerry_processor::features()) != 0) {{
      return failed("the model is compiled for another processor than this one");
    }}
    if (model->arena_bytes > kArenaBytes) return failed("the model's memory is too small");
    model->bind(arena);
    bound = model;
  }}
  const uint32_t inputs = bound->input_count, outputs = bound->output_count;
  if (count < 0 || static_cast<uint32_t>(count) != inputs + outputs) {{
    return failed("the model has another number of inputs and outputs");
  }}
  const void* from[{1}];
  void* to[{1}];
  for (uint32_t i = 0; i < inputs + outputs; ++i) {{
    uint8_t* const data = values[i].tensor->data + values[i].tensor->byte_offset;
    if (i < inputs) {{
      from[i] = data;
    }} else {{
      to[i - inputs] = data;
    }}
  }}
  if (bound->run(arena, nullptr, from, to) == SKERRY_COMPILED_OK) return 0;
  return failed("an index among the inputs is out of range");
}}

}}
)";

}  // namespace

DlrFiles dlr_files(const graph::Graph& graph) {
  std::vector<const Value*> inputs;
  for (const auto& input : graph.inputs()) inputs.push_back(input.get());
  const std::vector<const Value*> outputs(graph.outputs().begin(), graph.outputs().end());
  json described = {{"Inputs", json::array()}, {"Outputs", json::array()}};
  for (const Value* value : inputs) described["Inputs"].push_back(tensor_json(*value));
  for (const Value* value : outputs) described["Outputs"].push_back(tensor_json(*value));
  const json meta = {{"Requirements", {{"TargetDeviceType", "cpu"}}}, {"Model", described}};
  return {{"compiled_model.json", graph_json(inputs, outputs).dump(1)},
          {"compiled.params", little_endian({kParametersMagic, 0, 0, 0})},
          {"compiled.meta", meta.dump(1)}};
}

std::string dlr_code(size_t arena_bytes, size_t tensors) {
  return fmt::format(fmt::runtime(kCode), std::max<size_t>(arena_bytes, 64),
                     std::max<size_t>(tensors, 1));
}

}  // namespace skerry::compile
