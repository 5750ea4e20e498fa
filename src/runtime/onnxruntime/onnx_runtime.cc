// The Runtime interface on ONNX Runtime's C API.
#include "runtime/onnxruntime/onnx_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/memory_file.h"
#include "runtime/onnxruntime/model_scan.h"
#include "runtime/onnxruntime/ort_library.h"
#include "runtime/onnxruntime/profile.h"

namespace skerry::runtime {
namespace {

using tensor::DataType;

constexpr uint64_t kMaxModelBytes = uint64_t{2} << 30;  // protobuf's own limit

struct TypePair {
  DataType ours;
  ONNXTensorElementDataType theirs;
};

constexpr std::array<TypePair, 13> kTypes = {{
    {DataType::kBool, ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL},
    {DataType::kInt8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8},
    {DataType::kInt16, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16},
    {DataType::kInt32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
    {DataType::kInt64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
    {DataType::kUint8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
    {DataType::kUint16, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16},
    {DataType::kUint32, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32},
    {DataType::kUint64, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64},
    {DataType::kFp16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
    {DataType::kFp32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
    {DataType::kFp64, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
    {DataType::kBytes, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING},
}};

Result<DataType> from_ort(ONNXTensorElementDataType type) {
  for (const TypePair& pair : kTypes) {
    if (pair.theirs == type) return pair.ours;
  }
  return fail(Code::kUnsupported,
              fmt::format("element type {} of ONNX is not supported", static_cast<int>(type)));
}

ONNXTensorElementDataType to_ort(DataType type) {
  for (const TypePair& pair : kTypes) {
    if (pair.ours == type) return pair.theirs;
  }
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

Result<std::vector<int64_t>> shape_of(const OrtLibrary& ort,
                                      const OrtTensorTypeAndShapeInfo* info) {
  size_t rank = 0;
  SKERRY_TRY(ort.check(ort.api().GetDimensionsCount(info, &rank), Code::kInternal, "rank"));
  std::vector<int64_t> shape(rank);
  SKERRY_TRY(
      ort.check(ort.api().GetDimensions(info, shape.data(), rank), Code::kInternal, "shape"));
  return shape;
}

class OnnxModel : public Model {
 public:
  // `ort` is shared: every model needs the library, and may outlive the runtime that loaded it.
  OnnxModel(std::shared_ptr<const OrtLibrary> ort, OrtHandle<OrtSession> session,
            OrtHandle<OrtMemoryInfo> memory, bool is_bounded)
      : ort_(std::move(ort)),
        session_(std::move(session)),
        memory_(std::move(memory)),
        is_bounded_(is_bounded) {}

  Result<void> read_specs();

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }
  bool is_bounded() const override { return is_bounded_; }
  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                  std::span<const std::string> wanted,
                                  const std::stop_token& stop) override;
  Result<std::vector<LayerTime>> layer_times() override;

 private:
  Result<TensorSpec> read_spec(char* name, OrtTypeInfo* type) const;
  Result<OrtHandle<OrtValue>> to_value(const TensorView& view) const;
  Result<OrtHandle<OrtValue>> to_string_value(const TensorView& view) const;
  Result<Tensor> to_tensor(const std::string& name, OrtValue* value) const;
  Result<tensor::Bytes> string_bytes(const OrtValue* value, size_t count) const;

  std::shared_ptr<const OrtLibrary> ort_;
  OrtHandle<OrtSession> session_;
  OrtHandle<OrtMemoryInfo> memory_;
  bool is_bounded_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<const char*> input_names_;  // in inputs_
};

// Takes ownership of both.
Result<TensorSpec> OnnxModel::read_spec(char* name, OrtTypeInfo* type) const {
  const OrtApi& api = ort_->api();
  const auto owned_type = ort_->own(type, api.ReleaseTypeInfo);
  OrtAllocator* allocator = nullptr;
  SKERRY_TRY(
      ort_->check(api.GetAllocatorWithDefaultOptions(&allocator), Code::kInternal, "memory"));
  TensorSpec spec{.name = name};
  allocator->Free(allocator, name);

  const OrtTensorTypeAndShapeInfo* info = nullptr;  // belongs to owned_type
  SKERRY_TRY(ort_->check(api.CastTypeInfoToTensorInfo(type, &info), Code::kInternal, "type"));
  if (info == nullptr) {
    return fail(Code::kUnsupported, fmt::format("'{}' is no tensor but a sequence or map; "
                                                "export the model without it",
                                                spec.name));
  }
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  SKERRY_TRY(ort_->check(api.GetTensorElementType(info, &element), Code::kInternal, "type"));
  auto ours = from_ort(element);
  if (!ours) return fail(ours.error().with_context(fmt::format("'{}'", spec.name)));
  spec.type = *ours;
  SKERRY_ASSIGN(spec.shape, shape_of(*ort_, info));
  return spec;
}

Result<void> OnnxModel::read_specs() {
  const OrtApi& api = ort_->api();
  OrtSession* session = session_.get();
  OrtAllocator* allocator = nullptr;
  SKERRY_TRY(
      ort_->check(api.GetAllocatorWithDefaultOptions(&allocator), Code::kInternal, "memory"));
  size_t input_count = 0;
  size_t output_count = 0;
  SKERRY_TRY(
      ort_->check(api.SessionGetInputCount(session, &input_count), Code::kInternal, "inputs"));
  SKERRY_TRY(
      ort_->check(api.SessionGetOutputCount(session, &output_count), Code::kInternal, "outputs"));
  for (size_t i = 0; i < input_count + output_count; ++i) {
    const bool is_input = i < input_count;
    const size_t index = is_input ? i : i - input_count;
    char* name = nullptr;
    OrtTypeInfo* type = nullptr;
    SKERRY_TRY(ort_->check(is_input ? api.SessionGetInputTypeInfo(session, index, &type)
                                    : api.SessionGetOutputTypeInfo(session, index, &type),
                           Code::kInternal, "type"));
    auto owned_type = ort_->own(type, api.ReleaseTypeInfo);
    SKERRY_TRY(ort_->check(is_input ? api.SessionGetInputName(session, index, allocator, &name)
                                    : api.SessionGetOutputName(session, index, allocator, &name),
                           Code::kInternal, "name"));
    SKERRY_ASSIGN(TensorSpec spec, read_spec(name, owned_type.release()));
    (is_input ? inputs_ : outputs_).push_back(std::move(spec));
  }
  for (const TensorSpec& input : inputs_) input_names_.push_back(input.name.c_str());
  return {};
}

Result<OrtHandle<OrtValue>> OnnxModel::to_string_value(const TensorView& view) const {
  const OrtApi& api = ort_->api();
  SKERRY_ASSIGN(const size_t count, tensor::element_count(view.shape));
  SKERRY_ASSIGN(const auto elements, tensor::split_bytes(view.bytes, count));
  OrtAllocator* allocator = nullptr;
  SKERRY_TRY(
      ort_->check(api.GetAllocatorWithDefaultOptions(&allocator), Code::kInternal, "memory"));
  OrtValue* value = nullptr;
  SKERRY_TRY(ort_->check(api.CreateTensorAsOrtValue(allocator, view.shape.data(), view.shape.size(),
                                                    ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &value),
                         Code::kInternal, "input", view.name));
  auto owned = ort_->own(value, api.ReleaseValue);
  for (size_t i = 0; i < count; ++i) {
    char* buffer = nullptr;
    SKERRY_TRY(
        ort_->check(api.GetResizedStringTensorElementBuffer(value, i, elements[i].size(), &buffer),
                    Code::kInternal, "input", view.name));
    if (!elements[i].empty()) std::memcpy(buffer, elements[i].data(), elements[i].size());
  }
  return owned;
}

// The value refers to the view's bytes.
Result<OrtHandle<OrtValue>> OnnxModel::to_value(const TensorView& view) const {
  if (view.type == DataType::kBytes) return to_string_value(view);
  OrtValue* value = nullptr;
  // ONNX Runtime does not write to inputs; its C API merely has no const.
  auto* data = const_cast<std::byte*>(view.bytes.data());
  SKERRY_TRY(ort_->check(ort_->api().CreateTensorWithDataAsOrtValue(
                             memory_.get(), data, view.bytes.size(), view.shape.data(),
                             view.shape.size(), to_ort(view.type), &value),
                         Code::kInternal, "input", view.name));
  return ort_->own(value, ort_->api().ReleaseValue);
}

Result<tensor::Bytes> OnnxModel::string_bytes(const OrtValue* value, size_t count) const {
  const OrtApi& api = ort_->api();
  tensor::Bytes bytes;
  std::string element;
  for (size_t i = 0; i < count; ++i) {
    size_t length = 0;
    SKERRY_TRY(ort_->check(api.GetStringTensorElementLength(value, i, &length), Code::kInternal,
                           "string output"));
    element.resize(length);
    SKERRY_TRY(ort_->check(api.GetStringTensorElement(value, length, i, element.data()),
                           Code::kInternal, "string output"));
    tensor::append_bytes(bytes, element);
  }
  return bytes;
}

Result<Tensor> OnnxModel::to_tensor(const std::string& name, OrtValue* value) const {
  const OrtApi& api = ort_->api();
  OrtTensorTypeAndShapeInfo* info = nullptr;
  SKERRY_TRY(ort_->check(api.GetTensorTypeAndShape(value, &info), Code::kInternal, "output", name));
  const auto owned_info = ort_->own(info, api.ReleaseTensorTypeAndShapeInfo);
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  SKERRY_TRY(ort_->check(api.GetTensorElementType(info, &element), Code::kInternal, "type"));
  Tensor result{.name = name};
  SKERRY_ASSIGN(result.type, from_ort(element));
  SKERRY_ASSIGN(result.shape, shape_of(*ort_, info));
  SKERRY_ASSIGN(const size_t count, tensor::element_count(result.shape));
  if (result.type == DataType::kBytes) {
    SKERRY_ASSIGN(result.bytes, string_bytes(value, count));
    return result;
  }
  void* data = nullptr;
  SKERRY_TRY(ort_->check(api.GetTensorMutableData(value, &data), Code::kInternal, "data"));
  const auto* first = static_cast<const std::byte*>(data);
  result.bytes.assign(first, first + count * tensor::size_of(result.type));
  return result;
}

Result<std::vector<Tensor>> OnnxModel::run(std::span<const TensorView> inputs,
                                           std::span<const std::string> wanted,
                                           const std::stop_token& stop) {
  SKERRY_ASSIGN(auto matched, match_inputs(inputs_, inputs));
  SKERRY_ASSIGN(auto selected, select_outputs(outputs_, wanted));

  const OrtApi& api = ort_->api();
  std::vector<tensor::Bytes> aligned;
  aligned.reserve(matched.size());  // values refer to its elements' storage
  std::vector<OrtHandle<OrtValue>> values;
  values.reserve(matched.size() + selected.size());
  std::vector<const OrtValue*> raw_inputs;
  raw_inputs.reserve(matched.size());
  for (size_t i = 0; i < matched.size(); ++i) {
    TensorView view = *matched[i];
    // The same tensor gives the same bits, wherever the caller keeps it.
    if (reinterpret_cast<uintptr_t>(view.bytes.data()) % tensor::kAlignment != 0) {
      aligned.emplace_back(view.bytes.begin(), view.bytes.end());
      view.bytes = aligned.back();
    }
    SKERRY_ASSIGN(auto value, to_value(view));
    raw_inputs.push_back(value.get());
    values.push_back(std::move(value));
  }

  std::vector<const char*> output_names;
  output_names.reserve(selected.size());
  for (const size_t i : selected) output_names.push_back(outputs_[i].name.c_str());
  std::vector<OrtValue*> raw_outputs(selected.size(), nullptr);
  // A run that nobody can stop, such as a short one on the caller's loop, needs no options.
  OrtRunOptions* options = nullptr;
  if (stop.stop_possible()) {
    SKERRY_TRY(ort_->check(api.CreateRunOptions(&options), Code::kInternal, "run options"));
  }
  const auto owned_options = ort_->own(options, api.ReleaseRunOptions);
  // ONNX Runtime looks at it between two nodes, those of a loop's body too.
  const std::stop_callback terminate(
      stop, [&api, options] { api.ReleaseStatus(api.RunOptionsSetTerminate(options)); });
  auto ran = ort_->check(
      api.Run(session_.get(), options, input_names_.data(), raw_inputs.data(), raw_inputs.size(),
              output_names.data(), output_names.size(), raw_outputs.data()),
      Code::kInternal, "the model failed");
  for (OrtValue* output : raw_outputs) values.push_back(ort_->own(output, api.ReleaseValue));
  if (!ran && stop.stop_requested()) return fail(Code::kCancelled, "the run was stopped");
  if (!ran) return fail(std::move(ran.error()));

  std::vector<Tensor> results;
  results.reserve(selected.size());
  for (size_t i = 0; i < selected.size(); ++i) {
    SKERRY_ASSIGN(Tensor output, to_tensor(outputs_[selected[i]].name, raw_outputs[i]));
    results.push_back(std::move(output));
  }
  return results;
}

Result<std::vector<LayerTime>> OnnxModel::layer_times() {
  const OrtApi& api = ort_->api();
  OrtAllocator* allocator = nullptr;
  SKERRY_TRY(
      ort_->check(api.GetAllocatorWithDefaultOptions(&allocator), Code::kInternal, "memory"));
  char* name = nullptr;
  SKERRY_TRY(ort_->check(api.SessionEndProfiling(session_.get(), allocator, &name), Code::kInternal,
                         "profile"));
  const std::string path = name;
  allocator->Free(allocator, name);
  if (path.empty()) {
    return fail(Code::kFailedPrecondition, "the model was loaded without profile_directory");
  }
  return read_profile(path);
}

class OnnxRuntime : public Runtime {
 public:
  explicit OnnxRuntime(std::shared_ptr<const OrtLibrary> ort) : ort_(std::move(ort)) {}

  std::string_view name() const override { return "onnxruntime"; }
  std::string version() const override { return ort_->version(); }
  Capabilities capabilities() const override {
    return {.thread_safe = true,
            .interruptible = true,
            .several_files = true,
            .batching = true,
            .measures_layers = true,
            .types = tensor::all_data_types()};
  }

 private:
  Result<OrtHandle<OrtSessionOptions>> session_options(const LoadOptions& options) const;
  Result<void> add_external_files(OrtSessionOptions* session, const ModelSource& source,
                                  const std::vector<std::string>& names,
                                  std::vector<tensor::Bytes>& contents, uint64_t max_bytes) const;
  Result<OrtHandle<OrtSession>> create_session(const std::string& path,
                                               const OrtSessionOptions* options) const;
  Result<std::unique_ptr<Model>> load_files(const ModelSource& source,
                                            const LoadOptions& options) override;

  std::shared_ptr<const OrtLibrary> ort_;
};

Result<OrtHandle<OrtSessionOptions>> OnnxRuntime::session_options(
    const LoadOptions& options) const {
  const OrtApi& api = ort_->api();
  OrtSessionOptions* session = nullptr;
  SKERRY_TRY(ort_->check(api.CreateSessionOptions(&session), Code::kInternal, "session options"));
  auto owned = ort_->own(session, api.ReleaseSessionOptions);
  const auto set = [this](OrtStatus* status) {
    return ort_->check(status, Code::kInternal, "session options");
  };
  SKERRY_TRY(set(api.SetIntraOpNumThreads(session, options.threads)));
  SKERRY_TRY(set(api.SetInterOpNumThreads(session, 1)));
  SKERRY_TRY(set(api.SetSessionGraphOptimizationLevel(session, ORT_ENABLE_ALL)));
  // Spinning threads would burn a small device's CPU between requests.
  SKERRY_TRY(set(api.AddSessionConfigEntry(session, "session.intra_op.allow_spinning", "0")));
  if (!options.profile_directory.empty()) {
    const std::string prefix = options.profile_directory + "/onnxruntime";
    SKERRY_TRY(set(api.EnableProfiling(session, prefix.c_str())));
  }
  return owned;
}

// ONNX Runtime takes the data from `contents`, which must live until the session is made; it opens
// no file itself.
Result<void> OnnxRuntime::add_external_files(OrtSessionOptions* session, const ModelSource& source,
                                             const std::vector<std::string>& names,
                                             std::vector<tensor::Bytes>& contents,
                                             uint64_t max_bytes) const {
  std::vector<const char*> raw_names;
  std::vector<char*> raw_contents;
  std::vector<size_t> sizes;
  for (const std::string& name : names) {
    if (!source.has(name)) {
      return fail(Code::kUnsupported,
                  fmt::format("tensors have their data in '{}', which model.json does not list in "
                              "\"files\"; list it, or save the model with all data inside",
                              name));
    }
    SKERRY_ASSIGN(tensor::Bytes bytes, source.read(name, max_bytes));
    contents.push_back(std::move(bytes));
    raw_names.push_back(name.c_str());
    raw_contents.push_back(reinterpret_cast<char*>(contents.back().data()));
    sizes.push_back(contents.back().size());
  }
  if (names.empty()) return {};
  return ort_->check(
      ort_->api().AddExternalInitializersFromFilesInMemory(
          session, raw_names.data(), raw_contents.data(), sizes.data(), names.size()),
      Code::kCorrupt, "external data");
}

Result<OrtHandle<OrtSession>> OnnxRuntime::create_session(const std::string& path,
                                                          const OrtSessionOptions* options) const {
  const OrtApi& api = ort_->api();
  OrtSession* session = nullptr;
  auto created = ort_->check(api.CreateSession(ort_->env(), path.c_str(), options, &session),
                             Code::kCorrupt, "ONNX Runtime refuses the model");
  if (created) return ort_->own(session, api.ReleaseSession);
  // An operator or operator set that this version lacks has no error code of its own.
  const std::string& text = created.error().message();
  const bool lacks = text.find("No Op registered for") != std::string::npos ||
                     text.find("is not a registered function/op") != std::string::npos ||
                     text.find("official support for domain") != std::string::npos;
  return fail(lacks ? Code::kUnsupported : created.error().code(), text);
}

Result<std::unique_ptr<Model>> OnnxRuntime::load_files(const ModelSource& source,
                                                       const LoadOptions& options) {
  const OrtApi& api = ort_->api();
  SKERRY_ASSIGN(auto file,
                source.open(source.main_file(), std::min(options.max_file_bytes, kMaxModelBytes)));
  SKERRY_ASSIGN(const MemoryFile model_file, MemoryFile::copy(std::move(file)));
  SKERRY_ASSIGN(const ModelScan scan, scan_model(model_file.bytes()));
  SKERRY_ASSIGN(auto session_settings, session_options(options));
  std::vector<tensor::Bytes> contents;
  SKERRY_TRY(add_external_files(session_settings.get(), source, scan.external_files, contents,
                                options.max_file_bytes));
  OrtMemoryInfo* memory = nullptr;
  SKERRY_TRY(ort_->check(api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory),
                         Code::kInternal, "memory"));
  auto owned_memory = ort_->own(memory, api.ReleaseMemoryInfo);
  SKERRY_ASSIGN(auto session, create_session(model_file.path(), session_settings.get()));
  auto model = std::make_unique<OnnxModel>(ort_, std::move(session), std::move(owned_memory),
                                           scan.is_bounded);
  SKERRY_TRY(model->read_specs());
  return model;
}

}  // namespace

Result<std::unique_ptr<Runtime>> open_onnx_runtime(const std::string& library_path) {
  SKERRY_ASSIGN(auto library, OrtLibrary::open(library_path));
  return std::make_unique<OnnxRuntime>(std::move(library));
}

}  // namespace skerry::runtime
