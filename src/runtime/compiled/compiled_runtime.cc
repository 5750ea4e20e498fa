// Checks an artifact, loads it from sealed memory, and runs it with arenas from a pool.
#include "runtime/compiled/compiled_runtime.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <skerry/compiled_model.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <utility>

#include "runtime/compiled/artifact.h"
#include "runtime/compiled/faster_way.h"
#include "runtime/compiled/thread_pool.h"

namespace skerry::runtime {
namespace {

constexpr uint64_t kMaxArenaBytes = uint64_t{4} << 30;
// What models had before they could keep state: the structure ends here.
constexpr size_t kStatelessSize = offsetof(SkerryCompiledModel, state_count);
// And before one run could have several threads.
constexpr size_t kOneThreadSize = offsetof(SkerryCompiledModel, max_threads);

Result<TensorSpec> spec_of(const SkerryCompiledTensor& tensor) {
  const bool has_type =
      tensor.type >= 0 && tensor.type < static_cast<int>(tensor::DataType::kBytes);
  if (!has_type || tensor.rank > 32) {
    return fail(Code::kCorrupt, "a tensor of the compiled model has no type that is known");
  }
  TensorSpec spec{tensor.name,
                  static_cast<tensor::DataType>(tensor.type),
                  {tensor.shape, tensor.shape + tensor.rank}};
  SKERRY_ASSIGN(const size_t count, tensor::element_count(spec.shape));
  if (count * tensor::size_of(spec.type) == tensor.size_bytes) return spec;
  return fail(Code::kCorrupt,
              fmt::format("'{}' of the compiled model has not the size of its shape", spec.name));
}

// Callers of the service keep a model's state: it is among the inputs, and the next one among the
// outputs, as in the model that was compiled.
Result<void> add_states(const SkerryCompiledModel& model, std::vector<TensorSpec>& inputs,
                        std::vector<TensorSpec>& outputs) {
  for (uint32_t i = 0; model.state_bytes > 0 && i < model.state_count; ++i) {
    const SkerryCompiledState& state = model.states[i];
    const SkerryCompiledTensor tensor{sizeof tensor, state.type,  state.name,
                                      state.rank,    state.shape, state.size_bytes};
    SKERRY_ASSIGN(TensorSpec spec, spec_of(tensor));
    if (state.offset > model.state_bytes || state.size_bytes > model.state_bytes - state.offset) {
      return fail(Code::kCorrupt, "the compiled model's state is larger than it says");
    }
    inputs.push_back(spec);
    spec.name = state.next_name;
    outputs.push_back(std::move(spec));
  }
  return {};
}

Result<std::vector<TensorSpec>> specs_of(const SkerryCompiledTensor* tensors, uint32_t count) {
  std::vector<TensorSpec> specs;
  for (uint32_t i = 0; i < count; ++i) {
    SKERRY_ASSIGN(TensorSpec spec, spec_of(tensors[i]));
    specs.push_back(std::move(spec));
  }
  return specs;
}

class CompiledModel : public Model {
 public:
  CompiledModel(CompiledLibrary library, std::vector<TensorSpec> inputs,
                std::vector<TensorSpec> outputs, uint32_t threads)
      : library_(std::move(library)), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {
    threads = std::min(threads, max_threads(library_.model()));
    if (threads > 1) pool_ = std::make_unique<ThreadPool>(threads);
  }

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }
  bool is_bounded() const override { return true; }
  uint64_t memory_bytes() const override {
    return library_.size_bytes() + arena_count_ * library_.model().arena_bytes;
  }
  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                  std::span<const std::string> wanted,
                                  const std::stop_token& stop) override;

 private:
  int32_t run_once(tensor::Bytes& arena, tensor::Bytes& state, const std::vector<const void*>& from,
                   const std::vector<void*>& to);
  // One that no other run uses.
  tensor::Bytes take_arena() {
    {
      const std::lock_guard lock(mutex_);
      if (!arenas_.empty()) {
        tensor::Bytes arena = std::move(arenas_.back());
        arenas_.pop_back();
        return arena;
      }
    }
    tensor::Bytes arena(library_.model().arena_bytes);
    library_.model().bind(arena.data());
    ++arena_count_;
    return arena;
  }
  void give_back(tensor::Bytes arena) {
    const std::lock_guard lock(mutex_);
    arenas_.push_back(std::move(arena));
  }

  CompiledLibrary library_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::unique_ptr<ThreadPool> pool_;  // where a run has several threads
  std::mutex mutex_;
  FasterWay with_threads_;
  std::vector<tensor::Bytes> arenas_;
  std::atomic<uint64_t> arena_count_ = 0;
};

// With threads where that is the faster way here: a small net's run may end before they are awake.
int32_t CompiledModel::run_once(tensor::Bytes& arena, tensor::Bytes& state,
                                const std::vector<const void*>& from,
                                const std::vector<void*>& to) {
  const SkerryCompiledModel& model = library_.model();
  if (pool_ == nullptr) return model.run(arena.data(), state.data(), from.data(), to.data());
  int way = 0;
  {
    const std::lock_guard lock(mutex_);
    way = with_threads_.next();
  }
  const SkerryCompiledPool pool = pool_->lend();
  const auto start = std::chrono::steady_clock::now();
  const int32_t code =
      way == 0 ? model.run(arena.data(), state.data(), from.data(), to.data())
               : model.run_with(arena.data(), state.data(), from.data(), to.data(), &pool);
  const auto took = std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
  const std::lock_guard lock(mutex_);
  with_threads_.took(way, took);
  return code;
}

Result<std::vector<Tensor>> CompiledModel::run(std::span<const TensorView> inputs,
                                               std::span<const std::string> wanted,
                                               const std::stop_token&) {
  SKERRY_ASSIGN(const auto matched, match_inputs(inputs_, inputs));
  SKERRY_ASSIGN(const auto selected, select_outputs(outputs_, wanted));
  std::vector<const void*> from;
  std::vector<tensor::Bytes> aligned;
  for (const TensorView* view : matched) {
    const size_t size = tensor::size_of(view->type);
    if (reinterpret_cast<uintptr_t>(view->bytes.data()) % size == 0) {
      from.push_back(view->bytes.data());
    } else {
      aligned.emplace_back(view->bytes.begin(), view->bytes.end());
      from.push_back(aligned.back().data());
    }
  }
  std::vector<Tensor> results;
  std::vector<void*> to;
  for (const TensorSpec& spec : outputs_) {
    SKERRY_ASSIGN(const size_t count, tensor::element_count(spec.shape));
    results.push_back(
        {spec.name, spec.type, spec.shape, tensor::Bytes(count * tensor::size_of(spec.type))});
    to.push_back(results.back().bytes.data());
  }
  const SkerryCompiledModel& model = library_.model();
  tensor::Bytes state(model.state_bytes);
  for (size_t i = model.input_count; i < from.size(); ++i) {
    const SkerryCompiledState& part = model.states[i - model.input_count];
    std::memcpy(state.data() + part.offset, from[i], part.size_bytes);
  }
  tensor::Bytes arena = take_arena();
  const int32_t code = run_once(arena, state, from, to);
  give_back(std::move(arena));
  for (size_t i = model.output_count; i < to.size(); ++i) {
    const SkerryCompiledState& part = model.states[i - model.output_count];
    std::memcpy(to[i], state.data() + part.offset, part.size_bytes);
  }
  if (code == SKERRY_COMPILED_BAD_INDEX) {
    return fail(Code::kInternal, "an index among the inputs is out of range");
  }
  if (code == SKERRY_COMPILED_BAD_VALUE) {
    return fail(Code::kInvalidArgument,
                "an input has another value than the one that the model is compiled for");
  }
  if (code != SKERRY_COMPILED_OK) {
    return fail(Code::kInternal, fmt::format("the compiled model failed with code {}", code));
  }
  std::vector<Tensor> chosen;
  for (const size_t i : selected) chosen.push_back(std::move(results[i]));
  return chosen;
}

class CompiledRuntime : public Runtime {
 public:
  std::string_view name() const override { return "compiled"; }
  std::string version() const override { return fmt::format("{}", SKERRY_COMPILED_ABI); }
  Capabilities capabilities() const override {
    Capabilities can{.thread_safe = true, .empty_tensors = false, .counts_memory = true};
    for (const tensor::DataType type : tensor::all_data_types()) {
      if (tensor::size_of(type) > 0 && type != tensor::DataType::kFp16 &&
          type != tensor::DataType::kFp64 && type != tensor::DataType::kBf16) {
        can.types.push_back(type);
      }
    }
    return can;
  }

 private:
  Result<std::unique_ptr<Model>> load_files(const ModelSource& source,
                                            const LoadOptions& options) override {
    SKERRY_ASSIGN(ModelFile file, source.open(source.main_file(), options.max_file_bytes));
    SKERRY_ASSIGN(const MemoryFile memory, MemoryFile::copy(std::move(file)));
    SKERRY_ASSIGN(CompiledLibrary library, CompiledLibrary::load(memory));
    const SkerryCompiledModel& model = library.model();
    SKERRY_ASSIGN(auto inputs, specs_of(model.inputs, model.input_count));
    SKERRY_ASSIGN(auto outputs, specs_of(model.outputs, model.output_count));
    SKERRY_TRY(add_states(model, inputs, outputs));
    return std::make_unique<CompiledModel>(std::move(library), std::move(inputs),
                                           std::move(outputs),
                                           static_cast<uint32_t>(std::max(options.threads, 1)));
  }
};

}  // namespace

Result<CompiledLibrary> CompiledLibrary::load(const MemoryFile& file) {
  SKERRY_ASSIGN(const CompiledArtifact artifact, read_artifact(file.bytes()));
  SKERRY_TRY(check_artifact(artifact));
  // dlopen() takes a path that it has loaded for the library that it has loaded: the descriptor in
  // the path stays this library's as long as it is there.
  io::Fd own(::open(file.path().c_str(), O_RDONLY | O_CLOEXEC));
  if (!own) return fail(errno_error("open", file.path(), errno));
  const std::string path = "/proc/self/fd/" + std::to_string(own.get());
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD) != nullptr) {
    return fail(Code::kInternal, "another compiled model was never unloaded; restart the service");
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return fail(Code::kCorrupt, fmt::format("it cannot be loaded: {}", dlerror()));
  }
  CompiledLibrary library(handle, std::move(own), artifact.object_bytes);
  const auto entry =
      reinterpret_cast<decltype(&skerry_compiled_model)>(dlsym(handle, "skerry_compiled_model"));
  library.model_ = entry == nullptr ? nullptr : entry();
  if (library.model_ == nullptr || library.model_->struct_size < kStatelessSize ||
      (library.model_->state_bytes > 0 && library.model_->struct_size < kOneThreadSize) ||
      library.model_->abi_version != artifact.abi_version ||
      (artifact.cpu_features & ~library.model_->cpu_features) != 0 ||
      (library.model_->cpu_features & ~cpu_features_here()) != 0 ||
      library.model_->arena_bytes > kMaxArenaBytes ||
      library.model_->state_bytes > kMaxArenaBytes) {
    return fail(Code::kCorrupt, "what it contains is not what its trailer says");
  }
  return library;
}

uint32_t max_threads(const SkerryCompiledModel& model) {
  return model.struct_size < sizeof(SkerryCompiledModel) ? 1 : std::max(model.max_threads, 1u);
}

CompiledLibrary::CompiledLibrary(CompiledLibrary&& other) noexcept
    : own_(std::move(other.own_)),
      library_(std::exchange(other.library_, nullptr)),
      size_bytes_(other.size_bytes_),
      model_(other.model_) {}

void* CompiledLibrary::symbol(const char* name) const {
  return dlsym(library_, name);
}

CompiledLibrary::~CompiledLibrary() {
  if (library_ != nullptr) dlclose(library_);
}

Result<void> self_check(const SkerryCompiledModel& model) {
  tensor::Bytes arena(model.arena_bytes);
  tensor::Bytes state(model.state_bytes);
  tensor::Bytes scratch(model.scratch_bytes);
  model.bind(arena.data());
  const int32_t code = model.self_check(arena.data(), state.data(), scratch.data());
  if (code == SKERRY_COMPILED_OK) return {};
  return fail(Code::kInternal,
              fmt::format("the compiled model does not compute what the reference executor does "
                          "(code {}): please report it",
                          code));
}

Result<std::unique_ptr<Runtime>> open_compiled(const std::string&) {
  return std::make_unique<CompiledRuntime>();
}

}  // namespace skerry::runtime
