// Loads libonnxruntime.so with dlopen, so that the runtime is a component of its own with its own
// version, and agrees on the API version with it.
#include "runtime/onnxruntime/ort_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "base/log_limit.h"

namespace skerry::runtime {
namespace {

// ONNX Runtime logs what it also returns as a status, which the caller reports: errors are only
// repeated at debug level.
void forward_log(void* limit, OrtLoggingLevel severity, const char* category, const char*,
                 const char* where, const char* message) {
  if (severity != ORT_LOGGING_LEVEL_WARNING) {
    return log::debug("onnxruntime", message, {{"category", category}, {"at", where}});
  }
  // Requests can cause warnings.
  static_cast<log::Limit*>(limit)->write(log::Level::kWarn, "onnxruntime", message,
                                         {{"category", category}, {"at", where}});
}

}  // namespace

Result<std::shared_ptr<OrtLibrary>> OrtLibrary::open(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return fail(Code::kUnavailable, fmt::format("cannot load ONNX Runtime: {}", dlerror()));
  }
  using GetApiBase = const OrtApiBase* (*)();
  const auto get_base = reinterpret_cast<GetApiBase>(dlsym(library, "OrtGetApiBase"));
  if (get_base == nullptr) {
    return fail(Code::kUnsupported,
                fmt::format("{} is no ONNX Runtime: it has no OrtGetApiBase", path));
  }
  const OrtApiBase* base = get_base();
  const std::string version = base->GetVersionString();
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    return fail(Code::kUnsupported,
                fmt::format("{} is ONNX Runtime {}, which is too old; use 1.{} or newer", path,
                            version, ORT_API_VERSION));
  }
  std::shared_ptr<OrtLibrary> self(new OrtLibrary(api, version));
  // As the environment, for the whole process.
  static log::Limit limit;
  OrtEnv* env = nullptr;
  SKERRY_TRY(self->check(api->CreateEnvWithCustomLogger(forward_log, &limit,
                                                        ORT_LOGGING_LEVEL_WARNING, "skerry", &env),
                         Code::kInternal, "ONNX Runtime does not start"));
  self->env_ = env;
  SKERRY_TRY(self->check(api->DisableTelemetryEvents(env), Code::kInternal,
                         "ONNX Runtime's telemetry cannot be turned off"));
  return self;
}

std::unexpected<Error> OrtLibrary::failure(OrtStatus* status, Code code, std::string_view what,
                                           std::string_view name) const {
  const std::string message = api_->GetErrorMessage(status);
  if (api_->GetErrorCode(status) == ORT_NOT_IMPLEMENTED) code = Code::kUnsupported;
  api_->ReleaseStatus(status);
  const std::string of = name.empty() ? "" : fmt::format(" '{}'", name);
  return fail(code, fmt::format("{}{}: {}", what, of, message));
}

}  // namespace skerry::runtime
