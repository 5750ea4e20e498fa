// Staging a model: everything that can go wrong goes wrong here, before a request depends on it.
#include "serve/served_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/model_package.h"
#include "runtime/tensor.h"
#include "serve/numeric.h"

namespace skerry::serve {
namespace {

using runtime::DataType;
using runtime::TensorSpec;
using Shape = std::vector<int64_t>;

constexpr uint64_t kMaxManifestBytes = 64 << 10;
constexpr size_t kHashPieceBytes = 1 << 20;
constexpr size_t kMaxWarmupBytes = 256 << 20;

Result<void> verify_digest(io::Files& files, const std::string& path, const std::string& expected) {
  SKERRY_ASSIGN(auto file, files.open(path, io::OpenMode::kRead));
  Sha256 hash;
  for (uint64_t offset = 0;;) {
    SKERRY_ASSIGN(const std::string piece, file->read_at(offset, kHashPieceBytes));
    if (piece.empty()) break;
    hash.update(piece);
    offset += piece.size();
  }
  const std::string actual = hex_encode(hash.finish());
  if (actual != expected) {
    return fail(Code::kCorrupt, fmt::format("{} has SHA-256 {}, model.json says {}; the file is "
                                            "damaged or not the one that was packaged",
                                            path, actual, expected));
  }
  return {};
}

Result<std::vector<TensorSpec>> to_specs(const std::vector<formats::ModelTensor>& tensors) {
  std::vector<TensorSpec> specs;
  for (const formats::ModelTensor& tensor : tensors) {
    SKERRY_ASSIGN(const DataType type, runtime::parse_data_type(tensor.datatype));
    specs.push_back({tensor.name, type, tensor.shape});
  }
  return specs;
}

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
  return runtime::describe(spec.type, spec.shape);
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

Result<runtime::Tensor> warmup_input(const TensorSpec& spec, double value) {
  runtime::Tensor tensor{spec.name, spec.type, spec.shape, {}};
  std::ranges::replace(tensor.shape, -1, 1);
  SKERRY_ASSIGN(const size_t count, runtime::element_count(tensor.shape));
  // A BYTES element that is empty takes its length's four bytes.
  const size_t element_bytes = spec.type == DataType::kBytes ? 4 : size_of(spec.type);
  if (count > kMaxWarmupBytes / element_bytes) {
    return fail(Code::kUnsupported, fmt::format("input '{}' of {} is over {} MiB", spec.name,
                                                describe(spec), kMaxWarmupBytes >> 20));
  }
  tensor.bytes.resize(count * element_bytes);
  if (value == 0) return tensor;
  const auto filled = visit_numeric(spec.type, [&]<class T>(T) -> Result<void> {
    SKERRY_ASSIGN(const T element, narrow<T>(value));
    for (size_t i = 0; i < count; ++i) {
      std::memcpy(tensor.bytes.data() + i * sizeof element, &element, sizeof element);
    }
    return {};
  });
  if (!filled) return fail(filled.error().with_context(fmt::format("warmup of '{}'", spec.name)));
  return tensor;
}

// Runs the model twice: the first run allocates, the second one shows what a request costs.
Result<void> warm_up(ServedModel& served, const std::map<std::string, double>& values) {
  std::vector<runtime::Tensor> inputs;
  for (const TensorSpec& spec : served.inputs) {
    const auto value = values.find(spec.name);
    SKERRY_ASSIGN(auto input, warmup_input(spec, value == values.end() ? 0 : value->second));
    inputs.push_back(std::move(input));
  }
  std::vector<runtime::TensorView> views;
  views.reserve(inputs.size());
  for (const runtime::Tensor& input : inputs) views.push_back(input.view());
  std::vector<std::string> wanted;
  wanted.reserve(served.outputs.size());
  for (const TensorSpec& spec : served.outputs) wanted.push_back(spec.name);

  for (int round = 0; round < 2; ++round) {
    const int64_t started = now_ns();
    auto outputs = served.model->run(views, wanted);
    served.expected_infer_ns = now_ns() - started;
    if (!outputs) {
      return fail(outputs.error().with_context(
          "the trial run failed (model.json's \"warmup\" can set input values)"));
    }
    for (size_t i = 0; i < outputs->size(); ++i) {
      const runtime::Tensor& output = (*outputs)[i];
      if (!runtime::fits(output.shape, served.outputs[i].shape)) {
        return fail(
            Code::kInvalidArgument,
            fmt::format("model.json promises output '{}' as {}, the trial run gave {}", output.name,
                        describe(served.outputs[i]), runtime::describe(output.type, output.shape)));
      }
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

Result<std::unique_ptr<ServedModel>> stage(io::Files& files, const Runtimes& runtimes,
                                           const std::string& name, const std::string& directory,
                                           const runtime::LoadOptions& options) {
  const std::string manifest = fmt::format("{}/{}", directory, formats::kModelManifestFile);
  SKERRY_ASSIGN(const std::string text, io::read_file(files, manifest, kMaxManifestBytes));
  SKERRY_ASSIGN(const formats::ModelPackage package, formats::parse_model_package(text));
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
  const std::string path = fmt::format("{}/{}", directory, package.file);
  SKERRY_TRY(verify_digest(files, path, package.sha256));

  auto served = std::make_unique<ServedModel>();
  served->name = name;
  served->version = package.version;
  served->runtime = package.runtime;
  served->directory = directory;
  SKERRY_ASSIGN(served->inputs, to_specs(package.inputs));
  SKERRY_ASSIGN(served->outputs, to_specs(package.outputs));
  SKERRY_ASSIGN(served->model, runtime->second->load(path, options));
  SKERRY_TRY(check_contract(*served));
  SKERRY_TRY(warm_up(*served, package.warmup));
  return served;
}

}  // namespace

Result<std::unique_ptr<ServedModel>> stage_model(io::Files& files, const Runtimes& runtimes,
                                                 const std::string& name,
                                                 const std::string& directory,
                                                 const runtime::LoadOptions& options) {
  auto staged = stage(files, runtimes, name, directory, options);
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
