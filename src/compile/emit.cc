// One function for each step, the table of the ABI, and the self-check.
#include "compile/emit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
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
#include "product_u8.h"
#include "quantised.h"
#include "sparse.h"
#include "sparse_u8.h"
#include "stages.h"
#include "winograd.h"
#include "skerry/compiled_model.h"
#ifdef SKERRY_PROFILE
#include "limits.h"
#endif

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

std::string step_text(const Program& program, size_t index, const std::string& borders) {
  const Step& step = program.steps[index];
  std::string text;
  for (const std::string& node : step.nodes) text += "// " + c_string(node) + "\n";
  text += fmt::format(
      "{} step_{}(uint8_t* arena, uint8_t* state, const void* const* inputs, void* const* "
      "outputs{}) {{\n"
      "  (void)arena, (void)state, (void)inputs, (void)outputs;\n",
      step.may_fail ? "int32_t" : "void", index, step.shares > 1 ? ", uint32_t part" : "");
  if (step.shares == 1) {
    return text + borders + step.text() +
           (step.may_fail ? "  return SKERRY_COMPILED_OK;\n}\n" : "}\n");
  }
  text += "  switch (part) {\n";
  for (int64_t i = 0; i < step.shares; ++i) {
    text += fmt::format("  case {}: {{\n", i) + (i == 0 ? borders : "") +
            step.text({.number = i, .of = step.shares}) + "  } break;\n";
  }
  return text + "  }\n}\n";
}

// Of those steps that `takes` names.
std::string steps_text(const Program& program, const std::function<bool(size_t)>& takes) {
  std::string text;
  std::unordered_set<size_t> bordered;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    std::string borders;
    for (const size_t each : program.steps[i].writes) {
      const Storage& storage = program.storages[each];
      if (storage.has_padding() && !storage.same_as && bordered.insert(each).second) {
        borders += border(storage);
      }
    }
    if (takes(i)) text += "\n" + step_text(program, i, borders);
  }
  return text;
}

// All of a step, or the share `part`.
std::string call_text(const Program& program, size_t index, const std::string& part = "") {
  const Step& step = program.steps[index];
  if (step.shares > 1) {
    std::string text;
    for (int64_t i = 0; i < (part.empty() ? step.shares : 1); ++i) {
      text += fmt::format("  step_{}(arena, state, inputs, outputs, {});\n", index,
                          part.empty() ? std::to_string(i) : part);
    }
    return text;
  }
  const std::string call = fmt::format("step_{}(arena, state, inputs, outputs)", index);
  return step.may_fail ? "  if (const int32_t code = " + call + ") return code;\n"
                       : "  " + call + ";\n";
}

// run_with(), behind run(). Where threads meet lies at the end of the arena.
std::string shared_run_text(const Program& program, const std::string& checks) {
  const std::string head =
      "\nint32_t run_with(void* memory, void* kept, const void* const* inputs,\n"
      "                 void* const* outputs, const SkerryCompiledPool* pool) {\n";
  if (!program.is_shared()) {
    return head + "  (void)pool;\n  return run(memory, kept, inputs, outputs);\n}\n";
  }
  std::string parts, cases;
  const auto stages = program.stages();
  for (size_t i = 0; i < stages.size(); ++i) {
    parts += fmt::format("{}, ", program.steps[stages[i][0]].shares);
    cases += fmt::format("  case {}:\n", i);
    for (const size_t step : stages[i]) cases += "  " + call_text(program, step, "part");
    cases += "    break;\n";
  }
  return fmt::format(
             "\nconstexpr uint16_t kParts[] = {{{}}};\n"
             "int32_t work(const SharedRun& shared, uint32_t stage, uint32_t part) {{\n"
             "  uint8_t* arena = shared.arena;\n  uint8_t* state = shared.state;\n"
             "  const void* const* inputs = shared.inputs;\n"
             "  void* const* outputs = shared.outputs;\n"
             "  (void)part;\n"
             "  switch (stage) {{\n{}  }}\n  return SKERRY_COMPILED_OK;\n}}\n"
             "void join_run(void* data, uint32_t self) {{\n"
             "  SharedRun& shared = *static_cast<SharedRun*>(data);\n"
             "  take_part(shared, self, kParts, {}, [&](uint32_t stage, uint32_t part) {{\n"
             "    return work(shared, stage, part);\n  }});\n}}\n"
             "int32_t share_run(void* memory, void* kept, const void* const* inputs,\n"
             "                  void* const* outputs, const SkerryCompiledPool* pool,\n"
             "                  uint32_t threads, uint64_t* ticks) {{\n"
             "  uint8_t* arena = static_cast<uint8_t*>(memory);\n"
             "  SharedRun shared = {{arena, static_cast<uint8_t*>(kept), inputs, outputs,\n"
             "                      reinterpret_cast<Progress*>(arena + {}), SKERRY_COMPILED_OK,\n"
             "                      ticks}};\n"
             "  memset(shared.progress, 0, {} * sizeof(Progress));\n"
             "  pool->run(pool->context, threads, join_run, &shared);\n"
             "  return shared.code;\n}}\n",
             parts, cases, stages.size(), program.stages_at, program.max_threads) +
         head +
         fmt::format(
             "  uint32_t threads = pool == nullptr ? 1 : pool->threads;\n"
             "  if (threads > {0}) threads = {0};\n"
             "  if (threads < 2) return run(memory, kept, inputs, outputs);\n"
             "{1}  return share_run(memory, kept, inputs, outputs, pool, threads, nullptr);\n}}\n",
             program.max_threads, checks);
}

size_t size_of(const Value& value) {
  size_t bytes = tensor::size_of(value.type().element);
  for (const int64_t size : shape_of(value)) bytes *= static_cast<size_t>(size);
  return bytes;
}

std::string sizes_text(const Value& value) {
  std::string sizes;
  for (const int64_t size : shape_of(value)) sizes += fmt::format("{}, ", size);
  return sizes + "0";
}

std::string specs_text(const std::vector<const Value*>& values, const char* which) {
  std::string shapes, table;
  for (size_t i = 0; i < values.size(); ++i) {
    shapes +=
        fmt::format("const int64_t {}_shape_{}[] = {{{}}};\n", which, i, sizes_text(*values[i]));
    table += fmt::format("    {{sizeof(SkerryCompiledTensor), {}, {}, {}, {}_shape_{}, {}}},\n",
                         static_cast<int>(values[i]->type().element), c_string(values[i]->name()),
                         values[i]->type().rank(), which, i, size_of(*values[i]));
  }
  return fmt::format("{}const SkerryCompiledTensor {}[] = {{\n{}}};\n", shapes, which, table);
}

std::string states_text(const Program& program, const graph::Graph& graph,
                        const Interface& interface) {
  std::string shapes, table;
  for (size_t i = 0; i < interface.states.size(); ++i) {
    const Value& input = *graph.inputs()[interface.states[i].input];
    shapes += fmt::format("const int64_t states_shape_{}[] = {{{}}};\n", i, sizes_text(input));
    table += fmt::format(
        "    {{sizeof(SkerryCompiledState), {}, {}, {}, {}, states_shape_{}, {}, "
        "{}}},\n",
        static_cast<int>(input.type().element), c_string(input.name()),
        c_string(graph.outputs()[interface.states[i].output]->name()), input.type().rank(), i,
        size_of(input), program.storages[program.states[i]].offset);
  }
  return fmt::format("{}const SkerryCompiledState states[] = {{\n{}    {{}}}};\n", shapes, table);
}

// Inputs that the code is made for one value of.
std::string fixed_text(Program& program, const graph::Graph& graph, const Interface& interface) {
  std::string text;
  size_t at = 0;
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    if (interface.state_of_input(i) != nullptr) continue;
    if (const FixedInput* fixed = interface.fixed_input(i)) {
      const auto bytes = fixed->value.bytes();
      text += fmt::format(
          "  if (!same_bytes(inputs[{}], constants + {}, {})) return SKERRY_COMPILED_BAD_VALUE;\n",
          at, program.constants.add(bytes), bytes.size());
    }
    ++at;
  }
  return text;
}

// The elements that the self-check looks at.
struct Samples {
  size_t count, step;
};
Samples samples_of(size_t elements) {
  const size_t step = std::max<size_t>(1, (elements + kCheckedElements - 1) / kCheckedElements);
  return {elements == 0 ? 0 : (elements + step - 1) / step, step};
}

// Of the largest of an output. Where values are quantised as they run, one that differs in its last
// bit may become another byte.
constexpr double kTolerance = 2e-4, kDynamicTolerance = 5e-2;

// `where`: C++ text of what the run made.
std::string expected_text(Program& program, const tensor::Tensor& output, const std::string& where,
                          const Expected& expected) {
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
  const double share = expected.is_dynamic ? kDynamicTolerance : kTolerance;
  const double tolerance = output.type == DataType::kFp32 ? share * largest + 1e-6
                           : expected.is_exact            ? 0.0
                                                          : 1.0;
  return fmt::format(
      "  if (!close_to<{0}>({1}, constants + {2}, {3}, {4}, {5})) {{\n"
      "    return SKERRY_COMPILED_WRONG;\n  }}\n",
      c_type(output.type), where, program.constants.add(kept), samples.count, samples.step,
      literal(static_cast<float>(tolerance)));
}

// Inputs and outputs one after the other in the scratch memory.
class SelfCheck {
 public:
  SelfCheck(Program& program, const graph::Graph& graph, const Interface& interface)
      : program_(program), graph_(graph), interface_(interface) {}
  std::string text(const Expected* expected);
  size_t scratch_bytes() const { return scratch_bytes_; }

 private:
  std::string take(size_t bytes) {
    const size_t at = scratch_bytes_;
    scratch_bytes_ += (bytes + 63) / 64 * 64;
    return fmt::format("memory + {}", at);
  }
  std::string state(const StatePair& pair) const {
    const auto index = static_cast<size_t>(&pair - interface_.states.data());
    return fmt::format("static_cast<uint8_t*>(state) + {}",
                       program_.storages[program_.states[index]].offset);
  }
  void add_input(size_t index);

  Program& program_;
  const graph::Graph& graph_;
  const Interface& interface_;
  size_t scratch_bytes_ = 0;
  std::string fills_, inputs_, outputs_, checks_;
};

void SelfCheck::add_input(size_t index) {
  const Value& input = *graph_.inputs()[index];
  const StatePair* pair = interface_.state_of_input(index);
  const std::string at = pair != nullptr ? state(*pair) : take(size_of(input));
  if (pair == nullptr) inputs_ += at + ", ";
  if (const FixedInput* fixed = interface_.fixed_input(index)) {
    fills_ += fmt::format("  memcpy({}, constants + {}, {});\n", at,
                          program_.constants.add(fixed->value.bytes()), size_of(input));
    return;
  }
  const DataType type = input.type().element;
  fills_ +=
      fmt::format("  fill_input({}, {}, {}, {}, {});\n", at, size_of(input) / tensor::size_of(type),
                  tensor::size_of(type), fill_kind(type), index + 1);
}

std::string SelfCheck::text(const Expected* expected) {
  std::string text =
      "int32_t self_check(void* arena, void* state, void* scratch) {\n"
      "  uint8_t* memory = static_cast<uint8_t*>(scratch);\n"
      "  (void)memory, (void)arena, (void)state;\n";
  if (expected == nullptr) return text + "  return SKERRY_COMPILED_OK;\n}\n";
  for (size_t i = 0; i < graph_.inputs().size(); ++i) add_input(i);
  for (size_t i = 0; i < expected->outputs.size(); ++i) {
    const tensor::Tensor& output = expected->outputs[i];
    const StatePair* pair = interface_.state_of_output(i);
    const std::string at = pair != nullptr ? state(*pair) : take(output.bytes.size());
    if (pair == nullptr) outputs_ += at + ", ";
    checks_ += expected_text(program_, output, at, *expected);
  }
  return text + fills_ +
         fmt::format(
             "  const void* inputs[] = {{{}nullptr}};\n  void* outputs[] = {{{}nullptr}};\n",
             inputs_, outputs_) +
         "  if (const int32_t code = run(arena, state, inputs, outputs)) return code;\n" + checks_ +
         "  reset(state);\n  return SKERRY_COMPILED_OK;\n}\n";
}

// Steps one by one, and what the machine can do at most: in objects that are built to be measured
// (compile/profile.h), so that the artifact is the same with and without.
std::string profile_text(const Program& program) {
  std::string text =
      "\n#ifdef SKERRY_PROFILE\nextern \"C\" __attribute__((visibility(\"default\")))\n"
      "void skerry_profile_step(uint64_t step, void* memory, void* kept, const void* const* "
      "inputs,\n"
      "                         void* const* outputs) {\n"
      "  uint8_t* arena = static_cast<uint8_t*>(memory);\n"
      "  uint8_t* state = static_cast<uint8_t*>(kept);\n  switch (step) {\n";
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    text += fmt::format("    case {}:\n", i);
    for (int64_t part = 0; part < step.shares; ++part) {
      text += fmt::format("      step_{}(arena, state, inputs, outputs{});\n", i,
                          step.shares > 1 ? fmt::format(", {}", part) : "");
    }
    text += "      break;\n";
  }
  text += "  }\n}\n";
  if (program.is_shared()) {
    text +=
        "extern \"C\" __attribute__((visibility(\"default\")))\n"
        "void skerry_profile_stages(void* memory, void* kept, const void* const* inputs,\n"
        "                           void* const* outputs, const SkerryCompiledPool* pool,\n"
        "                           uint32_t threads, uint64_t* ticks) {\n"
        "  *ticks = ticks_now();\n"
        "  share_run(memory, kept, inputs, outputs, pool, threads, ticks + 1);\n}\n";
  }
  return text + fmt::format(
                    "extern \"C\" __attribute__((visibility(\"default\")))\n"
                    "uint64_t skerry_profile_limit(int32_t kind, const void* memory, uint64_t "
                    "bytes, uint64_t rounds) {{\n"
                    "  return skerry_kernels::work_at_the_limit<{}>(kind, memory, bytes, rounds);\n"
                    "}}\n#endif\n",
                    program.target->lanes);
}

}  // namespace

std::string emit_layers(const Program& program, const std::vector<std::vector<size_t>>& layers) {
  std::unordered_set<size_t> taken;
  for (const auto& layer : layers) taken.insert(layer.begin(), layer.end());
  std::string text = std::string(kHead) + "}\n#include \"layers.h\"\nnamespace {\n";
  text += steps_text(program, [&](size_t step) { return taken.contains(step); });
  text +=
      "\nvoid run_layer(uint32_t layer, void* memory, void* kept, const void* const* inputs,\n"
      "               void* const* outputs) {\n"
      "  uint8_t* arena = static_cast<uint8_t*>(memory);\n"
      "  uint8_t* state = static_cast<uint8_t*>(kept);\n  switch (layer) {\n";
  for (size_t i = 0; i < layers.size(); ++i) {
    text += fmt::format("    case {}:\n", i);
    for (const size_t step : layers[i]) {
      text += fmt::format("      step_{}(arena, state, inputs, outputs);\n", step);
    }
    text += "      break;\n";
  }
  text += "  }\n}\n";
  const auto sizes = [&](const char* name, const std::vector<size_t>& storages) {
    std::string list;
    for (const size_t each : storages) {
      list += fmt::format("{}, ", program.storages[each].size_bytes());
    }
    text += fmt::format("const uint64_t {}[] = {{{}0}};\n", name, list);
  };
  sizes("input_bytes", program.inputs);
  sizes("output_bytes", program.outputs);
  return text + fmt::format(
                    "}}  // namespace\n\n"
                    "extern \"C\" const SkerryLayers skerry_layers = {{\n"
                    "    {}, {}, {}, {}, {}, input_bytes, output_bytes, run_layer}};\n",
                    program.arena_bytes, program.state_bytes, program.inputs.size(),
                    program.outputs.size(), layers.size());
}

int fill_kind(DataType type) {
  if (type == DataType::kFp32) return 0;
  return type == DataType::kInt8 || type == DataType::kUint8 ? 1 : 2;
}

Emitted emit(Program& program, const graph::Graph& graph, const Interface& interface,
             const Expected* expected) {
  std::vector<const Value*> inputs, outputs;
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    if (interface.state_of_input(i) == nullptr) inputs.push_back(graph.inputs()[i].get());
  }
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    if (interface.state_of_output(i) == nullptr) outputs.push_back(graph.outputs()[i]);
  }
  std::string text = kHead;
  text += specs_text(inputs, "input_specs");
  text += specs_text(outputs, "output_specs");
  text += states_text(program, graph, interface);
  text += steps_text(program, [](size_t) { return true; });
  const std::string checks = fixed_text(program, graph, interface);
  text +=
      "\nint32_t run(void* memory, void* kept, const void* const* inputs, void* const* outputs) {\n"
      "  uint8_t* arena = static_cast<uint8_t*>(memory);\n"
      "  uint8_t* state = static_cast<uint8_t*>(kept);\n" +
      checks;
  for (size_t i = 0; i < program.steps.size(); ++i) text += call_text(program, i);
  text += "  return SKERRY_COMPILED_OK;\n}\n";
  if (program.is_shared()) {
    program.stages_at = program.arena_bytes;
    program.arena_bytes += static_cast<size_t>(program.max_threads) * tensor::kAlignment;
  }
  text += shared_run_text(program, checks) + "\n";
  text += fmt::format(
      "void bind(void* memory) {{ memset(memory, 0, {}); }}\n"
      "void reset(void* state) {{ if ({} != 0) memset(state, 0, {}); }}\n\n",
      program.arena_bytes, program.state_bytes, program.state_bytes);
  SelfCheck check(program, graph, interface);
  text += check.text(expected);
  text += fmt::format(
      "\nconst SkerryCompiledModel kModel = {{\n"
      "    sizeof(SkerryCompiledModel), SKERRY_COMPILED_ABI, {}, {}, {}, {}u, {}, {}, {}, {},\n"
      "    input_specs, output_specs, bind, reset, run, self_check, {}, {}, states,\n    {}, "
      "run_with}};\n"
      "}}  // namespace\n\n"
      "extern \"C\" __attribute__((visibility(\"default\")))\n"
      "const SkerryCompiledModel* skerry_compiled_model(void) {{ return &kModel; }}\n",
      c_string(program.name), c_string(program.target->name), "\"skerry, g++ \" __VERSION__",
      program.target->cpu_features, program.arena_bytes, program.state_bytes, inputs.size(),
      outputs.size(), check.scratch_bytes(), interface.states.size(),
      program.is_shared() ? program.max_threads : 1);
  text += profile_text(program);
  return {std::move(text), check.scratch_bytes()};
}

}  // namespace skerry::compile
