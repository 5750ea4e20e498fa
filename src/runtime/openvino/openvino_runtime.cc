// The Runtime interface on OpenVINO's C API.
#include "runtime/openvino/openvino_runtime.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>

#include "io/temporary_folder.h"
#include "runtime/litert/model_scan.h"
#include "runtime/memory_file.h"
#include "runtime/onnxruntime/model_scan.h"
#include "runtime/openvino/openvino_library.h"

namespace skerry::runtime {
namespace {

using tensor::DataType;

constexpr uint64_t kMaxOpenVinoBytes = uint64_t{2} << 30;
constexpr size_t kAlignment = 64;  // of memory that is used as it is

// Not those that OpenVINO computes in fewer bits on a CPU, but for INT64, which models use for
// small numbers; others than such are refused.
struct OpenVinoType {
  DataType ours;
  int theirs;  // ov_element_type_e
};
constexpr std::array<OpenVinoType, 10> kOpenVinoTypes = {{
    {DataType::kBool, 1},
    {DataType::kFp16, 3},
    {DataType::kFp32, 4},
    {DataType::kInt8, 7},
    {DataType::kInt16, 8},
    {DataType::kInt32, 9},
    {DataType::kInt64, 10},
    {DataType::kUint8, 16},
    {DataType::kUint16, 17},
    {DataType::kUint32, 18},
}};

Result<void> check_narrow(const TensorView& view) {
  if (view.type != DataType::kInt64) return {};
  for (size_t at = 0; at < view.bytes.size(); at += sizeof(int64_t)) {
    int64_t value = 0;
    std::memcpy(&value, view.bytes.data() + at, sizeof(value));
    if (value >= INT32_MIN && value <= INT32_MAX) continue;
    return fail(
        Code::kInvalidArgument,
        fmt::format("input '{}' has {}; OpenVINO computes INT64 in 32 bits", view.name, value));
  }
  return {};
}

int type_of(DataType type) {
  return std::ranges::find(kOpenVinoTypes, type, &OpenVinoType::ours)->theirs;
}

// Used by one run at a time, with the memory of the inputs that it cannot take as they are.
struct Request {
  OvHandle<OvInferRequest> handle{nullptr, nullptr};
  std::vector<tensor::Bytes> copies;
};

class OpenVinoModel : public Model {
 public:
  // `lib` is shared: every model needs the library, and may outlive the runtime that loaded it.
  OpenVinoModel(std::shared_ptr<const OvLibrary> lib, std::vector<MemoryFile> files,
                bool is_bounded)
      : lib_(std::move(lib)), files_(std::move(files)), is_bounded_(is_bounded) {}

  // From `path`, in whose folder the model's other files are.
  Result<void> compile(const std::string& path, const LoadOptions& options);

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }
  bool is_bounded() const override { return is_bounded_; }
  Result<std::vector<LayerTime>> layer_times() override;
  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                  std::span<const std::string> wanted,
                                  const std::stop_token& stop) override;

 private:
  Result<void> read_specs(const OvModel* model);
  Result<TensorSpec> read_spec(const OvPort* port) const;
  Result<std::vector<int64_t>> shape_of(const OvPort* port) const;
  Result<std::unique_ptr<Request>> take_request();
  void give_back(std::unique_ptr<Request> request);
  Result<void> put(Request& request, size_t index, const TensorView& view) const;
  Result<Tensor> get(const Request& request, size_t index) const;

  std::shared_ptr<const OvLibrary> lib_;
  std::vector<MemoryFile> files_;  // whose pages OpenVINO may still read
  bool is_bounded_;
  bool is_profiled_ = false;
  OvHandle<OvCompiledModel> compiled_{nullptr, nullptr};
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Request>> idle_;  // as many as have ever run at once
};

Result<void> OpenVinoModel::compile(const std::string& path, const LoadOptions& options) {
  const OvApi& api = lib_->api();
  OvModel* read = nullptr;
  // "": the weights of an IR lie beside it, under the same name.
  SKERRY_TRY(lib_->check(api.read_model(lib_->core(), path.c_str(), nullptr, &read), Code::kCorrupt,
                         "the model is damaged, or has what OpenVINO does not read"));
  const OvHandle<OvModel> model(read, api.free_model);
  SKERRY_TRY(read_specs(model.get()));
  if (outputs_.empty()) return fail(Code::kCorrupt, "the model has no output");
  const std::string threads = std::to_string(options.threads);
  // With one thread of a stream, OpenVINO 2026.4 answers a run that fails with success and empty
  // outputs; without streams the caller's own thread runs the model, and errors come back.
  const char* const streams = options.threads == 1 ? "0" : "1";
  is_profiled_ = !options.profile_directory.empty();
  // By default it computes in bfloat16 where the processor can, which is another result.
  OvCompiledModel* compiled = nullptr;
  SKERRY_TRY(lib_->check(
      api.compile(lib_->core(), model.get(), "CPU", 10, &compiled, "INFERENCE_PRECISION_HINT",
                  "f32", "INFERENCE_NUM_THREADS", threads.c_str(), "NUM_STREAMS", streams,
                  "ENABLE_CPU_PINNING", "NO", "PERF_COUNT", is_profiled_ ? "YES" : "NO"),
      Code::kUnsupported, "OpenVINO cannot run the model"));
  compiled_ = {compiled, api.free_compiled};
  return {};
}

Result<void> OpenVinoModel::read_specs(const OvModel* model) {
  const OvApi& api = lib_->api();
  const auto read = [&](auto count_of, auto port_of, auto& specs) -> Result<void> {
    size_t count = 0;
    SKERRY_TRY(lib_->check(count_of(model, &count), Code::kCorrupt, "the model's tensors"));
    for (size_t i = 0; i < count; ++i) {
      OvPort* port = nullptr;
      SKERRY_TRY(lib_->check(port_of(model, i, &port), Code::kCorrupt, "the model's tensors"));
      const OvHandle<OvPort> owned(port, api.free_port);
      SKERRY_ASSIGN(TensorSpec spec, read_spec(port));
      specs.push_back(std::move(spec));
    }
    return {};
  };
  SKERRY_TRY(read(api.input_count, api.input, inputs_));
  return read(api.output_count, api.output, outputs_);
}

Result<TensorSpec> OpenVinoModel::read_spec(const OvPort* port) const {
  const OvApi& api = lib_->api();
  char* name = nullptr;
  SKERRY_TRY(lib_->check(api.port_name(port, &name), Code::kUnsupported, "a tensor has no name"));
  TensorSpec spec{.name = name, .type = DataType::kFp32, .shape = {}};
  api.free_text(name);
  int type = 0;
  SKERRY_TRY(lib_->check(api.port_type(port, &type), Code::kCorrupt, "the type of a tensor"));
  const auto* known = std::ranges::find(kOpenVinoTypes, type, &OpenVinoType::theirs);
  if (known == kOpenVinoTypes.end()) {
    return fail(Code::kUnsupported,
                fmt::format("tensor '{}' has element type {} of OpenVINO, which is not supported",
                            spec.name, type));
  }
  spec.type = known->ours;
  SKERRY_ASSIGN(spec.shape, shape_of(port));
  return spec;
}

Result<std::vector<int64_t>> OpenVinoModel::shape_of(const OvPort* port) const {
  const OvApi& api = lib_->api();
  OvPartialShape shape{};
  SKERRY_TRY(lib_->check(api.port_shape(port, &shape), Code::kCorrupt, "the shape of a tensor"));
  std::vector<int64_t> result;
  const bool has_rank = shape.rank.min == shape.rank.max && shape.rank.min >= 0;
  for (int64_t i = 0; has_rank && i < shape.rank.min; ++i) {
    const OvDimension& dimension = shape.dimensions[i];
    result.push_back(dimension.min == dimension.max ? dimension.min : -1);
  }
  api.free_partial_shape(&shape);
  if (has_rank) return result;
  return fail(Code::kUnsupported, "a tensor has no rank");
}

Result<std::unique_ptr<Request>> OpenVinoModel::take_request() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto request = std::move(idle_.back());
      idle_.pop_back();
      return request;
    }
  }
  const OvApi& api = lib_->api();
  OvInferRequest* made = nullptr;
  SKERRY_TRY(lib_->check(api.create_request(compiled_.get(), &made), Code::kResourceExhausted,
                         "memory for a run"));
  auto request = std::make_unique<Request>();
  request->handle = {made, api.free_request};
  request->copies.resize(inputs_.size());
  return request;
}

void OpenVinoModel::give_back(std::unique_ptr<Request> request) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(request));
}

// The input's bytes are used where they lie, unless they lie across.
Result<void> OpenVinoModel::put(Request& request, size_t index, const TensorView& view) const {
  SKERRY_TRY(check_narrow(view));
  const OvApi& api = lib_->api();
  const auto address = reinterpret_cast<uintptr_t>(view.bytes.data());
  auto* data = const_cast<std::byte*>(view.bytes.data());  // OpenVINO does not write to inputs
  if (address % kAlignment != 0 || data == nullptr) {
    tensor::Bytes& copy = request.copies[index];
    copy.reserve(view.bytes.size() + 1);  // an address even where there are no bytes
    copy.assign(view.bytes.begin(), view.bytes.end());
    data = copy.data();
  }
  std::vector<int64_t> dimensions(view.shape.begin(), view.shape.end());
  OvTensor* made = nullptr;
  SKERRY_TRY(lib_->check(
      api.create_tensor(type_of(view.type),
                        {static_cast<int64_t>(dimensions.size()), dimensions.data()}, data, &made),
      Code::kInternal, fmt::format("input '{}'", view.name)));
  const OvHandle<OvTensor> tensor(made, api.free_tensor);
  return lib_->check(api.set_input(request.handle.get(), index, made), Code::kInvalidArgument,
                     fmt::format("the model does not take input '{}'", view.name));
}

Result<Tensor> OpenVinoModel::get(const Request& request, size_t index) const {
  const OvApi& api = lib_->api();
  const auto check = [&](OvStatus status) {
    return lib_->check(status, Code::kInternal, fmt::format("output '{}'", outputs_[index].name));
  };
  OvTensor* given = nullptr;
  SKERRY_TRY(check(api.get_output(request.handle.get(), index, &given)));
  const OvHandle<OvTensor> tensor(given, api.free_tensor);
  Tensor result{outputs_[index].name, outputs_[index].type, {}, {}};
  OvShape shape{};
  SKERRY_TRY(check(api.tensor_shape(given, &shape)));
  result.shape.assign(shape.dimensions, shape.dimensions + shape.rank);
  api.free_shape(&shape);
  size_t size = 0;
  void* data = nullptr;
  SKERRY_TRY(check(api.tensor_bytes(given, &size)));
  SKERRY_TRY(check(api.tensor_data(given, &data)));
  const auto* first = static_cast<const std::byte*>(data);
  result.bytes.assign(first, first + size);
  return result;
}

Result<std::vector<Tensor>> OpenVinoModel::run(std::span<const TensorView> inputs,
                                               std::span<const std::string> wanted,
                                               const std::stop_token& stop) {
  SKERRY_ASSIGN(const auto matched, match_inputs(inputs_, inputs));
  SKERRY_ASSIGN(const auto selected, select_outputs(outputs_, wanted));
  SKERRY_ASSIGN(auto request, take_request());
  for (size_t i = 0; i < matched.size(); ++i) SKERRY_TRY(put(*request, i, *matched[i]));
  const OvApi& api = lib_->api();
  OvStatus status = 0;
  {
    // It looks at it between two operators.
    const std::stop_callback cancel(stop, [&] { api.cancel(request->handle.get()); });
    status = api.infer(request->handle.get());
  }
  if (stop.stop_requested() && status != 0) return fail(Code::kCancelled, "the run was stopped");
  SKERRY_TRY(lib_->check(status, Code::kInternal, "the model failed"));
  std::vector<Tensor> results;
  results.reserve(selected.size());
  for (const size_t i : selected) {
    SKERRY_ASSIGN(Tensor result, get(*request, i));
    results.push_back(std::move(result));
  }
  give_back(std::move(request));  // one that failed is not used again
  return results;
}

// OpenVINO keeps a mean of all runs of a request.
Result<std::vector<LayerTime>> OpenVinoModel::layer_times() {
  if (!is_profiled_) {
    return fail(Code::kFailedPrecondition, "the model was loaded without profile_directory");
  }
  SKERRY_ASSIGN(const auto request, take_request());
  const OvApi& api = lib_->api();
  OvProfilingInfos infos{};
  SKERRY_TRY(
      lib_->check(api.profile(request->handle.get(), &infos), Code::kInternal, "what layers take"));
  std::vector<LayerTime> times;
  for (size_t i = 0; i < infos.count; ++i) {
    const OvProfilingInfo& info = infos.first[i];
    if (info.status != kOvExecuted) continue;
    times.push_back({info.name, info.op, static_cast<double>(info.real_us)});
  }
  api.free_profile(&infos);
  return times;
}

// The files of a package as OpenVINO finds them: it knows formats by the ends of names.
struct Links {
  io::TemporaryFolder folder;
  std::vector<MemoryFile> files;

  Result<std::string_view> add(const ModelSource& source, const std::string& path,
                               const std::string& name, uint64_t max_bytes) {
    SKERRY_ASSIGN(ModelFile file, source.open(path, max_bytes));
    SKERRY_ASSIGN(MemoryFile copy, MemoryFile::copy(std::move(file)));
    const std::string at = folder.path(name);
    if (::symlink(copy.path().c_str(), at.c_str()) != 0) {
      return fail(errno_error("symlink", at, errno));
    }
    files.push_back(std::move(copy));
    return files.back().bytes();
  }
};

// What the formats' own scans say of a model, and its other files.
Result<bool> add_onnx(Links& links, const ModelSource& source, uint64_t max_bytes) {
  SKERRY_ASSIGN(const std::string_view bytes,
                links.add(source, source.main_file(), "model.onnx", max_bytes));
  SKERRY_ASSIGN(const ModelScan scan, scan_model(bytes));
  for (const std::string& path : scan.external_files) {
    if (path.find('/') != std::string::npos) {
      return fail(Code::kUnsupported,
                  fmt::format("its data is in '{}': put it beside the model", path));
    }
    SKERRY_TRY(links.add(source, path, path, max_bytes));
  }
  return scan.is_bounded;
}

Result<bool> add_tflite(Links& links, const ModelSource& source, uint64_t max_bytes) {
  SKERRY_ASSIGN(const std::string_view bytes,
                links.add(source, source.main_file(), "model.tflite", max_bytes));
  SKERRY_ASSIGN(const TfliteScan scan, scan_tflite(bytes));
  return scan.is_bounded;
}

// An IR's own operators are not looked at: it may have loops.
Result<bool> add_ir(Links& links, const ModelSource& source, uint64_t max_bytes) {
  const std::string stem = source.main_file().substr(0, source.main_file().size() - 4);
  SKERRY_TRY(links.add(source, source.main_file(), "model.xml", max_bytes));
  if (source.has(stem + ".bin"))
    SKERRY_TRY(links.add(source, stem + ".bin", "model.bin", max_bytes));
  return false;
}

struct Format {
  std::string_view ending;
  Result<bool> (*add)(Links&, const ModelSource&, uint64_t max_bytes);
};
constexpr std::array<Format, 3> kFormats = {
    {{".onnx", add_onnx}, {".tflite", add_tflite}, {".xml", add_ir}}};

class OpenVinoRuntime : public Runtime {
 public:
  explicit OpenVinoRuntime(std::shared_ptr<const OvLibrary> lib) : lib_(std::move(lib)) {}

  std::string_view name() const override { return "openvino"; }
  std::string version() const override { return lib_->version(); }
  Capabilities capabilities() const override {
    Capabilities can{.thread_safe = true,
                     .several_files = true,
                     .batching = true,
                     .wide_integers = false,
                     .measures_layers = true};
    for (const OpenVinoType& pair : kOpenVinoTypes) can.types.push_back(pair.ours);
    return can;
  }

 private:
  Result<std::unique_ptr<Model>> load_files(const ModelSource& source,
                                            const LoadOptions& options) override {
    const std::string_view file = source.main_file();
    const auto* format = std::ranges::find_if(
        kFormats, [&](const Format& each) { return file.ends_with(each.ending); });
    if (format == kFormats.end()) {
      return fail(Code::kUnsupported, "OpenVINO's models end in .onnx, .tflite or .xml");
    }
    SKERRY_ASSIGN(io::TemporaryFolder folder, io::TemporaryFolder::make("skerry-openvino"));
    Links links{std::move(folder), {}};
    SKERRY_ASSIGN(const bool is_bounded,
                  format->add(links, source, std::min(options.max_file_bytes, kMaxOpenVinoBytes)));
    const std::string path = links.folder.path("model" + std::string(format->ending));
    auto model = std::make_unique<OpenVinoModel>(lib_, std::move(links.files), is_bounded);
    SKERRY_TRY(model->compile(path, options));
    return model;
  }

  std::shared_ptr<const OvLibrary> lib_;
};

}  // namespace

Result<std::unique_ptr<Runtime>> open_openvino(const std::string& library_path) {
  SKERRY_ASSIGN(auto library, OvLibrary::open(library_path));
  return std::make_unique<OpenVinoRuntime>(std::move(library));
}

}  // namespace skerry::runtime
