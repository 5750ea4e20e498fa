// The Runtime interface on LiteRT's C API.
#include "runtime/litert/litert_runtime.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "runtime/layer_times.h"
#include "runtime/litert/litert_library.h"
#include "runtime/litert/model_scan.h"

namespace skerry::runtime {
namespace {

using tensor::DataType;

constexpr uint64_t kMaxFlatbufferBytes = uint64_t{2} << 30;
// Vector kernels read on behind the last element.
constexpr size_t kBehindBytes = 128;
constexpr int kCpuAccelerator = 1;

struct LiteRtType {
  DataType ours;
  int theirs;
};
constexpr std::array<LiteRtType, 12> kLiteRtTypes = {{
    {DataType::kFp32, 1},
    {DataType::kInt32, 2},
    {DataType::kUint8, 3},
    {DataType::kInt64, 4},
    {DataType::kBool, 6},
    {DataType::kInt16, 7},
    {DataType::kInt8, 9},
    {DataType::kFp16, 10},
    {DataType::kFp64, 11},
    {DataType::kUint64, 13},
    {DataType::kUint32, 16},
    {DataType::kUint16, 17},
}};

std::vector<int64_t> shape_of(const LrtLayout& layout) {
  return {layout.dimensions, layout.dimensions + layout.rank};
}

// An input or an output, with the memory that it keeps between runs.
struct Port {
  LrtTensorType type{};
  size_t element_bytes = 0;
  tensor::Bytes bytes;
  LrtHandle<LrtTensorBuffer> buffer{nullptr, nullptr};
};

class LiteRtModel : public Model {
 public:
  // `lib` is shared: every model needs the library, and may outlive the runtime that loaded it.
  LiteRtModel(std::shared_ptr<const LrtLibrary> lib, tensor::Bytes bytes, TfliteScan scan)
      : lib_(std::move(lib)),
        bytes_(std::move(bytes)),
        scan_(std::move(scan)),
        model_(nullptr, lib_->api().destroy_model),
        compiled_(nullptr, lib_->api().destroy_compiled) {}

  Result<void> compile(const LoadOptions& options);

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }
  bool is_bounded() const override { return scan_.is_bounded; }
  // The library says nothing of its own arena: what we keep for it.
  uint64_t memory_bytes() const override {
    uint64_t total = bytes_.size();
    for (const Port& port : input_ports_) total += port.bytes.capacity();
    for (const Port& port : output_ports_) total += port.bytes.capacity();
    return total;
  }
  Result<std::vector<LayerTime>> layer_times() override;
  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                  std::span<const std::string> wanted,
                                  const std::stop_token& stop) override;

 private:
  Result<LrtHandle<LrtOptions>> compile_options(const LoadOptions& wanted) const;
  Result<void> start_profiler();
  Result<void> take_events();
  Result<LrtSignature*> find_signature();
  Result<void> read_specs(LrtSignature* signature);
  Result<void> read_spec(const char* name, LrtTensor* tensor, std::vector<TensorSpec>& specs,
                         std::vector<Port>& ports) const;
  Result<void> check_run(LrtStatus status, Code code, std::string_view what) const;
  Result<void> take_shapes(std::span<const TensorView* const> inputs);
  Result<void> allocate(Port& port) const;

  std::shared_ptr<const LrtLibrary> lib_;
  tensor::Bytes bytes_;  // which the model refers to
  TfliteScan scan_;
  LrtHandle<LrtModel> model_;
  LrtHandle<LrtCompiledModel> compiled_;
  size_t signature_ = 0;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  // Buffers go before what was made for them.
  std::vector<Port> input_ports_;
  std::vector<Port> output_ports_;
  bool has_shapes_ = false;          // the ports fit each other and the model
  LrtProfiler* profiler_ = nullptr;  // the compiled model's; null where layers are not measured
  LayerTimes times_;
};

Result<LrtHandle<LrtOptions>> LiteRtModel::compile_options(const LoadOptions& wanted) const {
  const LrtApi& api = lib_->api();
  const auto set = [](LrtStatus status) {
    return LrtLibrary::check(status, Code::kInternal, "LiteRT's options");
  };
  LrtOptions* options = nullptr;
  SKERRY_TRY(set(api.create_options(&options)));
  LrtHandle<LrtOptions> owned(options, api.destroy_options);
  SKERRY_TRY(set(api.set_accelerators(options, kCpuAccelerator)));
  const auto add = [&](const char* group, const std::string& toml) -> Result<void> {
    LrtOpaqueOptions* more = nullptr;  // they free the text, and `options` them
    SKERRY_TRY(set(api.create_opaque_options(group, ::strdup(toml.c_str()), std::free, &more)));
    return set(api.add_opaque_options(options, more));
  };
  SKERRY_TRY(add("xnnpack", fmt::format("num_threads = {}\n", wanted.threads)));
  if (!wanted.profile_directory.empty()) {
    SKERRY_TRY(add("runtime_options_string", "enable_profiling = true\n"));
  }
  return owned;
}

Result<void> LiteRtModel::compile(const LoadOptions& options) {
  const LrtApi& api = lib_->api();
  LrtModel* model = nullptr;
  SKERRY_TRY(
      LrtLibrary::check(api.create_model(lib_->environment(), bytes_.data(), bytes_.size(), &model),
                        Code::kCorrupt, "the file is damaged or no TensorFlow Lite model"));
  model_.reset(model);
  SKERRY_ASSIGN(LrtSignature * signature, find_signature());
  SKERRY_TRY(read_specs(signature));
  SKERRY_ASSIGN(const auto settings, compile_options(options));
  LrtCompiledModel* compiled = nullptr;
  SKERRY_TRY(check_run(api.compile(lib_->environment(), model, settings.get(), &compiled),
                       Code::kUnsupported, "LiteRT cannot run the model"));
  compiled_.reset(compiled);
  return options.profile_directory.empty() ? Result<void>() : start_profiler();
}

Result<void> LiteRtModel::start_profiler() {
  const LrtApi& api = lib_->api();
  SKERRY_TRY(LrtLibrary::check(api.profiler(compiled_.get(), &profiler_), Code::kUnsupported,
                               "LiteRT measures no layers"));
  if (profiler_ == nullptr) return fail(Code::kUnsupported, "LiteRT measures no layers");
  return LrtLibrary::check(api.start_profiler(profiler_), Code::kInternal, "LiteRT's profiler");
}

// Those of one run. Operators have no names here, so their places stand for them; what XNNPACK has
// taken over comes one by one, too.
Result<void> LiteRtModel::take_events() {
  const LrtApi& api = lib_->api();
  const auto get = [](LrtStatus status) {
    return LrtLibrary::check(status, Code::kInternal, "LiteRT's profiler");
  };
  int count = 0;
  SKERRY_TRY(get(api.stop_profiler(profiler_)));
  SKERRY_TRY(get(api.event_count(profiler_, &count)));
  std::vector<LrtProfilerEvent> events(static_cast<size_t>(count));
  if (count > 0) SKERRY_TRY(get(api.events(profiler_, count, events.data())));
  size_t place = 0;
  for (const LrtProfilerEvent& event : events) {
    const bool is_layer = event.type == LrtProfilerEvent::kOperator ||
                          event.type == LrtProfilerEvent::kDelegateOperator;
    if (is_layer && event.tag != nullptr) {
      times_.add(std::to_string(place++), event.tag, static_cast<double>(event.elapsed_us));
    }
  }
  times_.end_run();
  SKERRY_TRY(get(api.reset_profiler(profiler_)));
  return get(api.start_profiler(profiler_));
}

Result<std::vector<LayerTime>> LiteRtModel::layer_times() {
  if (profiler_ != nullptr) return times_.result();
  return fail(Code::kFailedPrecondition, "the model was loaded without profile_directory");
}

Result<LrtSignature*> LiteRtModel::find_signature() {
  const LrtApi& api = lib_->api();
  const auto get = [](LrtStatus status) {
    return LrtLibrary::check(status, Code::kCorrupt, "the model's signatures");
  };
  size_t count = 0;
  SKERRY_TRY(get(api.signature_count(model_.get(), &count)));
  LrtSignature* first = nullptr;
  for (size_t i = 0; i < count; ++i) {
    LrtSignature* signature = nullptr;
    const char* key = nullptr;
    SKERRY_TRY(get(api.signature(model_.get(), i, &signature)));
    SKERRY_TRY(get(api.signature_key(signature, &key)));
    if (i == 0) first = signature;
    if (key == nullptr || std::string_view(key) != "serving_default") continue;
    signature_ = i;
    return signature;
  }
  if (first == nullptr) return fail(Code::kCorrupt, "the model has no signature");
  return first;
}

Result<void> LiteRtModel::read_spec(const char* name, LrtTensor* tensor,
                                    std::vector<TensorSpec>& specs,
                                    std::vector<Port>& ports) const {
  Port port;
  SKERRY_TRY(LrtLibrary::check(lib_->api().tensor_type(tensor, &port.type), Code::kUnsupported,
                               fmt::format("tensor '{}' has no rank", name)));
  const auto* known = std::ranges::find(kLiteRtTypes, port.type.element, &LiteRtType::theirs);
  if (known == kLiteRtTypes.end()) {
    return fail(
        Code::kUnsupported,
        fmt::format("tensor '{}' has element type {} of TensorFlow Lite, which is not supported",
                    name, port.type.element));
  }
  if (port.type.layout.rank > LrtLayout::kMaxRank) {
    return fail(Code::kUnsupported,
                fmt::format("tensor '{}' has {} dimensions; there may be {}", name,
                            static_cast<unsigned>(port.type.layout.rank), LrtLayout::kMaxRank));
  }
  port.element_bytes = tensor::size_of(known->ours);
  specs.push_back({name, known->ours, shape_of(port.type.layout)});
  for (int64_t& dimension : specs.back().shape) dimension = std::max<int64_t>(dimension, -1);
  ports.push_back(std::move(port));
  return {};
}

Result<void> LiteRtModel::read_specs(LrtSignature* signature) {
  const LrtApi& api = lib_->api();
  const auto get = [](LrtStatus status) {
    return LrtLibrary::check(status, Code::kCorrupt, "the model's tensors");
  };
  const auto read = [&](auto count_of, auto name_of, auto tensor_of, auto& specs,
                        auto& ports) -> Result<void> {
    size_t count = 0;
    SKERRY_TRY(get(count_of(signature, &count)));
    for (size_t i = 0; i < count; ++i) {
      const char* name = nullptr;
      LrtTensor* tensor = nullptr;
      SKERRY_TRY(get(name_of(signature, i, &name)));
      SKERRY_TRY(get(tensor_of(signature, i, &tensor)));
      SKERRY_TRY(read_spec(name, tensor, specs, ports));
    }
    return {};
  };
  SKERRY_TRY(read(api.input_count, api.input_name, api.input_tensor, inputs_, input_ports_));
  return read(api.output_count, api.output_name, api.output_tensor, outputs_, output_ports_);
}

// Memory for a port of the shape it has now.
Result<void> LiteRtModel::allocate(Port& port) const {
  const auto shape = shape_of(port.type.layout);
  SKERRY_ASSIGN(const size_t count, tensor::element_count(shape));
  const size_t size = count * port.element_bytes;
  port.buffer.reset();
  port.bytes.clear();
  port.bytes.reserve(size + kBehindBytes);
  port.bytes.resize(size);
  LrtTensorBuffer* buffer = nullptr;
  SKERRY_TRY(LrtLibrary::check(
      lib_->api().create_buffer(&port.type, port.bytes.data(), size, nullptr, &buffer),
      Code::kInternal, "memory for a tensor"));
  port.buffer = LrtHandle<LrtTensorBuffer>(buffer, lib_->api().destroy_buffer);
  return {};
}

// What prepares or runs operators may miss some: LiteRT finds out so late.
Result<void> LiteRtModel::check_run(LrtStatus status, Code code, std::string_view what) const {
  auto checked = LrtLibrary::check(status, code, what);
  if (checked || scan_.custom_operators.empty()) return checked;
  return fail(Code::kUnsupported,
              fmt::format("{}; it has operators of its own, which this LiteRT may not have: {}",
                          checked.error().message(), fmt::join(scan_.custom_operators, ", ")));
}

// Makes the model ready for inputs of these shapes, where they are others than before.
Result<void> LiteRtModel::take_shapes(std::span<const TensorView* const> inputs) {
  const auto has_its_shape = [](const TensorView* view, const Port& port) {
    return std::ranges::equal(view->shape, shape_of(port.type.layout));
  };
  if (has_shapes_ && std::ranges::equal(inputs, input_ports_, has_its_shape)) return {};
  has_shapes_ = false;
  const LrtApi& api = lib_->api();
  for (size_t i = 0; i < inputs.size(); ++i) {
    Port& port = input_ports_[i];
    if (std::ranges::count(inputs[i]->shape, 0) > 0) {
      return fail(
          Code::kInvalidArgument,
          fmt::format("input '{}' is empty; LiteRT takes no dimension of 0", inputs_[i].name));
    }
    const auto layout = [&] {
      return LrtLibrary::check(api.input_layout(compiled_.get(), signature_, i, &port.type.layout),
                               Code::kInternal, "the shape of an input");
    };
    SKERRY_TRY(layout());
    if (!has_its_shape(inputs[i], port)) {
      const std::vector<int> shape(inputs[i]->shape.begin(), inputs[i]->shape.end());
      SKERRY_TRY(LrtLibrary::check(
          api.resize_input(compiled_.get(), signature_, i, shape.data(), shape.size()),
          Code::kInvalidArgument,
          fmt::format("the model does not take input '{}' as [{}]", inputs_[i].name,
                      fmt::join(shape, ","))));
      SKERRY_TRY(layout());
    }
    SKERRY_TRY(allocate(port));
  }
  std::vector<LrtLayout> layouts(output_ports_.size());
  SKERRY_TRY(check_run(
      api.output_layouts(compiled_.get(), signature_, layouts.size(), layouts.data(), true),
      Code::kInvalidArgument, "the model does not take these shapes"));
  for (size_t i = 0; i < layouts.size(); ++i) {
    output_ports_[i].type.layout = layouts[i];
    SKERRY_TRY(allocate(output_ports_[i]));
  }
  has_shapes_ = true;
  return {};
}

Result<std::vector<Tensor>> LiteRtModel::run(std::span<const TensorView> inputs,
                                             std::span<const std::string> wanted,
                                             const std::stop_token& stop) {
  SKERRY_ASSIGN(const auto matched, match_inputs(inputs_, inputs));
  SKERRY_ASSIGN(const auto selected, select_outputs(outputs_, wanted));
  SKERRY_TRY(take_shapes(matched));
  std::vector<LrtTensorBuffer*> in;
  std::vector<LrtTensorBuffer*> out;
  for (size_t i = 0; i < matched.size(); ++i) {
    std::ranges::copy(matched[i]->bytes, input_ports_[i].bytes.begin());
    in.push_back(input_ports_[i].buffer.get());
  }
  for (const Port& port : output_ports_) out.push_back(port.buffer.get());
  const LrtApi& api = lib_->api();
  // LiteRT looks at it between two operators, those of a loop's body too.
  std::stop_token asked = stop;
  SKERRY_TRY(LrtLibrary::check(
      api.set_cancellation(
          compiled_.get(), &asked,
          [](void* token) { return static_cast<std::stop_token*>(token)->stop_requested(); }),
      Code::kInternal, "the run"));
  const auto ran =
      check_run(api.run(compiled_.get(), signature_, in.size(), in.data(), out.size(), out.data()),
                Code::kInternal, "the model failed");
  api.set_cancellation(compiled_.get(), nullptr, nullptr);
  if (!ran && stop.stop_requested()) return fail(Code::kCancelled, "the run was stopped");
  SKERRY_TRY(ran);
  if (profiler_ != nullptr) SKERRY_TRY(take_events());
  std::vector<Tensor> results;
  results.reserve(selected.size());
  for (const size_t i : selected) {
    const Port& port = output_ports_[i];
    results.push_back({outputs_[i].name, outputs_[i].type, shape_of(port.type.layout), port.bytes});
  }
  return results;
}

class LiteRtRuntime : public Runtime {
 public:
  explicit LiteRtRuntime(std::shared_ptr<const LrtLibrary> lib) : lib_(std::move(lib)) {}

  std::string_view name() const override { return "litert"; }
  std::string version() const override { return lib_->version(); }
  Capabilities capabilities() const override {
    Capabilities can{.interruptible = true,
                     .batching = true,
                     .stateful = true,
                     .empty_tensors = false,
                     .counts_memory = true,
                     .measures_layers = true};
    for (const LiteRtType& pair : kLiteRtTypes) can.types.push_back(pair.ours);
    return can;
  }

 private:
  Result<std::unique_ptr<Model>> load_files(const ModelSource& source,
                                            const LoadOptions& options) override {
    SKERRY_ASSIGN(
        tensor::Bytes bytes,
        source.read(source.main_file(), std::min(options.max_file_bytes, kMaxFlatbufferBytes)));
    SKERRY_ASSIGN(TfliteScan scan,
                  scan_tflite({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    auto model = std::make_unique<LiteRtModel>(lib_, std::move(bytes), std::move(scan));
    SKERRY_TRY(model->compile(options));
    return model;
  }

  std::shared_ptr<const LrtLibrary> lib_;
};

}  // namespace

Result<std::unique_ptr<Runtime>> open_litert(const std::string& library_path) {
  SKERRY_ASSIGN(auto library, LrtLibrary::open(library_path));
  return std::make_unique<LiteRtRuntime>(std::move(library));
}

}  // namespace skerry::runtime
