// From the file to steps in an order that works, and a run through them.
#include "pipeline/pipeline.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <new>
#include <nlohmann/json.hpp>
#include <ranges>
#include <stdexcept>

#include "base/check.h"
#include "formats/json_ptr.h"
#include "formats/limits.h"
#include "pipeline/model_step.h"
#include "pipeline/step.h"

namespace skerry::pipeline {
namespace {

using formats::Node;
using tensor::Tensor;
using tensor::TensorSpec;
using tensor::TensorView;

constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxSteps = 256;
constexpr int64_t kFormat = 1;

// A step with the numbers of the values that it takes and makes.
struct PlacedStep {
  StepPtr step;
  std::string place;  // "steps[2] (resize)", for messages
  std::vector<size_t> takes;
  std::vector<size_t> makes;
};

struct Plan {
  std::vector<TensorSpec> inputs;  // values 0, 1, …
  std::vector<TensorSpec> outputs;
  std::vector<size_t> output_values;
  std::vector<PlacedStep> steps;  // each after those that make what it takes
  size_t values = 0;
};

class PipelineModel : public runtime::Model {
 public:
  explicit PipelineModel(Plan plan) : plan_(std::move(plan)) {}

  const std::vector<TensorSpec>& inputs() const override { return plan_.inputs; }
  const std::vector<TensorSpec>& outputs() const override { return plan_.outputs; }
  bool is_bounded() const override {
    return std::ranges::all_of(plan_.steps,
                               [](const PlacedStep& each) { return each.step->is_bounded(); });
  }
  uint64_t memory_bytes() const override {
    uint64_t bytes = sizeof *this;
    for (const PlacedStep& each : plan_.steps) bytes += each.step->memory_bytes();
    return bytes;
  }

  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                  std::span<const std::string> wanted,
                                  const std::stop_token& stop) override {
    SKERRY_ASSIGN(const auto matched, tensor::match_inputs(plan_.inputs, inputs));
    SKERRY_ASSIGN(const auto selected, tensor::select_outputs(plan_.outputs, wanted));
    try {
      return compute(matched, selected, stop);
    } catch (const std::bad_alloc&) {
    } catch (const std::length_error&) {
    }
    return fail(Code::kResourceExhausted, "there is not enough memory for the pipeline");
  }

 private:
  // How many takers each value still has, outputs among them; 0: nobody wants it.
  std::vector<size_t> count_takers(std::span<const size_t> selected) const {
    std::vector<size_t> takers(plan_.values, 0);
    for (const size_t output : selected) ++takers[plan_.output_values[output]];
    for (const PlacedStep& each : std::views::reverse(plan_.steps)) {
      const bool is_wanted =
          std::ranges::any_of(each.makes, [&](size_t v) { return takers[v] > 0; });
      for (const size_t value : each.takes) takers[value] += is_wanted;
    }
    return takers;
  }

  Result<std::vector<Tensor>> compute(const std::vector<const TensorView*>& inputs,
                                      std::span<const size_t> selected,
                                      const std::stop_token& stop) const {
    std::vector<size_t> takers = count_takers(selected);
    std::vector<Value> values(plan_.values);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const TensorView& view = *inputs[i];
      values[i] = {view.type, {view.shape.begin(), view.shape.end()}, view.bytes, nullptr};
    }
    for (const PlacedStep& each : plan_.steps) {
      if (std::ranges::none_of(each.makes, [&](size_t v) { return takers[v] > 0; })) continue;
      if (stop.stop_requested()) return fail(Code::kCancelled, "the run was stopped");
      std::vector<Value> taken;
      for (const size_t value : each.takes) {
        // The last taker gets the value itself.
        taken.push_back(--takers[value] == 0 ? std::move(values[value]) : values[value]);
      }
      auto made = each.step->run(taken, stop);
      if (!made) return fail(made.error().with_context(each.place));
      SKERRY_CHECK(made->size() >= each.makes.size(), "a step makes all that its kind says");
      for (size_t i = 0; i < each.makes.size(); ++i) values[each.makes[i]] = std::move((*made)[i]);
    }
    return give(values, takers, selected);
  }

  Result<std::vector<Tensor>> give(std::vector<Value>& values, std::vector<size_t>& takers,
                                   std::span<const size_t> selected) const {
    std::vector<Tensor> results;
    for (const size_t output : selected) {
      const TensorSpec& spec = plan_.outputs[output];
      const size_t number = plan_.output_values[output];
      Value value = --takers[number] == 0 ? std::move(values[number]) : values[number];
      if (value.type != spec.type || !tensor::fits(value.shape, spec.shape)) {
        return fail(Code::kInternal,
                    fmt::format("output '{}' is {}; the pipeline's file promises {}", spec.name,
                                value.describe(), tensor::describe(spec.type, spec.shape)));
      }
      results.push_back(into_tensor(std::move(value), spec.name));
    }
    return results;
  }

  Plan plan_;
};

// --- The file ---

Result<TensorSpec> parse_spec(const Node& node) {
  TensorSpec spec;
  SKERRY_ASSIGN(const Node name, node.require("name"));
  SKERRY_ASSIGN(spec.name, name.as_string());
  SKERRY_ASSIGN(const Node datatype, node.require("datatype"));
  SKERRY_ASSIGN(const std::string text, datatype.as_string());
  const auto type = tensor::parse_data_type(text);
  if (!type) return datatype.wrong(type.error().message());
  spec.type = *type;
  SKERRY_ASSIGN(const Node shape, node.require("shape"));
  SKERRY_ASSIGN(const auto dimensions, shape.elements());
  if (dimensions.size() > formats::kMaxTensorRank) return shape.wrong("has too many dimensions");
  for (const Node& dimension : dimensions) {
    SKERRY_ASSIGN(const int64_t size, dimension.as_integer());
    if (size < -1 || size == 0) return dimension.wrong("must be 1 or more, or -1 for any size");
    spec.shape.push_back(size);
  }
  return spec;
}

Result<std::vector<TensorSpec>> parse_specs(const Node& root, std::string_view key) {
  SKERRY_ASSIGN(const Node list, root.require(key));
  SKERRY_ASSIGN(const auto elements, list.elements());
  std::vector<TensorSpec> specs;
  for (const Node& element : elements) {
    SKERRY_ASSIGN(TensorSpec spec, parse_spec(element));
    if (std::ranges::count(specs, spec.name, &TensorSpec::name) > 0) {
      return element.wrong(fmt::format("'{}' stands here twice", spec.name));
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

// "in" or "out" of a step: a name, a list of them, or (of a model) {"the model's": "ours"}.
struct Wires {
  std::vector<std::string> values;
  std::vector<std::string> theirs;  // of a model, in the same order
};

Result<Wires> parse_wires(const Node& step, std::string_view key, bool is_model) {
  Wires wires;
  SKERRY_ASSIGN(const auto found, step.find(key));
  if (!found) return wires;
  if (is_model) {
    if (!found->is_object()) {
      return found->wrong("must be an object: what the model calls it, and the value's name");
    }
    SKERRY_ASSIGN(const auto members, found->members());
    for (const auto& [name, value] : members) {
      SKERRY_ASSIGN(std::string ours, value.as_string());
      wires.theirs.push_back(name);
      wires.values.push_back(std::move(ours));
    }
    return wires;
  }
  if (found->is_string()) {
    SKERRY_ASSIGN(std::string one, found->as_string());
    wires.values.push_back(std::move(one));
    return wires;
  }
  SKERRY_ASSIGN(wires.values, found->as_string_list());
  return wires;
}

class Parser {
 public:
  Parser(const runtime::ModelSource& source, const runtime::Runtimes& runtimes,
         const runtime::LoadOptions& options)
      : source_(source), runtimes_(runtimes), options_(options) {}

  Result<Plan> parse(const Node& root) {
    SKERRY_ASSIGN(const Node format, root.require("pipeline"));
    SKERRY_ASSIGN(const int64_t number, format.as_integer());
    if (number != kFormat) return format.wrong(fmt::format("must be {}", kFormat));
    SKERRY_TRY(check_members(root));
    SKERRY_ASSIGN(plan_.inputs, parse_specs(root, "inputs"));
    SKERRY_ASSIGN(plan_.outputs, parse_specs(root, "outputs"));
    if (plan_.outputs.empty())
      return fail(Code::kInvalidArgument, "outputs: there must be one at least");
    for (const TensorSpec& input : plan_.inputs) numbers_.emplace(input.name, plan_.values++);
    SKERRY_ASSIGN(const Node list, root.require("steps"));
    SKERRY_ASSIGN(const auto steps, list.elements());
    if (steps.size() > kMaxSteps) return list.wrong(fmt::format("has more than {}", kMaxSteps));
    // First who makes what, then who takes it: the file may name steps in any order.
    for (const Node& step : steps) SKERRY_TRY(read_outline(step));
    for (Outline& outline : outlines_) SKERRY_TRY(connect(outline));
    SKERRY_TRY(find_outputs());
    SKERRY_ASSIGN(const auto order, find_order());
    for (const size_t i : order) SKERRY_TRY(make(outlines_[i]));
    return std::move(plan_);
  }

 private:
  struct Outline {
    Node node;
    std::string name;
    const StepKind* kind = nullptr;  // null: a model
    Wires in;
    Wires out;
    std::vector<size_t> takes;
    std::vector<size_t> makes;
  };

  static Result<void> check_members(const Node& root) {
    constexpr std::array<std::string_view, 5> kKnown = {"pipeline", "inputs", "outputs", "steps",
                                                        "description"};
    SKERRY_ASSIGN(const auto members, root.members());
    for (const auto& [key, member] : members) {
      if (std::ranges::count(kKnown, key) == 0) return member.wrong("is unknown here");
    }
    return {};
  }

  Result<void> read_outline(const Node& node) {
    SKERRY_ASSIGN(const Node step, node.require("step"));
    SKERRY_ASSIGN(const std::string name, step.as_string());
    const StepKind* kind = find_step_kind(name);
    const bool is_model = name == "model";
    if (kind == nullptr && !is_model) {
      std::vector<std::string_view> names = {"model"};
      for (const StepKind& each : step_kinds()) names.push_back(each.name);
      return step.wrong(
          fmt::format("'{}' is no step; there are: {}", name, fmt::join(names, ", ")));
    }
    Outline outline{.node = node, .name = name, .kind = kind};
    SKERRY_ASSIGN(outline.in, parse_wires(node, "in", is_model));
    SKERRY_ASSIGN(outline.out, parse_wires(node, "out", is_model));
    const size_t takes = outline.in.values.size();
    if (kind != nullptr && (takes < kind->min_inputs || takes > kind->max_inputs)) {
      const std::string want = kind->min_inputs == kind->max_inputs
                                   ? fmt::format("{}", kind->min_inputs)
                                   : fmt::format("{} to {}", kind->min_inputs, kind->max_inputs);
      return node.wrong(fmt::format("in: {} takes {} values, not {}", name, want, takes));
    }
    const size_t makes = outline.out.values.size();
    if (makes == 0 || (kind != nullptr && makes > kind->outputs)) {
      return node.wrong(fmt::format("out: {} makes 1 to {} values, not {}", name,
                                    kind == nullptr ? makes + 1 : kind->outputs, makes));
    }
    for (const std::string& value : outline.out.values) {
      if (!numbers_.emplace(value, plan_.values).second) {
        return node.wrong(fmt::format("out: there is a value '{}' already", value));
      }
      maker_.emplace(plan_.values, outlines_.size());
      outline.makes.push_back(plan_.values++);
    }
    outlines_.push_back(std::move(outline));
    return {};
  }

  Result<void> connect(Outline& outline) {
    for (const std::string& value : outline.in.values) {
      const auto found = numbers_.find(value);
      if (found == numbers_.end()) {
        return outline.node.wrong(fmt::format("in: nothing makes '{}'", value));
      }
      outline.takes.push_back(found->second);
    }
    return {};
  }

  Result<void> find_outputs() {
    for (const TensorSpec& output : plan_.outputs) {
      const auto found = numbers_.find(output.name);
      if (found == numbers_.end()) {
        return fail(Code::kInvalidArgument,
                    fmt::format("outputs: nothing makes '{}'", output.name));
      }
      plan_.output_values.push_back(found->second);
    }
    return {};
  }

  // Each step after those whose values it takes; otherwise as in the file.
  Result<std::vector<size_t>> find_order() const {
    std::vector<size_t> order;
    std::vector<bool> is_placed(outlines_.size(), false);
    while (order.size() < outlines_.size()) {
      const size_t before = order.size();
      for (size_t i = 0; i < outlines_.size(); ++i) {
        const bool is_ready = std::ranges::all_of(outlines_[i].takes, [&](size_t value) {
          const auto maker = maker_.find(value);
          return maker == maker_.end() || is_placed[maker->second];
        });
        if (is_placed[i] || !is_ready) continue;
        is_placed[i] = true;
        order.push_back(i);
      }
      if (order.size() > before) continue;
      const auto first = std::ranges::find(is_placed, false) - is_placed.begin();
      return outlines_[static_cast<size_t>(first)].node.wrong(
          "it waits for a value that is made of its own: the steps go in a circle");
    }
    return order;
  }

  Result<void> make(Outline& outline) {
    Settings settings(outline.node, source_, options_.max_file_bytes);
    for (const std::string_view key : {"step", "in", "out"}) settings.note(key);
    StepPtr step;
    if (outline.kind == nullptr) {
      SKERRY_ASSIGN(step,
                    ModelStep::make(settings, runtimes_, options_, std::move(outline.in.theirs),
                                    std::move(outline.out.theirs)));
    } else {
      SKERRY_ASSIGN(step, outline.kind->make(settings));
    }
    SKERRY_TRY(settings.check_all_known());
    plan_.steps.push_back({std::move(step),
                           fmt::format("{} ({})", outline.node.path(), outline.name),
                           std::move(outline.takes), std::move(outline.makes)});
    return {};
  }

  const runtime::ModelSource& source_;
  const runtime::Runtimes& runtimes_;
  const runtime::LoadOptions& options_;
  Plan plan_;
  std::vector<Outline> outlines_;
  std::map<std::string, size_t, std::less<>> numbers_;  // of values, by name
  std::map<size_t, size_t> maker_;                      // of a value: the step's outline
};

class PipelineRuntime : public runtime::Runtime {
 public:
  explicit PipelineRuntime(const runtime::Runtimes& runtimes) : runtimes_(runtimes) {}

  std::string_view name() const override { return kRuntimeName; }
  std::string version() const override { return std::to_string(kFormat); }
  runtime::Capabilities capabilities() const override {
    // What its models can do is theirs; what is said here holds for the steps around them.
    return {.thread_safe = true,
            .interruptible = true,
            .several_files = true,
            .batching = true,
            .counts_memory = true,
            .types = tensor::all_data_types()};
  }

 private:
  Result<std::unique_ptr<runtime::Model>> load_files(const runtime::ModelSource& source,
                                                     const runtime::LoadOptions& options) override {
    SKERRY_ASSIGN(const tensor::Bytes bytes,
                  source.read(source.main_file(), std::min(options.max_file_bytes, kMaxFileBytes)));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    auto document = formats::parse_json(text, {.size_bytes = kMaxFileBytes});
    if (!document || !document->is_object()) {
      return fail(Code::kCorrupt,
                  fmt::format("it is no pipeline: {}",
                              document ? "must be an object" : document.error().message()));
    }
    SKERRY_ASSIGN(Plan plan, Parser(source, runtimes_, options).parse(Node(*document, "")));
    return std::make_unique<PipelineModel>(std::move(plan));
  }

  const runtime::Runtimes& runtimes_;
};

}  // namespace

std::unique_ptr<runtime::Runtime> make_pipeline_runtime(const runtime::Runtimes& runtimes) {
  return std::make_unique<PipelineRuntime>(runtimes);
}

}  // namespace skerry::pipeline
