// The way from a graph to an artifact, step by step.
#include "compile/compiler.h"

#include <fmt/format.h>
#include <skerry/compiled_model.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "compile/dlr.h"
#include "compile/emit.h"
#include "compile/integer_form.h"
#include "compile/kernels/check.h"
#include "compile/lower.h"
#include "compile/plain_form.h"
#include "compile/plan.h"
#include "compile/real_form.h"
#include "compile/sharing.h"
#include "compile/toolchain.h"
#include "graph/evaluation.h"
#include "graph/executor.h"
#include "graph/statistics.h"
#include "graph/verify.h"
#include "optimise/pass.h"
#include "runtime/compiled/artifact.h"
#include "runtime/compiled/compiled_runtime.h"

namespace skerry::compile {
namespace {

// Above this the reference executor takes too long for a check on every compilation.
constexpr int64_t kMaxCheckedMacs = 200'000'000;

// Those that the self-check makes up.
Result<std::vector<tensor::Tensor>> inputs_of(const Prepared& prepared) {
  std::vector<tensor::Tensor> inputs;
  for (const auto& input : prepared.graph->inputs()) {
    if (const FixedInput* fixed = prepared.interface.fixed_input(inputs.size())) {
      inputs.push_back(graph::Array::from(fixed->value.view()).to_tensor(input->name()));
      continue;
    }
    const auto shape = *graph::sizes_of(input->type());
    SKERRY_ASSIGN(const graph::Array zeros,
                  graph::Array::make(input->type().element, shape, uint64_t{1} << 32));
    tensor::Tensor tensor = zeros.to_tensor(input->name());
    skerry_kernels::fill_input(tensor.bytes.data(), zeros.count(), tensor::size_of(tensor.type),
                               fill_kind(tensor.type), static_cast<uint32_t>(inputs.size() + 1));
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

Result<std::vector<tensor::Tensor>> expected_of(const Prepared& prepared) {
  SKERRY_ASSIGN(const std::vector<tensor::Tensor> inputs, inputs_of(prepared));
  graph::Executor executor(*prepared.graph);
  return executor.run(tensor::views_of(inputs));
}

// What the last step is held against: its products' type is that of what it reads.
StepReport report_of(const Program& program, const Step& step) {
  StepReport report{.kernel = step.kernel,
                    .nodes = step.nodes,
                    .macs = step.macs,
                    .is_reference = step.is_reference,
                    .constant_bytes = step.constant_bytes,
                    .value_bytes = program.value_bytes(step)};
  report.is_bytes = step.macs > 0 && !step.reads.empty() &&
                    tensor::size_of(program.storages[step.reads[0]].type) == 1;
  report.shares = step.shares;
  report.instructions = program.target->instructions(report.is_bytes);
  return report;
}

// Whether a dynamic quantisation comes after a step whose results may differ in their last bits.
bool quantises_what_it_computes(const Program& program) {
  bool is_exact = true;
  for (const Step& step : program.steps) {
    if (!is_exact && step.kernel == kQuantiseDynamic) return true;
    is_exact = is_exact && step.is_exact;
  }
  return false;
}

Result<void> check_tunings(const CompileOptions& options) {
  for (const Tuning& tuning : options.tunings) {
    const auto is_its = [&](const auto& each) { return each.target == tuning.target; };
    if (std::ranges::count_if(options.tunings, is_its) > 1) {
      return fail(Code::kInvalidArgument, "there are two tunings for " + tuning.target);
    }
    std::string names;
    for (const Target* target : options.targets) {
      names.append(names.empty() ? "" : ", ").append(target->name);
    }
    if (std::ranges::count(options.targets, tuning.target, &Target::name) > 0) continue;
    return fail(Code::kInvalidArgument,
                fmt::format("the tuning is for {}, and the model for {}", tuning.target, names));
  }
  return {};
}

Result<void> check_targets(const std::vector<const Target*>& targets) {
  SKERRY_CHECK(!targets.empty(), "a model is compiled for some target");
  for (const Target* target : targets) {
    if (target->compiler != targets[0]->compiler) {
      return fail(Code::kInvalidArgument,
                  fmt::format("{} and {} are for different machines: compile one model for each",
                              targets[0]->name, target->name));
    }
    if (std::ranges::count(targets, target) > 1) {
      return fail(Code::kInvalidArgument, fmt::format("{} is named twice", target->name));
    }
  }
  return {};
}

// Several targets in one object: the best that runs, of which the later ones are the better.
std::string chooser_code(const std::vector<const Target*>& targets) {
  std::string declarations, choices;
  for (const Target* target : targets) {
    const std::string call = fmt::format("skerry_compiled_model_{}()", target->number());
    declarations +=
        fmt::format("extern \"C\" const SkerryCompiledModel* skerry_compiled_model_{}(void);\n",
                    target->number());
    choices =
        fmt::format("  if (({}u & ~here) == 0) return {};\n", target->cpu_features, call) + choices;
  }
  return "#include \"cpu_features.h\"\n" + declarations +
         "extern \"C\" __attribute__((visibility(\"default\")))\n"
         "const SkerryCompiledModel* skerry_compiled_model(void) {\n"
         "  const uint64_t here = skerry_processor::features();\n" +
         choices + "  return nullptr;\n}\n";
}

// Sizes as constants, for memory that is there before the program starts.
std::string static_header(const CompileReport& report) {
  return fmt::format(
      "/* Made by skerry model compile, to go with libmodel.a. */\n"
      "#pragma once\n"
      "#include <skerry/compiled_model.h>\n\n"
      "enum {{\n"
      "  MODEL_ARENA_BYTES = {},\n"
      "  MODEL_STATE_BYTES = {},\n"
      "  MODEL_SCRATCH_BYTES = {} /* of self_check() */\n"
      "}};\n",
      report.arena_bytes, report.state_bytes, report.scratch_bytes);
}

class Build {
 public:
  Build(const Prepared& prepared, const CompileOptions& options, Workshop& place)
      : prepared_(prepared), graph_(*prepared.graph), options_(options), place_(place) {
    std::ranges::sort(options_.targets, {}, &Target::number);  // the better ones later
  }
  Result<Compiled> run();

 private:
  bool is_alone() const { return options_.targets.size() == 1; }
  Result<void> add(const Target& target);
  Result<std::unique_ptr<Program>> lowered(const Target& target, int max_threads);
  Result<std::unique_ptr<Program>> shared(const Target& target);
  Result<std::string> add_object(Program& program);
  Result<void> judge_sharing(Program& program, const std::string& object, bool& is_worth_it);
  void report_on(const Program& program);
  Result<void> measure(const Program& program);
  Result<runtime::CompiledLibrary> measurable(const Program& program);
  Result<std::vector<const void*>> given_inputs();
  Result<std::string> artifact(const std::vector<std::string>& objects,
                               const std::vector<const Target*>& targets);
  Result<std::string> checked(const std::vector<std::string>& objects, const Target& target);

  const Prepared& prepared_;
  const graph::Graph& graph_;
  CompileOptions options_;
  Workshop& place_;
  std::optional<std::vector<tensor::Tensor>> expected_;
  std::vector<tensor::Tensor> inputs_;  // that the self-check makes up, once asked for
  std::vector<std::string> objects_;
  CompileReport report_;
};

Result<Compiled> Build::run() {
  if (options_.check && graph::statistics_of(graph_).macs <= kMaxCheckedMacs) {
    SKERRY_ASSIGN(expected_, expected_of(prepared_));
  }
  const auto start = std::chrono::steady_clock::now();
  for (const Target* target : options_.targets) SKERRY_TRY(add(*target));
  const Target& first = *options_.targets[0];
  if (!is_alone()) {
    SKERRY_ASSIGN(objects_.emplace_back(),
                  place_.compile_glue(first, "choose", chooser_code(options_.targets)));
  }
  if (options_.for_dlr) {
    SKERRY_ASSIGN(objects_.emplace_back(),
                  place_.compile_glue(first, "dlr",
                                      dlr_code(report_.arena_bytes,
                                               graph_.inputs().size() + graph_.outputs().size())));
  }
  if (options_.is_freestanding) {
    SKERRY_ASSIGN(objects_.emplace_back(), place_.make_freestanding(first, objects_));
  }
  Compiled result;
  if (options_.is_static) {
    SKERRY_ASSIGN(result.artifact, place_.archive(first, objects_));
    result.header = static_header(report_);
  } else {
    SKERRY_ASSIGN(result.artifact, artifact(objects_, options_.targets));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  report_.compiler_seconds = took.count();
  report_.artifact_bytes = result.artifact.size();
  result.report = std::move(report_);
  return result;
}

bool runs_here(const Target& target) {
  return (target.cpu_features & ~runtime::cpu_features_here()) == 0;
}

Result<std::unique_ptr<Program>> Build::lowered(const Target& target, int max_threads) {
  const auto tuning =
      std::ranges::find(options_.tunings, std::string(target.name), &Tuning::target);
  const WaysByLayer ways = tuning == options_.tunings.end() ? WaysByLayer{} : tuning->ways();
  SKERRY_ASSIGN(
      auto program,
      lower(graph_, prepared_.interface, target,
            {.may_be_sparse = options_.may_be_sparse, .max_threads = max_threads, .ways = &ways}));
  SKERRY_TRY(plan(*program, options_.max_arena_bytes));
  return program;
}

// With the steps shared that seem to be worth it; one for a single thread where none is.
Result<std::unique_ptr<Program>> Build::shared(const Target& target) {
  SKERRY_ASSIGN(auto program, lowered(target, options_.max_threads));
  if (options_.max_threads == 1) return program;
  if (options_.shares_all) {
    share_all(*program);
  } else {
    share_by_estimate(*program, runs_here(target));
    if (program->is_shared() && runs_here(target)) {
      SKERRY_ASSIGN(const auto library, measurable(*program));
      SKERRY_ASSIGN(const auto inputs, given_inputs());
      SKERRY_TRY(keep_what_pays(*program, library, inputs));
    }
  }
  if (program->is_shared()) return program;
  report_.sharing = "no step is worth a second thread";
  return lowered(target, 1);
}

Result<std::vector<const void*>> Build::given_inputs() {
  if (inputs_.empty()) {
    SKERRY_ASSIGN(inputs_, inputs_of(prepared_));
  }
  std::vector<const void*> given;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (prepared_.interface.state_of_input(i) == nullptr) given.push_back(inputs_[i].bytes.data());
  }
  return given;
}

// The program as an object.
Result<std::string> Build::add_object(Program& program) {
  std::optional<Expected> expected;
  if (expected_) {
    expected = Expected{*expected_, std::ranges::all_of(program.steps, &Step::is_exact),
                        quantises_what_it_computes(program)};
  }
  const auto [code, scratch_bytes] =
      emit(program, graph_, prepared_.interface, expected ? &*expected : nullptr);
  const auto& constants = program.constants.bytes();
  report_.scratch_bytes = std::max(report_.scratch_bytes, scratch_bytes);
  return place_.compile(
      {.target = program.target,
       .code = code,
       .constants = {reinterpret_cast<const char*>(constants.data()), constants.size()},
       .folder = is_alone() ? "" : std::string(program.target->name),
       .suffix = is_alone() ? "" : fmt::format("_{}", program.target->number())},
      options_.flags);
}

// All of it, with threads and without: what each step gains says little of what they disturb.
Result<void> Build::judge_sharing(Program& program, const std::string& object, bool& is_worth_it) {
  const auto steps =
      std::ranges::count_if(program.steps, [](const Step& s) { return s.shares > 1; });
  report_.sharing = fmt::format("{} of {} steps are shared by up to {} threads", steps,
                                program.steps.size(), program.max_threads);
  is_worth_it = true;
  if (options_.shares_all || !runs_here(*program.target)) return {};
  std::vector<std::string> objects = {object};
  if (!is_alone()) {
    SKERRY_ASSIGN(objects.emplace_back(),
                  place_.compile_glue(*program.target, "alone", chooser_code({program.target})));
  }
  SKERRY_ASSIGN(const std::string artifact, this->artifact(objects, {program.target}));
  SKERRY_ASSIGN(const auto memory, runtime::MemoryFile::copy_of(artifact));
  SKERRY_ASSIGN(const auto library, runtime::CompiledLibrary::load(memory));
  SKERRY_ASSIGN(const auto inputs, given_inputs());
  const auto starts = run_times(library.model(), inputs);
  is_worth_it = threads_pay(starts);
  const auto least = [&](double TurnTimes::* us) { return std::ranges::min(starts, {}, us).*us; };
  const std::string measured =
      fmt::format("{:.1f} µs with one thread, {:.1f} with {} (half of the runs {:.1f} and {:.1f})",
                  least(&TurnTimes::alone_us), least(&TurnTimes::shared_us), program.max_threads,
                  least(&TurnTimes::alone_median_us), least(&TurnTimes::shared_median_us));
  report_.sharing =
      is_worth_it ? report_.sharing + ": " + measured : "a second thread does not pay: " + measured;
  return {};
}

void Build::report_on(const Program& program) {
  report_.steps.clear();
  for (const Step& step : program.steps) {
    report_.steps.push_back(report_of(program, step));
    report_.weight_bytes += static_cast<size_t>(step.constant_bytes);
  }
  size_t tuned = 0;
  for (const Choice& choice : program.choices) {
    tuned += choice.is_tuned ? 1 : 0;
    if (choice.ways.size() < 2 || choice.end_step == choice.first_step) continue;
    StepReport& step = report_.steps[choice.end_step - 1];  // those before bring its inputs
    step.way = choice.ways[choice.chosen].text();
    step.is_tuned = choice.is_tuned;
  }
  const auto tuning =
      std::ranges::find(options_.tunings, std::string(program.target->name), &Tuning::target);
  if (tuning != options_.tunings.end()) {
    report_.tuning += fmt::format(
        "{}{}: {} of {} layers as measured on {}{}", report_.tuning.empty() ? "" : "; ",
        tuning->target, tuned, program.choices.size(), tuning->machine,
        tuning->kernels == kernels_version() ? "" : " with other kernels than these: tune again");
  }
  for (const Storage& storage : program.storages) {
    if (storage.place != Place::kConstant) continue;
    report_.weight_bytes += static_cast<size_t>(storage.size_bytes());
  }
  report_.arena_bytes = std::max(report_.arena_bytes, program.arena_bytes);
  report_.state_bytes = program.state_bytes;
  report_.arena_lower_bound = std::max(report_.arena_lower_bound, program.arena_lower_bound);
  report_.constant_bytes += program.constants.bytes().size();
}

// One more target: its object, looked at alone.
Result<void> Build::add(const Target& target) {
  SKERRY_ASSIGN(auto program, shared(target));
  SKERRY_ASSIGN(std::string object, add_object(*program));
  if (program->is_shared()) {
    bool is_worth_it = true;
    SKERRY_TRY(judge_sharing(*program, object, is_worth_it));
    if (!is_worth_it) {
      SKERRY_ASSIGN(program, lowered(target, 1));
      SKERRY_ASSIGN(object, add_object(*program));
    }
  }
  objects_.push_back(object);
  SKERRY_ASSIGN(const ObjectSizes sizes, place_.sizes_of(object));
  report_.sizes += sizes;
  report_on(*program);
  if (options_.profile && &target == options_.targets.back()) SKERRY_TRY(measure(*program));
  if (!expected_) return {};
  std::vector<std::string> objects = {object};
  if (!is_alone()) {
    SKERRY_ASSIGN(objects.emplace_back(),
                  place_.compile_glue(target, "alone", chooser_code({&target})));
  }
  SKERRY_ASSIGN(const std::string checked, this->checked(objects, target));
  if (report_.checked.empty()) {
    report_.checked = checked;
  } else if (report_.checked != checked) {
    report_.checked += fmt::format("; {}: {}", target.name, checked);
  }
  return {};
}

// An object of its own with what measuring asks for, so that the artifact is the same with and
// without.
Result<runtime::CompiledLibrary> Build::measurable(const Program& program) {
  Program copy = program;  // which gets what the code around the steps wants
  const std::string code = emit(copy, graph_, prepared_.interface, nullptr).code;
  const auto& constants = copy.constants.bytes();
  std::vector<std::string> flags = options_.flags;
  flags.emplace_back("-DSKERRY_PROFILE");
  const Target& target = *program.target;
  SKERRY_ASSIGN(const std::string object,
                place_.compile({.target = &target,
                                .code = code,
                                .constants = {reinterpret_cast<const char*>(constants.data()),
                                              constants.size()},
                                .folder = "profile",
                                .suffix = ""},
                               flags));
  SKERRY_ASSIGN(const std::string linked,
                place_.link(target, {object},
                            {"skerry_compiled_model", "skerry_profile_step",
                             "skerry_profile_stages", "skerry_profile_limit"},
                            options_.flags));
  SKERRY_ASSIGN(const auto memory, runtime::MemoryFile::copy_of(
                                       linked + runtime::artifact_trailer(
                                                    linked, {.abi_version = SKERRY_COMPILED_ABI,
                                                             .cpu_features = target.cpu_features,
                                                             .target = std::string(target.name)})));
  return runtime::CompiledLibrary::load(memory);
}

Result<void> Build::measure(const Program& program) {
  const uint64_t missing = program.target->cpu_features & ~runtime::cpu_features_here();
  if (missing != 0) {
    report_.not_measured = "this machine has no " + runtime::names_of_features(missing);
    return {};
  }
  SKERRY_ASSIGN(const auto library, measurable(program));
  SKERRY_ASSIGN(const auto inputs, given_inputs());
  std::vector<StepWork> work;
  for (const StepReport& step : report_.steps) {
    work.push_back({step.macs, step.is_bytes, step.constant_bytes, step.value_bytes});
  }
  SKERRY_ASSIGN(report_.profile, profile(library, work, inputs, program.constants.bytes().size()));
  return {};
}

Result<std::string> Build::artifact(const std::vector<std::string>& objects,
                                    const std::vector<const Target*>& targets) {
  std::vector<std::string> exports = {"skerry_compiled_model"};
  if (options_.for_dlr) {
    for (const char* name : kDlrExports) exports.emplace_back(name);
  }
  const bool is_whole = &objects == &objects_;  // what is linked for a check alone is not
  SKERRY_ASSIGN(std::string object, place_.link(*targets[0], objects, exports, options_.flags,
                                                !(options_.is_freestanding && is_whole)));
  runtime::CompiledArtifact artifact{.abi_version = SKERRY_COMPILED_ABI,
                                     .cpu_features = targets[0]->cpu_features,
                                     .target = std::string(targets[0]->name)};
  for (const Target* target : targets) artifact.cpu_features &= target->cpu_features;
  if (targets.size() > 1) artifact.target += fmt::format(" and {} more", targets.size() - 1);
  return object + runtime::artifact_trailer(object, artifact);
}

Result<std::string> Build::checked(const std::vector<std::string>& objects, const Target& target) {
  constexpr std::string_view kEqual = "equal to the reference executor's results";
  const uint64_t missing = target.cpu_features & ~runtime::cpu_features_here();
  if (missing == 0) {
    SKERRY_ASSIGN(const std::string artifact, this->artifact(objects, {&target}));
    SKERRY_ASSIGN(const auto memory, runtime::MemoryFile::copy_of(artifact));
    SKERRY_ASSIGN(const auto library, runtime::CompiledLibrary::load(memory));
    SKERRY_TRY(runtime::self_check(library.model()));
    return std::string(kEqual);
  }
  std::string no = "not run: this machine has no " + runtime::names_of_features(missing);
  if (target.emulator.empty()) return no;
  if (!is_program(target.emulator)) {
    return fmt::format("{}, and no {} (on Debian: apt install {})", no, target.emulator,
                       target.emulator_package);
  }
  SKERRY_TRY(place_.check_emulated(target, objects));
  return fmt::format("{}, under {}", kEqual, target.emulator);
}

}  // namespace

Result<Prepared> prepare(const graph::Graph& graph, const InterfaceOptions& options) {
  Prepared prepared;
  SKERRY_ASSIGN(prepared.graph, with_interface(graph, options, prepared.interface));
  // Branches first: what they hold is quantised like the rest, or not.
  SKERRY_TRY(optimise::run_passes(
      *prepared.graph,
      {.only = {"infer-shapes", "remove-no-ops", "fold-constants", "inline-branches"}}));
  SKERRY_TRY(to_real_form(*prepared.graph));
  SKERRY_TRY(optimise::run_passes(*prepared.graph, {.also = {"fold-all-constants"}}));
  for (const auto& node : prepared.graph->nodes()) {
    if (node->subgraphs().empty()) continue;
    return fail(Code::kUnsupported,
                node->describe() +
                    ": which subgraph runs, and how often, depends on values; an "
                    "input that always has one value can be said (--value)");
  }
  SKERRY_TRY(to_plain_form(*prepared.graph));
  SKERRY_TRY(optimise::run_passes(*prepared.graph));
  SKERRY_TRY(to_integer_form(*prepared.graph));
  SKERRY_TRY(find_states(*prepared.graph, options, prepared.interface));
  return prepared;
}

Result<Compiled> compile(const graph::Graph& graph, const CompileOptions& options) {
  SKERRY_TRY(check_targets(options.targets));
  SKERRY_TRY(check_tunings(options));
  if (options.for_dlr && options.is_static) {
    return fail(Code::kInvalidArgument, "a folder for libdlr is no static library");
  }
  if (options.for_dlr && !options.interface.states.empty()) {
    return fail(Code::kInvalidArgument,
                "libdlr knows no state: leave it among the inputs and outputs");
  }
  if (options.for_dlr && options.is_freestanding) {
    return fail(Code::kInvalidArgument, "a folder for libdlr is never freestanding");
  }
  // From here on the graph is ours, with every shape known.
  SKERRY_ASSIGN(const Prepared prepared, prepare(graph, options.interface));
  SKERRY_ASSIGN(Workshop place, Workshop::open(options.keep_source));
  SKERRY_ASSIGN(Compiled compiled, Build(prepared, options, place).run());
  if (options.for_dlr) compiled.dlr = dlr_files(*prepared.graph);
  return compiled;
}

}  // namespace skerry::compile
