// The host's side of the plugin interface. What a plugin says is checked here, once.
#include "runtime/plugin/plugin_runtime.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <skerry/runtime_plugin.h>

#include <algorithm>
#include <cstddef>
#include <list>
#include <new>
#include <optional>

namespace skerry::runtime {
namespace {

using tensor::DataType;

static_assert(static_cast<int>(DataType::kBool) == SKERRY_BOOL &&
              static_cast<int>(DataType::kFp16) == SKERRY_FP16 &&
              static_cast<int>(DataType::kBytes) == SKERRY_BYTES);
constexpr uint32_t kMaxPortRank = 32;
constexpr uint32_t kMaxTensors = 4096;
constexpr size_t kMaxMessageBytes = 4096;
// Of the table as it was first; later members may be missing.
constexpr size_t kFirstTableBytes = offsetof(SkerryRuntime, memory);

Code code_of(int32_t code) {
  switch (code) {
    case SKERRY_INVALID_ARGUMENT:
      return Code::kInvalidArgument;
    case SKERRY_CORRUPT:
      return Code::kCorrupt;
    case SKERRY_UNSUPPORTED:
      return Code::kUnsupported;
    case SKERRY_RESOURCE_EXHAUSTED:
      return Code::kResourceExhausted;
    case SKERRY_CANCELLED:
      return Code::kCancelled;
    default:
      return Code::kInternal;
  }
}

int32_t code_for(Code code) {
  for (const int32_t each : {SKERRY_INVALID_ARGUMENT, SKERRY_CORRUPT, SKERRY_UNSUPPORTED,
                             SKERRY_RESOURCE_EXHAUSTED, SKERRY_CANCELLED}) {
    if (code_of(each) == code) return each;
  }
  return SKERRY_INTERNAL;
}

// The first error of a call: the host's own says more than what the plugin makes of it.
class FirstError {
 public:
  int32_t keep(const Error& error) {
    if (!error_) error_ = error;
    return code_for(error.code());
  }
  int32_t keep(int32_t code, const char* message) {
    const std::string_view text = message == nullptr ? "" : message;
    keep(Error(code_of(code), std::string(text.substr(0, kMaxMessageBytes))));
    return code;
  }
  // What the call that returned `code` comes to.
  Result<void> result(int32_t code, std::string_view what) {
    if (code == SKERRY_OK) return {};
    if (error_) return fail(std::move(*error_));
    return fail(code_of(code), fmt::format("{} failed with code {} and no message", what, code));
  }

 private:
  std::optional<Error> error_;
};

// Nothing may throw into the plugin.
template <class Work>
int32_t guarded(FirstError& error, Work work) {
  try {
    const Result<void> done = work();
    if (done) return SKERRY_OK;
    return error.keep(done.error());
  } catch (const std::bad_alloc&) {
    return error.keep(Error(Code::kResourceExhausted, "there is not enough memory for the model"));
  }
}

using Files = std::list<tensor::Bytes>;

struct Load : SkerryLoad {
  const ModelSource& source;
  uint64_t max_file_bytes;
  Files files;
  FirstError error;

  Load(const ModelSource& from, const LoadOptions& options)
      : SkerryLoad{}, source(from), max_file_bytes(options.max_file_bytes) {
    struct_size = sizeof(SkerryLoad);
    threads = static_cast<uint32_t>(options.threads);
    main_file = from.main_file().c_str();
    read = [](SkerryLoad* self, const char* path, const void** data, size_t* size_bytes) {
      Load& load = *static_cast<Load*>(self);
      return guarded(load.error, [&]() -> Result<void> {
        SKERRY_ASSIGN(tensor::Bytes bytes, load.source.read(path, load.max_file_bytes));
        load.files.push_back(std::move(bytes));
        *data = load.files.back().data();
        *size_bytes = load.files.back().size();
        return {};
      });
    };
    fail = [](SkerryLoad* self, int32_t code, const char* message) {
      return static_cast<Load*>(self)->error.keep(code, message);
    };
  }
};

struct Run : SkerryRun {
  const std::vector<TensorSpec>& specs;  // of the outputs
  std::vector<char> is_wanted;
  std::vector<std::optional<Tensor>> outputs;
  const std::stop_token& stop;
  FirstError error;

  Run(const std::vector<TensorSpec>& output_specs, std::span<const size_t> selected,
      const std::stop_token& stop_token)
      : SkerryRun{},
        specs(output_specs),
        is_wanted(output_specs.size()),
        outputs(output_specs.size()),
        stop(stop_token) {
    for (const size_t i : selected) is_wanted[i] = 1;
    struct_size = sizeof(SkerryRun);
    wanted = [](SkerryRun* self, uint32_t index) -> int32_t {
      const Run& run = *static_cast<Run*>(self);
      return index < run.is_wanted.size() && run.is_wanted[index];
    };
    output = [](SkerryRun* self, uint32_t index, uint32_t rank, const int64_t* shape,
                size_t size_bytes) -> void* {
      Run& run = *static_cast<Run*>(self);
      const int32_t code =
          guarded(run.error, [&] { return run.make_output(index, {shape, rank}, size_bytes); });
      return code == SKERRY_OK ? run.outputs[index]->bytes.data() : nullptr;
    };
    stopped = [](SkerryRun* self) -> int32_t {
      return static_cast<Run*>(self)->stop.stop_requested();
    };
    fail = [](SkerryRun* self, int32_t code, const char* message) {
      return static_cast<Run*>(self)->error.keep(code, message);
    };
  }

  Result<void> make_output(uint32_t index, std::span<const int64_t> shape, size_t size_bytes) {
    const auto wrong = [](std::string what) {
      return skerry::fail(Code::kInternal, "the runtime's plugin is wrong: " + std::move(what));
    };
    if (index >= specs.size()) return wrong(fmt::format("there is no output {}", index));
    if (outputs[index]) return wrong(fmt::format("output {} is given twice", index));
    const TensorSpec& spec = specs[index];
    const bool has_shape = shape.empty() || shape.data() != nullptr;
    if (!has_shape || shape.size() > kMaxPortRank || !tensor::fits(shape, spec.shape)) {
      return wrong(fmt::format("output '{}' does not have its shape", spec.name));
    }
    SKERRY_ASSIGN(const size_t count, tensor::element_count(shape));
    if (spec.type != DataType::kBytes && size_bytes != count * tensor::size_of(spec.type)) {
      return wrong(fmt::format("output '{}' as {} has {} bytes", spec.name,
                               tensor::describe(spec.type, shape), size_bytes));
    }
    // One byte at least: NULL would say that there is no memory.
    tensor::Bytes bytes;
    bytes.reserve(std::max<size_t>(size_bytes, 1));
    bytes.resize(size_bytes);
    outputs[index] = Tensor{spec.name, spec.type, {shape.begin(), shape.end()}, std::move(bytes)};
    return {};
  }
};

bool counts_memory(const SkerryRuntime& table) {
  return table.struct_size >= sizeof(SkerryRuntime) && table.memory != nullptr;
}

class PluginModel : public Model {
 public:
  PluginModel(const SkerryRuntime& table, Files files, SkerryModel* model)
      : table_(table), files_(std::move(files)), model_(model) {}
  ~PluginModel() override { table_.close(model_); }

  Result<void> read_specs() {
    SKERRY_TRY(read_specs("input", table_.input, inputs_));
    SKERRY_TRY(read_specs("output", table_.output, outputs_));
    traits_ = table_.traits == nullptr ? 0 : table_.traits(model_);
    return {};
  }

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }
  bool is_bounded() const override { return (traits_ & SKERRY_MODEL_BOUNDED) != 0; }
  uint64_t memory_bytes() const override {
    return counts_memory(table_) ? table_.memory(model_) : 0;
  }
  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                  std::span<const std::string> wanted,
                                  const std::stop_token& stop) override;

 private:
  using Next = const SkerryTensorSpec* (*)(SkerryModel*, uint32_t);
  Result<void> read_specs(std::string_view kind, Next next, std::vector<TensorSpec>& specs) {
    for (uint32_t i = 0;; ++i) {
      const SkerryTensorSpec* spec = next(model_, i);
      if (spec == nullptr) return {};
      if (i == kMaxTensors || spec->struct_size < sizeof(SkerryTensorSpec) ||
          spec->name == nullptr || spec->type < SKERRY_BOOL || spec->type > SKERRY_BYTES ||
          spec->rank > kMaxPortRank || (spec->rank > 0 && spec->shape == nullptr)) {
        return fail(Code::kInternal,
                    fmt::format("the runtime's plugin is wrong: {} {} is no tensor", kind, i));
      }
      specs.push_back({spec->name, static_cast<DataType>(spec->type),
                       std::vector<int64_t>(spec->shape, spec->shape + spec->rank)});
    }
  }

  const SkerryRuntime& table_;
  Files files_;  // the plugin's until close()
  SkerryModel* model_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  uint32_t traits_ = 0;
};

Result<std::vector<Tensor>> PluginModel::run(std::span<const TensorView> inputs,
                                             std::span<const std::string> wanted,
                                             const std::stop_token& stop) {
  SKERRY_ASSIGN(const auto matched, match_inputs(inputs_, inputs));
  SKERRY_ASSIGN(const auto selected, select_outputs(outputs_, wanted));
  std::list<tensor::Bytes> aligned;
  std::vector<SkerryTensor> tensors(matched.size());
  std::vector<const SkerryTensor*> pointers;
  for (size_t i = 0; i < matched.size(); ++i) {
    const TensorView& view = *matched[i];
    std::span<const std::byte> bytes = view.bytes;
    if (reinterpret_cast<uintptr_t>(bytes.data()) % tensor::kAlignment != 0) {
      bytes = aligned.emplace_back(bytes.begin(), bytes.end());
    }
    tensors[i] = {sizeof(SkerryTensor),
                  static_cast<int32_t>(view.type),
                  static_cast<uint32_t>(view.shape.size()),
                  view.shape.data(),
                  bytes.data(),
                  bytes.size()};
    pointers.push_back(&tensors[i]);
  }
  Run call(outputs_, selected, stop);
  call.input_count = static_cast<uint32_t>(pointers.size());
  call.inputs = pointers.data();
  SKERRY_TRY(call.error.result(table_.run(model_, &call), "the run"));

  std::vector<Tensor> results;
  for (const size_t i : selected) {
    std::optional<Tensor>& output = call.outputs[i];
    if (!output) {
      return fail(Code::kInternal, fmt::format("the runtime's plugin is wrong: it did not give "
                                               "output '{}'",
                                               outputs_[i].name));
    }
    if (output->type == DataType::kBytes) {
      SKERRY_ASSIGN(const size_t count, tensor::element_count(output->shape));
      SKERRY_TRY(tensor::split_bytes(output->bytes, count));
    }
    results.push_back(std::move(*output));
  }
  return results;
}

class PluginRuntime : public Runtime {
 public:
  explicit PluginRuntime(const SkerryRuntime& table) : table_(table) {}
  std::string_view name() const override { return table_.name; }
  std::string version() const override { return table_.version; }
  Capabilities capabilities() const override {
    const auto has = [this](uint32_t flag) { return (table_.capabilities & flag) != 0; };
    Capabilities can{.thread_safe = has(SKERRY_RUNTIME_THREAD_SAFE),
                     .interruptible = has(SKERRY_RUNTIME_INTERRUPTIBLE),
                     .several_files = has(SKERRY_RUNTIME_SEVERAL_FILES),
                     .batching = has(SKERRY_RUNTIME_BATCHING),
                     .stateful = has(SKERRY_RUNTIME_STATEFUL),
                     .counts_memory = counts_memory(table_)};
    for (const DataType type : tensor::all_data_types()) {
      if ((table_.types & (1u << static_cast<unsigned>(type))) != 0) can.types.push_back(type);
    }
    return can;
  }

 private:
  Result<std::unique_ptr<Model>> load_files(const ModelSource& source,
                                            const LoadOptions& options) override {
    Load call(source, options);
    SkerryModel* opened = nullptr;
    const int32_t code = table_.open(&call, &opened);
    SKERRY_TRY(call.error.result(code, "opening"));
    if (opened == nullptr) {
      return fail(Code::kInternal, "the runtime's plugin is wrong: it opened no model");
    }
    auto model = std::make_unique<PluginModel>(table_, std::move(call.files), opened);
    SKERRY_TRY(model->read_specs());
    return model;
  }

  const SkerryRuntime& table_;  // stays as the library does
};

}  // namespace

Result<std::unique_ptr<Runtime>> open_plugin(const std::string& library_path) {
  void* library = dlopen(library_path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return fail(Code::kUnavailable, fmt::format("cannot load the runtime: {}", dlerror()));
  }
  const auto entry =
      reinterpret_cast<decltype(&skerry_runtime_plugin)>(dlsym(library, "skerry_runtime_plugin"));
  if (entry == nullptr) {
    return fail(Code::kUnsupported,
                fmt::format("{} is no runtime plugin: it has no skerry_runtime_plugin (see "
                            "skerry/runtime_plugin.h)",
                            library_path));
  }
  const SkerryRuntime* table = entry(SKERRY_RUNTIME_ABI);
  if (table == nullptr || table->struct_size < kFirstTableBytes ||
      table->abi_version != SKERRY_RUNTIME_ABI) {
    return fail(Code::kUnsupported,
                fmt::format("{} is a plugin for another version of the interface than {}; build it "
                            "again with this release's skerry/runtime_plugin.h",
                            library_path, SKERRY_RUNTIME_ABI));
  }
  if (table->name == nullptr || table->version == nullptr || table->open == nullptr ||
      table->input == nullptr || table->output == nullptr || table->run == nullptr ||
      table->close == nullptr) {
    return fail(Code::kUnsupported, fmt::format("{} leaves out what every plugin must have: name, "
                                                "version, open, input, output, run, close",
                                                library_path));
  }
  return std::make_unique<PluginRuntime>(*table);
}

}  // namespace skerry::runtime
