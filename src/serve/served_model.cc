// Staging a model: everything that can go wrong goes wrong here, before a request depends on it.
#include "serve/served_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serve/memory_guard.h"
#include "serve/trial_run.h"

namespace skerry::serve {
namespace {

using tensor::DataType;
using tensor::TensorSpec;
using Shape = std::vector<int64_t>;

constexpr uint64_t kMaxManifestBytes = 64 << 10;
// Copies and checks grow with the bytes, whatever the model does.
constexpr size_t kMaxKeyedBytes = 256 << 10;

const TensorSpec* find(const std::vector<TensorSpec>& specs, std::string_view name) {
  const auto found = std::ranges::find(specs, name, &TensorSpec::name);
  return found == specs.end() ? nullptr : &*found;
}

// True where every tensor of shape `narrow` also has shape `wide`.
bool contains(const Shape& wide, const Shape& narrow) {
  return std::ranges::equal(wide, narrow, [](int64_t w, int64_t n) { return w == -1 || w == n; });
}

// True where some tensor has both shapes.
bool overlap(const Shape& a, const Shape& b) {
  return std::ranges::equal(a, b,
                            [](int64_t x, int64_t y) { return x == -1 || y == -1 || x == y; });
}

std::string describe(const TensorSpec& spec) {
  return tensor::describe(spec.type, spec.shape);
}

// Checks declared tensors of the loaded model against the contract's.
Result<void> check_contract(const ServedModel& served) {
  const auto broken = [](std::string_view kind, const TensorSpec& promised,
                         const TensorSpec* actual) {
    return fail(Code::kInvalidArgument,
                fmt::format("model.json promises {} '{}' as {}, the model has {}", kind,
                            promised.name, describe(promised),
                            actual == nullptr ? "none of that name" : describe(*actual)));
  };
  for (const TensorSpec& promised : served.inputs) {
    const TensorSpec* actual = find(served.model->inputs(), promised.name);
    if (actual == nullptr || actual->type != promised.type ||
        !contains(actual->shape, promised.shape)) {
      return broken("input", promised, actual);
    }
  }
  for (const TensorSpec& actual : served.model->inputs()) {
    if (find(served.inputs, actual.name) == nullptr) {
      return fail(Code::kInvalidArgument,
                  fmt::format("the model needs input '{}' as {}, which model.json does not list",
                              actual.name, describe(actual)));
    }
  }
  for (const TensorSpec& promised : served.outputs) {
    const TensorSpec* actual = find(served.model->outputs(), promised.name);
    // A runtime that does not know an output's rank declares none; the warm-up will tell.
    if (actual == nullptr || actual->type != promised.type ||
        !(actual->shape.empty() || overlap(actual->shape, promised.shape))) {
      return broken("output", promised, actual);
    }
  }
  return {};
}

Result<void> check_same_names(std::string_view kind, const std::vector<TensorSpec>& before,
                              const std::vector<TensorSpec>& after) {
  for (const TensorSpec& old : before) {
    if (find(after, old.name) == nullptr) {
      return fail(Code::kInvalidArgument, fmt::format("{} '{}' is gone", kind, old.name));
    }
  }
  for (const TensorSpec& added : after) {
    if (find(before, added.name) == nullptr) {
      return fail(Code::kInvalidArgument, fmt::format("{} '{}' is new", kind, added.name));
    }
  }
  return {};
}

Result<void> check_compatible(const ServedModel& served, const ServedModel& next) {
  SKERRY_TRY(check_same_names("input", served.inputs, next.inputs));
  SKERRY_TRY(check_same_names("output", served.outputs, next.outputs));
  const auto changed = [](std::string_view kind, const TensorSpec& from, const TensorSpec& to) {
    return fail(Code::kInvalidArgument, fmt::format("{} '{}' was {} and is {}", kind, from.name,
                                                    describe(from), describe(to)));
  };
  for (const TensorSpec& old : served.inputs) {
    const TensorSpec& now = *find(next.inputs, old.name);
    if (now.type != old.type || !contains(now.shape, old.shape)) return changed("input", old, now);
  }
  for (const TensorSpec& old : served.outputs) {
    const TensorSpec& now = *find(next.outputs, old.name);
    if (now.type != old.type || !contains(old.shape, now.shape)) return changed("output", old, now);
  }
  return {};
}

Result<formats::ModelPackage> read_manifest(const std::string& directory) {
  const std::string name(formats::kModelManifestFile);
  // It names the digests of the others; what stands before it is the deployment.
  const runtime::ModelSource source(directory, name, {{name, ""}});
  SKERRY_ASSIGN(const tensor::Bytes bytes, source.read(name, kMaxManifestBytes));
  return formats::parse_model_package(
      std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Result<std::unique_ptr<ServedModel>> stage(const runtime::Runtimes& runtimes,
                                           const std::string& name, const std::string& directory,
                                           const runtime::LoadOptions& options,
                                           const std::stop_token& stop) {
  SKERRY_ASSIGN(const formats::ModelPackage package, read_manifest(directory));
  if (package.name != name) {
    return fail(Code::kInvalidArgument,
                fmt::format("the package holds model '{}', not '{}'", package.name, name));
  }
  const auto runtime = runtimes.find(package.runtime);
  if (runtime == runtimes.end()) {
    return fail(Code::kUnsupported,
                fmt::format("runtime '{}' is not loaded; start skerry-infer with --runtime {}=PATH",
                            package.runtime, package.runtime));
  }
  const runtime::Capabilities can = runtime->second->capabilities();
  if (!package.files.empty() && !can.several_files) {
    return fail(Code::kUnsupported,
                fmt::format("runtime '{}' reads one file only; model.json lists more in \"files\"",
                            package.runtime));
  }
  std::map<std::string, std::string, std::less<>> digests(package.files.begin(),
                                                          package.files.end());
  digests[package.file] = package.sha256;
  const runtime::ModelSource source(directory, package.file, std::move(digests));

  auto served = std::make_unique<ServedModel>();
  served->name = name;
  served->version = package.version;
  served->runtime = package.runtime;
  served->directory = directory;
  served->inputs = package.inputs;
  served->outputs = package.outputs;
  for (const TensorSpec& spec : served->outputs) served->output_names.push_back(spec.name);
  served->concurrent = can.concurrent_runs;
  served->scores = package.scores;
  SKERRY_ASSIGN(served->model, runtime->second->load(source, options));
  SKERRY_TRY(check_contract(*served));
  SKERRY_TRY(try_out(*served, package, stop));
  return served;
}

}  // namespace

void CostTable::note(uint64_t shapes, int64_t ns) {
  if (runs_.size() >= kMaxShapes && !runs_.contains(shapes)) runs_.clear();
  Runs& runs = runs_[shapes];
  runs.before_ns = std::exchange(runs.last_ns, ns);
}

int64_t CostTable::expected_ns(uint64_t shapes) const {
  const auto known = runs_.find(shapes);
  return known == runs_.end() ? std::numeric_limits<int64_t>::max()
                              : std::min(known->second.last_ns, known->second.before_ns);
}

uint64_t shapes_key(std::span<const tensor::Tensor> inputs) {
  uint64_t key = 0xcbf29ce484222325;  // FNV-1a
  const auto mix = [&key](uint64_t value) { key = (key ^ value) * 0x100000001b3; };
  size_t bytes = 0;
  for (const tensor::Tensor& input : inputs) {
    if (input.type == DataType::kBytes) return 0;
    bytes += input.bytes.size();
    mix(input.shape.size() + 1);
    for (const int64_t dimension : input.shape) mix(static_cast<uint64_t>(dimension));
  }
  return bytes > kMaxKeyedBytes ? 0 : key;
}

Result<std::unique_ptr<ServedModel>> stage_model(const runtime::Runtimes& runtimes,
                                                 const std::string& name,
                                                 const std::string& directory,
                                                 const runtime::LoadOptions& options,
                                                 const std::stop_token& stop) {
  auto staged =
      within_memory("the model", [&] { return stage(runtimes, name, directory, options, stop); });
  if (!staged) return fail(staged.error().with_context(directory));
  return staged;
}

Result<void> check_replaces(const ServedModel& served, const ServedModel& next) {
  auto compatible = check_compatible(served, next);
  if (compatible) return {};
  return fail(
      Code::kFailedPrecondition,
      fmt::format("version {} does not fit the callers of version {}, which goes on serving: "
                  "{}; publish it under another name, or unload '{}' first",
                  next.version, served.version, compatible.error().message(), served.name));
}

}  // namespace skerry::serve
