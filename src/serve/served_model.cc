// Staging a model: everything that can go wrong goes wrong here, before a request depends on it.
#include "serve/served_model.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/limits.h"
#include "io/regular_file.h"
#include "pipeline/pipeline.h"
#include "serve/memory_guard.h"
#include "serve/trial_run.h"

namespace skerry::serve {
namespace {

using tensor::DataType;
using tensor::TensorSpec;
using Shape = std::vector<int64_t>;

// Copies and checks grow with the bytes, whatever the model does.
constexpr size_t kMaxKeyedBytes = 256 << 10;
constexpr uint64_t kMaxReferenceBytes = 4 << 20;
constexpr const char* kReferenceFile = "reference.json";
constexpr uint64_t kMaxWarmupFileBytes = 16 << 20;

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

// What makes this machine another one for native code, in words that stay the same.
std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  std::string text;
  for (std::string line; std::getline(info, line) && !line.empty();) {  // of the first core
    for (const std::string_view field : {"model name", "flags", "Features", "CPU part"}) {
      if (line.starts_with(field)) text += line + "\n";
    }
  }
  return text;
}

std::string identity_of(const std::string& library) {
  struct stat found = {};
  if (library.empty() || ::stat(library.c_str(), &found) != 0) return library;
  return fmt::format("{} {} {} {}.{}", library, found.st_ino, found.st_size, found.st_mtim.tv_sec,
                     found.st_mtim.tv_nsec);
}

// The libraries that a package's models may run in; in a pipeline any there is.
std::string libraries_of(const InspectedPackage& package, const runtime::Runtimes& runtimes) {
  if (package.manifest.runtime != pipeline::kRuntimeName) {
    return identity_of(package.runtime->origin().library);
  }
  std::string all;
  for (const auto& each : usable_runtimes(runtimes)) all += identity_of(each->origin().library);
  return all;
}

std::string key_of(const InspectedPackage& package, std::string_view manifest_text,
                   const runtime::Runtimes& runtimes) {
  Sha256 hash;
  for (const std::string& part : {std::string(manifest_text), package.manifest.runtime,
                                  libraries_of(package, runtimes), processor()}) {
    hash.update(fmt::format("{}:", part.size()));
    hash.update(part);
  }
  return hex_encode(hash.finish());
}

Result<InspectedPackage> inspect(const runtime::Runtimes& runtimes, const std::string& name,
                                 const std::string& directory) {
  const std::string manifest_name(formats::kModelManifestFile);
  // It names the digests of the others; what stands before it is the deployment.
  const runtime::ModelSource source(directory, manifest_name, {{manifest_name, ""}});
  SKERRY_ASSIGN(const tensor::Bytes bytes,
                source.read(manifest_name, formats::kMaxModelManifestBytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  InspectedPackage package;
  package.directory = directory;
  SKERRY_ASSIGN(package.manifest, formats::parse_model_package(text));
  if (package.manifest.name != name) {
    return fail(Code::kInvalidArgument,
                fmt::format("the package holds model '{}', not '{}'", package.manifest.name, name));
  }
  SKERRY_ASSIGN(package.runtime,
                runtimes.find(package.manifest.runtime, package.manifest.runtime_component));
  package.id = {key_of(package, text, runtimes), name, package.manifest.version};
  std::error_code ignored;  // what cannot be read is found out when it is loaded
  const auto add = [&](const std::string& file) {
    const auto size = std::filesystem::file_size(directory + "/" + file, ignored);
    if (!ignored) package.size_bytes += size;
  };
  add(package.manifest.file);
  for (const auto& [file, digest] : package.manifest.files) add(file);
  return package;
}

// The manifest with the content of files in place of their names.
Result<formats::ModelPackage> with_warmup_files(formats::ModelPackage manifest,
                                                const runtime::ModelSource& source) {
  for (auto& [name, input] : manifest.warmup) {
    if (input.file.empty()) continue;
    auto bytes = source.read(input.file, kMaxWarmupFileBytes);
    if (!bytes) return fail(bytes.error().with_context(fmt::format("\"warmup\" of '{}'", name)));
    if (find(manifest.inputs, name)->type == DataType::kBytes) {
      input.strings = {{reinterpret_cast<const char*>(bytes->data()), bytes->size()}};
    } else {
      for (const std::byte each : *bytes) input.numbers.push_back(std::to_integer<int>(each));
    }
  }
  return manifest;
}

// Null where the package has no reference.json.
Result<std::unique_ptr<DriftWatch>> drift_watch_of(const ServedModel& served,
                                                   const formats::ModelPackage& manifest) {
  auto file = io::RegularFile::open(served.directory, kReferenceFile, kMaxReferenceBytes);
  if (!file && file.error().code() == Code::kNotFound) return nullptr;
  if (!file) return fail(file.error());
  std::string text(file->size_bytes(), '\0');
  SKERRY_ASSIGN(const size_t size, file->read(std::as_writable_bytes(std::span(text))));
  text.resize(size);
  const auto listed = manifest.files.find(kReferenceFile);
  if (listed != manifest.files.end() && hex_encode(sha256(text)) != listed->second) {
    return fail(Code::kCorrupt, "reference.json is not the file that model.json lists");
  }
  SKERRY_ASSIGN(auto reference, monitor::parse_reference(text));
  return DriftWatch::make(std::move(reference), served.inputs, served.outputs, {});
}

Result<std::unique_ptr<ServedModel>> stage(const InspectedPackage& package,
                                           const runtime::LoadOptions& options,
                                           const std::stop_token& stop,
                                           std::shared_ptr<const Activity::Slot> activity) {
  const formats::ModelPackage& manifest = package.manifest;
  auto served = std::make_unique<ServedModel>();
  served->activity = std::move(activity);
  const Activity::Scope loading(served->activity.get(), Activity::Doing::kLoading);
  SKERRY_ASSIGN(runtime::Runtime * runtime, package.runtime->open());
  served->capabilities = runtime->capabilities();
  // What the runtime needs; the reference is read here.
  std::map<std::string, std::string, std::less<>> digests(manifest.files.begin(),
                                                          manifest.files.end());
  digests.erase(kReferenceFile);
  if (!digests.empty() && !served->capabilities.several_files) {
    return fail(Code::kUnsupported,
                fmt::format("runtime '{}' reads one file only; model.json lists more in \"files\"",
                            manifest.runtime));
  }
  digests[manifest.file] = manifest.sha256;
  const runtime::ModelSource source(package.directory, manifest.file, std::move(digests));

  served->key = package.id.key;
  served->name = manifest.name;
  served->version = manifest.version;
  served->runtime = manifest.runtime;
  served->runtime_version = runtime->version();
  served->directory = package.directory;
  served->inputs = manifest.inputs;
  served->outputs = manifest.outputs;
  for (const TensorSpec& spec : served->outputs) served->output_names.push_back(spec.name);
  served->scores = manifest.scores;
  served->batching = manifest.batching;
  served->finite = manifest.finite;
  served->max_inference_ms = manifest.max_inference_ms;
  if (served->batching && !served->capabilities.batching) {
    return fail(
        Code::kUnsupported,
        fmt::format("models of runtime '{}' take one number of rows; leave \"batching\" out "
                    "of model.json",
                    manifest.runtime));
  }
  SKERRY_ASSIGN(served->model, runtime->load(source, options));
  SKERRY_TRY(check_contract(*served));
  SKERRY_ASSIGN(const auto with_files, with_warmup_files(manifest, source));
  SKERRY_TRY(try_out(*served, with_files, stop));
  SKERRY_ASSIGN(served->drift, drift_watch_of(*served, manifest));
  served->stats.note_counted_memory(served->model->memory_bytes());
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

std::vector<runtime::AvailableRuntimePtr> usable_runtimes(const runtime::Runtimes& runtimes) {
  std::vector<runtime::AvailableRuntimePtr> usable = runtimes.all();
  std::erase_if(usable, [&](const auto& each) { return !runtimes.find(each->origin().name); });
  return usable;
}

Result<InspectedPackage> inspect_package(const runtime::Runtimes& runtimes, const std::string& name,
                                         const std::string& directory) {
  auto inspected = inspect(runtimes, name, directory);
  if (!inspected) return fail(inspected.error().with_context(directory));
  return inspected;
}

Result<std::unique_ptr<ServedModel>> stage_model(const InspectedPackage& package,
                                                 const runtime::LoadOptions& options,
                                                 const std::stop_token& stop,
                                                 std::shared_ptr<const Activity::Slot> activity) {
  auto staged = within_memory("the model",
                              [&] { return stage(package, options, stop, std::move(activity)); });
  if (!staged) return fail(staged.error().with_context(package.directory));
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
