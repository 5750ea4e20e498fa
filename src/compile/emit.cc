// One function for each step, the table of the ABI, and the self-check.
#include "compile/emit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "compile/lowering.h"

namespace skerry::compile {
namespace {

constexpr const char* kHead = R"(// Made by skerry model compile.
#include "check.h"
#include "conv.h"
#include "conv_u8.h"
#include "depthwise.h"
#include "depthwise_u8.h"
#include "image.h"
#include "math.h"
#include "pool.h"
#include "pool_u8.h"
#include "quantised.h"
#include "winograd.h"
#include "skerry/compiled_model.h"

asm(".pushsection .rodata.skerry,\"a\",%progbits\n"
    ".balign 64\n"
    ".hidden skerry_constants\n"
    "skerry_constants: .incbin \"constants.bin\"\n"
    ".balign 64\n"
    ".popsection\n");
extern "C" __attribute__((visibility("hidden"))) const uint8_t skerry_constants[];

namespace {
using namespace skerry_kernels;
const uint8_t* const constants = skerry_constants;
)";

std::string c_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e || c == '"' || c == '\\' || c == '?') {
      result += fmt::format("\\{:03o}", byte);
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string border(const Storage& storage) {
  const auto at = [&](int64_t pixels) { return pixels * storage.dims[3]; };
  return fmt::format(
      "  constexpr BorderShape kBorder = {{.n = {}, .h = {}, .batch = {}, .row = {}, .before = "
      "{},\n"
      "      .inside = {}, .after = {}, .above = {}, .below = {}}};\n"
      "  fill_border<kBorder, {}>(reinterpret_cast<{}*>(arena + {}) + {}, {});\n",
      storage.dims[0], storage.dims[1], storage.stride(0), storage.stride(1), at(storage.before[2]),
      at(storage.dims[2]), at(storage.after[2]), storage.before[1], storage.after[1],
      c_type(storage.type), c_type(storage.type), storage.offset, storage.origin(),
      storage.padding_value);
}

std::string steps_text(const Program& program) {
  std::string text;
  std::unordered_set<size_t> bordered;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    text += "\n";
    for (const std::string& node : step.nodes) text += "// " + c_string(node) + "\n";
    text += fmt::format(
        "{} step_{}(uint8_t* arena, const void* const* inputs, void* const* outputs) {{\n"
        "  (void)arena, (void)inputs, (void)outputs;\n",
        step.may_fail ? "int32_t" : "void", i);
    for (const size_t each : step.writes) {
      const Storage& storage = program.storages[each];
      if (storage.has_padding() && !storage.same_as && bordered.insert(each).second) {
        text += border(storage);
      }
    }
    text += step.call() + (step.may_fail ? "  return SKERRY_COMPILED_OK;\n}\n" : "}\n");
  }
  return text;
}

std::string specs_text(const std::vector<const Value*>& values, const char* which) {
  std::string shapes, table;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto shape = shape_of(*values[i]);
    std::string sizes;
    int64_t bytes = static_cast<int64_t>(tensor::size_of(values[i]->type().element));
    for (const int64_t size : shape) {
      sizes += fmt::format("{}, ", size);
      bytes *= size;
    }
    shapes += fmt::format("const int64_t {}_shape_{}[] = {{{}0}};\n", which, i, sizes);
    table += fmt::format("    {{sizeof(SkerryCompiledTensor), {}, {}, {}, {}_shape_{}, {}}},\n",
                         static_cast<int>(values[i]->type().element), c_string(values[i]->name()),
                         shape.size(), which, i, bytes);
  }
  return fmt::format("{}const SkerryCompiledTensor {}[] = {{\n{}}};\n", shapes, which, table);
}

// The elements that the self-check looks at.
struct Samples {
  size_t count, step;
};
Samples samples_of(size_t elements) {
  const size_t step = std::max<size_t>(1, (elements + kCheckedElements - 1) / kCheckedElements);
  return {elements == 0 ? 0 : (elements + step - 1) / step, step};
}

std::string expected_text(Program& program, const tensor::Tensor& output, size_t index,
                          bool is_exact) {
  const size_t size = tensor::size_of(output.type);
  const size_t elements = output.bytes.size() / size;
  const Samples samples = samples_of(elements);
  tensor::Bytes kept;
  double largest = 0;
  for (size_t i = 0; i < samples.count; ++i) {
    const auto* from = output.bytes.data() + i * samples.step * size;
    kept.insert(kept.end(), from, from + size);
  }
  if (output.type == DataType::kFp32) {
    for (size_t i = 0; i < elements; ++i) {
      float value;
      std::memcpy(&value, output.bytes.data() + i * size, sizeof value);
      if (std::isfinite(value)) largest = std::max(largest, std::abs(static_cast<double>(value)));
    }
  }
  const double tolerance = output.type == DataType::kFp32 ? 2e-4 * largest + 1e-6
                           : is_exact                     ? 0.0
                                                          : 1.0;
  return fmt::format(
      "  if (!close_to<{0}>(outputs[{1}], constants + {2}, {3}, {4}, {5})) {{\n"
      "    return SKERRY_COMPILED_WRONG;\n  }}\n",
      c_type(output.type), index, program.constants.add(kept), samples.count, samples.step,
      literal(static_cast<float>(tolerance)));
}

// Inputs and outputs one after the other in the scratch memory.
std::string check_text(Program& program, const graph::Graph& graph, const Expected* expected,
                       size_t& scratch_bytes) {
  std::string text =
      "int32_t self_check(void* arena, void* state, void* scratch) {\n"
      "  uint8_t* memory = static_cast<uint8_t*>(scratch);\n"
      "  (void)memory, (void)arena, (void)state;\n";
  if (expected == nullptr) return text + "  return SKERRY_COMPILED_OK;\n}\n";
  std::string inputs, outputs, fills, checks;
  const auto take = [&](size_t bytes) {
    const size_t at = scratch_bytes;
    scratch_bytes += (bytes + 63) / 64 * 64;
    return fmt::format("memory + {}, ", at);
  };
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const DataType type = graph.inputs()[i]->type().element;
    size_t count = 1;
    for (const int64_t size : shape_of(*graph.inputs()[i])) count *= static_cast<size_t>(size);
    const std::string at = take(count * tensor::size_of(type));
    inputs += at;
    fills += fmt::format("  fill_input({}{}, {}, {}, {});\n", at, count, tensor::size_of(type),
                         fill_kind(type), i + 1);
  }
  for (size_t i = 0; i < expected->outputs.size(); ++i) {
    outputs += take(expected->outputs[i].bytes.size());
    checks += expected_text(program, expected->outputs[i], i, expected->is_exact);
  }
  return text + fills +
         fmt::format(
             "  const void* inputs[] = {{{}nullptr}};\n  void* outputs[] = {{{}nullptr}};\n",
             inputs, outputs) +
         "  if (const int32_t code = run(arena, state, inputs, outputs)) return code;\n" + checks +
         "  return SKERRY_COMPILED_OK;\n}\n";
}

}  // namespace

int fill_kind(DataType type) {
  if (type == DataType::kFp32) return 0;
  return type == DataType::kInt8 || type == DataType::kUint8 ? 1 : 2;
}

std::string emit(Program& program, const graph::Graph& graph, const Expected* expected) {
  std::vector<const Value*> inputs;
  for (const auto& input : graph.inputs()) inputs.push_back(input.get());
  std::string text = kHead;
  text += specs_text(inputs, "input_specs");
  text += specs_text({graph.outputs().begin(), graph.outputs().end()}, "output_specs");
  text += steps_text(program);
  text +=
      "\nint32_t run(void* memory, void*, const void* const* inputs, void* const* outputs) {\n"
      "  uint8_t* arena = static_cast<uint8_t*>(memory);\n";
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const std::string call = fmt::format("step_{}(arena, inputs, outputs)", i);
    text += program.steps[i].may_fail ? "  if (const int32_t code = " + call + ") return code;\n"
                                      : "  " + call + ";\n";
  }
  text += "  return SKERRY_COMPILED_OK;\n}\n\n";
  size_t scratch_bytes = 0;
  text += check_text(program, graph, expected, scratch_bytes);
  text += fmt::format(
      "\nvoid bind(void* memory) {{ memset(memory, 0, {0}); }}\nvoid reset(void*) {{}}\n\n"
      "const SkerryCompiledModel kModel = {{\n"
      "    sizeof(SkerryCompiledModel), SKERRY_COMPILED_ABI, {1}, {2}, {3}, {4}u, {0}, 0, {5}, "
      "{6},\n"
      "    input_specs, output_specs, bind, reset, run, self_check, {7}}};\n"
      "}}  // namespace\n\n"
      "extern \"C\" __attribute__((visibility(\"default\")))\n"
      "const SkerryCompiledModel* skerry_compiled_model(void) {{ return &kModel; }}\n",
      program.arena_bytes, c_string(program.name), c_string(program.target->name),
      "\"skerry, g++ \" __VERSION__", program.target->cpu_features, inputs.size(),
      graph.outputs().size(), scratch_bytes);
  return text;
}

}  // namespace skerry::compile
