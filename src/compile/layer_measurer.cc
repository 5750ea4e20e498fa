// A candidate is an object with its layers alone; those of one comparison are one program.
#include "compile/layer_measurer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <numeric>

#include "compile/cost_model.h"
#include "compile/emit.h"
#include "compile/plan.h"
#include "io/blocking_process.h"

namespace skerry::compile {
namespace {

constexpr int kMillisecondsEach = 60;  // of a candidate in one comparison
constexpr size_t kMaxPrinted = 1 << 20;
constexpr size_t kMostKeptBytes = size_t{1} << 30;  // of candidates for the time being
constexpr uint64_t kMaxArenaBytes = uint64_t{1} << 30;

double now_s() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

io::ProcessSpec command(std::vector<std::string> words) {
  io::ProcessSpec spec{.argv = std::move(words), .working_directory = "/"};
  for (const char* name : {"PATH", "HOME", "USER", "TMPDIR", "SSH_AUTH_SOCK"}) {
    if (const char* value = std::getenv(name)) spec.environment.emplace_back(name, value);
  }
  return spec;
}

Result<std::string> output_of(std::vector<std::string> words, const std::string& where) {
  SKERRY_ASSIGN(io::FinishedProcess done,
                io::run_process(command(std::move(words)), kMaxPrinted, {}));
  if (done.status.ok()) return std::move(done.out);
  return fail(Code::kUnavailable,
              fmt::format("measuring {} ended with {}: {}", where, done.status.text(), done.err));
}

std::unexpected<Error> no_times() {
  return fail(Code::kCorrupt, "the measuring program has printed something else than times");
}

// A word and the blank behind it, or the end of the line.
std::string_view take_word(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

template <class Number>
std::optional<Number> parsed(std::string_view word) {
  Number number{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size()) return {};
  return number;
}

}  // namespace

Launch launch_here() {
  return [](const std::string& program, const std::string& argument) {
    return output_of({program, argument}, "here");
  };
}

Launch launch_by_ssh(const std::string& host) {
  return [host](const std::string& program, const std::string& argument) {
    const std::string there = fmt::format(
        "f=$(mktemp) && cat >\"$f\" && chmod 700 \"$f\" && \"$f\" {}; code=$?; "
        "rm -f \"$f\"; exit $code",
        argument);
    constexpr const char* kSsh =
        R"(exec ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 -- "$1" "$2" <"$3")";
    return output_of({"sh", "-c", kSsh, "sh", host, there, program}, "on " + host);
  };
}

Result<MeasuredTimes> parse_times(std::string_view printed, size_t candidates, size_t layers) {
  constexpr std::string_view kMachine = "machine ";
  constexpr size_t kMostOfName = 100;
  constexpr double kMostNs = 1e15;
  if (printed.size() > kMaxPrinted) return no_times();
  const auto take_line = [&] {
    const size_t end = std::min(printed.find('\n'), printed.size());
    const std::string_view line = printed.substr(0, end);
    printed.remove_prefix(std::min(end + 1, printed.size()));
    return line;
  };
  const std::string_view machine = take_line();
  if (!machine.starts_with(kMachine)) return no_times();
  MeasuredTimes times{.machine = std::string(machine.substr(kMachine.size(), kMostOfName)),
                      .us = std::vector(candidates, std::vector<double>(layers))};
  for (char& c : times.machine) c = c >= ' ' && c <= '~' ? c : '?';
  if (times.machine.empty()) times.machine = "of no name";
  for (size_t i = 0; i < candidates * layers; ++i) {
    std::string_view line = take_line();
    const auto candidate = parsed<size_t>(take_word(line));
    const auto layer = parsed<size_t>(take_word(line));
    const auto ns = parsed<double>(line);
    const bool fits = candidate == i / layers && layer == i % layers && ns && *ns <= kMostNs;
    if (!fits) return no_times();
    // What takes less than a look at the clock takes something nevertheless.
    times.us[*candidate][*layer] = std::max(*ns, 1.0) / 1e3;
  }
  if (take_line() != "end" || !printed.empty()) return no_times();
  return times;
}

LayerMeasurer::LayerMeasurer(const Prepared& prepared, const Target& target, Launch launch,
                             Workshop place)
    : prepared_(prepared),
      target_(target),
      launch_(std::move(launch)),
      place_(std::move(place)),
      start_s_(now_s()) {}

Result<std::unique_ptr<LayerMeasurer>> LayerMeasurer::open(const Prepared& prepared,
                                                           const Target& target, Launch launch) {
  SKERRY_ASSIGN(Workshop place, Workshop::open(""));
  std::unique_ptr<LayerMeasurer> measurer(
      new LayerMeasurer(prepared, target, std::move(launch), std::move(place)));
  SKERRY_ASSIGN(const auto program, measurer->lowered({}));
  for (size_t i = 0; i < program->choices.size(); ++i) {
    const Choice& choice = program->choices[i];
    if (choice.ways.size() < 2 ||
        std::ranges::count(measurer->layers_, choice.layer, &LayerSpace::layer) > 0) {
      continue;
    }
    measurer->layers_.push_back(
        {.layer = choice.layer, .ways = choice.ways, .expected = expected_of(target, choice)});
    measurer->sizes_.push_back(choice.sizes);
    measurer->choices_.push_back(i);
  }
  return measurer;
}

double LayerMeasurer::seconds() {
  return now_s() - start_s_;
}

Result<std::unique_ptr<Program>> LayerMeasurer::lowered(const Assignment& ways) const {
  WaysByLayer by_layer;
  for (size_t i = 0; i < ways.size(); ++i) {
    by_layer.emplace(layers_[i].layer, layers_[i].ways[ways[i]]);
  }
  SKERRY_ASSIGN(auto program,
                lower(*prepared_.graph, prepared_.interface, target_, {.ways = &by_layer}));
  SKERRY_TRY(plan(*program, kMaxArenaBytes));
  return program;
}

Result<std::string> LayerMeasurer::object_of(const Assignment& ways, bool is_whole) {
  const auto known = objects_.find({ways, is_whole});
  if (known != objects_.end()) return known->second;
  SKERRY_ASSIGN(const auto program, lowered(ways));
  std::vector<std::vector<size_t>> layers;
  const auto add = [&](size_t first, size_t end) {
    std::vector<size_t> steps(end - first);
    std::iota(steps.begin(), steps.end(), first);
    layers.push_back(std::move(steps));
  };
  if (is_whole) add(0, program->steps.size());
  for (const size_t choice : is_whole ? std::vector<size_t>{} : choices_) {
    add(program->choices[choice].first_step, program->choices[choice].end_step);
  }
  const std::string suffix = fmt::format("_{}", ++built_);
  const std::string code = emit_layers(*program, layers);
  const auto& constants = program->constants.bytes();
  SKERRY_ASSIGN(std::string object,
                place_.compile({.target = &target_,
                                .code = code,
                                .constants = {reinterpret_cast<const char*>(constants.data()),
                                              constants.size()},
                                .folder = "candidate" + suffix,
                                .suffix = suffix},
                               {"-Dskerry_layers=skerry_layers" + suffix}));
  kept_bytes_ += 2 * constants.size();  // once as data, once in the object
  return objects_.insert_or_assign({ways, is_whole}, std::move(object)).first->second;
}

Result<MeasuredTimes> LayerMeasurer::run(const std::vector<Assignment>& candidates, bool is_whole) {
  if (kept_bytes_ > kMostKeptBytes) {
    for (const auto& [ways, object] : objects_) place_.remove(object.substr(0, object.find('/')));
    objects_.clear();
    kept_bytes_ = 0;
  }
  std::string declarations, table;
  std::vector<std::string> objects;
  for (const Assignment& ways : candidates) {
    SKERRY_ASSIGN(const std::string object, object_of(ways, is_whole));
    // "candidate_7/model.o": the same object may stand in several places.
    const std::string suffix = object.substr(0, object.find('/')).substr(9);
    if (std::ranges::count(objects, object) == 0) {
      objects.push_back(object);
      declarations += fmt::format("extern const struct SkerryLayers skerry_layers{};\n", suffix);
    }
    table += fmt::format("    &skerry_layers{},\n", suffix);
  }
  SKERRY_TRY(
      place_.write("candidates.c",
                   fmt::format("#include \"layers.h\"\n{}"
                               "const struct SkerryLayers* const skerry_candidates[] = {{\n{}}};\n"
                               "const uint32_t skerry_candidate_count = {};\n",
                               declarations, table, candidates.size())));
  SKERRY_ASSIGN(const std::string program,
                place_.link_program(target_, "measure_layers", {"measure_layers.c", "candidates.c"},
                                    objects));
  SKERRY_ASSIGN(
      const std::string printed,
      launch_(program, std::to_string(kMillisecondsEach * static_cast<int>(candidates.size()))));
  SKERRY_ASSIGN(MeasuredTimes times,
                parse_times(printed, candidates.size(), is_whole ? 1 : layers_.size()));
  machine_ = times.machine;
  return times;
}

Result<std::vector<std::vector<double>>> LayerMeasurer::measure(
    const std::vector<Assignment>& candidates) {
  SKERRY_ASSIGN(MeasuredTimes times, run(candidates, false));
  return std::move(times.us);
}

Result<std::vector<double>> LayerMeasurer::measure_whole(
    const std::vector<Assignment>& candidates) {
  SKERRY_ASSIGN(const MeasuredTimes times, run(candidates, true));
  std::vector<double> us;
  for (const auto& each : times.us) us.push_back(each[0]);
  return us;
}

}  // namespace skerry::compile
