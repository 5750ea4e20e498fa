// Loads libLiteRt.so with dlopen, so that the runtime is a component of its own with its own
// version.
#include "runtime/litert/litert_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>

namespace skerry::runtime {
namespace {

// Options of an environment: see LrtEnvironmentOption.
constexpr int kAutoRegisterAccelerators = 24;
constexpr int kMinLogSeverity = 25;
constexpr int kInteger = 2;
constexpr int kCpuOnly = 1;
constexpr int kErrors = 3;

// Where functions are missing, the name of one of them; "" where all are there.
std::string find_functions(void* library, LrtApi& api) {
  std::string missing;
  const auto find = [&](const char* name, auto& function) {
    void* const symbol = ::dlsym(library, name);
    if (symbol == nullptr) missing = name;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  find("LiteRtCreateEnvironment", api.create_environment);
  find("LiteRtDestroyEnvironment", api.destroy_environment);
  find("LiteRtCreateModelFromBuffer", api.create_model);
  find("LiteRtDestroyModel", api.destroy_model);
  find("LiteRtCreateOptions", api.create_options);
  find("LiteRtDestroyOptions", api.destroy_options);
  find("LiteRtSetOptionsHardwareAccelerators", api.set_accelerators);
  find("LiteRtCreateOpaqueOptions", api.create_opaque_options);
  find("LiteRtAddOpaqueOptions", api.add_opaque_options);
  find("LiteRtCreateCompiledModel", api.compile);
  find("LiteRtDestroyCompiledModel", api.destroy_compiled);
  find("LiteRtGetNumModelSignatures", api.signature_count);
  find("LiteRtGetModelSignature", api.signature);
  find("LiteRtGetSignatureKey", api.signature_key);
  find("LiteRtGetNumSignatureInputs", api.input_count);
  find("LiteRtGetNumSignatureOutputs", api.output_count);
  find("LiteRtGetSignatureInputName", api.input_name);
  find("LiteRtGetSignatureOutputName", api.output_name);
  find("LiteRtGetSignatureInputTensorByIndex", api.input_tensor);
  find("LiteRtGetSignatureOutputTensorByIndex", api.output_tensor);
  find("LiteRtGetRankedTensorType", api.tensor_type);
  find("LiteRtGetCompiledModelInputTensorLayout", api.input_layout);
  find("LiteRtGetCompiledModelOutputTensorLayouts", api.output_layouts);
  find("LiteRtCompiledModelResizeInputTensor", api.resize_input);
  find("LiteRtCreateTensorBufferFromHostMemory", api.create_buffer);
  find("LiteRtDestroyTensorBuffer", api.destroy_buffer);
  find("LiteRtSetCompiledModelCancellationFunction", api.set_cancellation);
  find("LiteRtCompiledModelGetProfiler", api.profiler);
  find("LiteRtStartProfiler", api.start_profiler);
  find("LiteRtStopProfiler", api.stop_profiler);
  find("LiteRtResetProfiler", api.reset_profiler);
  find("LiteRtGetNumProfilerEvents", api.event_count);
  find("LiteRtGetProfilerEvents", api.events);
  find("LiteRtRunCompiledModel", api.run);
  return missing;
}

}  // namespace

Result<std::shared_ptr<const LrtLibrary>> LrtLibrary::open(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return fail(Code::kUnavailable, fmt::format("cannot load LiteRT: {}", ::dlerror()));
  }
  auto self = std::make_shared<LrtLibrary>();
  if (const std::string missing = find_functions(library, self->api_); !missing.empty()) {
    return fail(Code::kUnsupported,
                fmt::format("{} is no LiteRT of version 2: it has no {}", path, missing));
  }
  self->version_ = "2";
  // Otherwise it looks for libraries of accelerators by their bare names.
  constexpr std::array<LrtEnvironmentOption, 2> kOptions = {
      {{kAutoRegisterAccelerators, {kInteger, kCpuOnly}}, {kMinLogSeverity, {kInteger, kErrors}}}};
  LrtEnvironment* environment = nullptr;
  SKERRY_TRY(check(self->api_.create_environment(static_cast<int>(kOptions.size()), kOptions.data(),
                                                 &environment),
                   Code::kInternal, "LiteRT does not start"));
  self->environment_ = {environment, self->api_.destroy_environment};
  return self;
}

Result<void> LrtLibrary::check(LrtStatus status, Code code, std::string_view what) {
  if (status == 0) return {};
  return fail(code, fmt::format("{} (LiteRT's status {})", what, status));
}

}  // namespace skerry::runtime
