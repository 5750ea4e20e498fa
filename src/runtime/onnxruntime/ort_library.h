// The loaded ONNX Runtime library: its API table, its environment and the ownership of its handles.
// Internal to this folder.
#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <string>

#include "base/error.h"

namespace skerry::runtime {

// Owns a handle of the C API through the API's own release function.
template <class T>
using OrtHandle = std::unique_ptr<T, void (*)(T*)>;

class OrtLibrary {
 public:
  // The library stays in the process once loaded: its threads and thread-local data do not survive
  // dlclose. kUnavailable where it cannot be loaded, kUnsupported where it is too old.
  static Result<std::shared_ptr<OrtLibrary>> open(const std::string& path);

  const OrtApi& api() const { return *api_; }
  OrtEnv* env() const { return env_; }
  const std::string& version() const { return version_; }

  // The status as a Result; releases it. `what` opens the message, then `name` where there is one.
  Result<void> check(OrtStatus* status, Code code, std::string_view what,
                     std::string_view name = "") const {
    if (status == nullptr) [[likely]]
      return {};
    return failure(status, code, what, name);
  }

  template <class T>
  static OrtHandle<T> own(T* handle, void (*release)(T*)) {
    return OrtHandle<T>(handle, release);
  }

 private:
  std::unexpected<Error> failure(OrtStatus* status, Code code, std::string_view what,
                                 std::string_view name) const;
  OrtLibrary(const OrtApi* api, std::string version) : api_(api), version_(std::move(version)) {}

  const OrtApi* api_;
  std::string version_;
  // The process's one environment, which stays as the library does: one that is being released on
  // another thread makes the next CreateEnv fail.
  OrtEnv* env_ = nullptr;
};

}  // namespace skerry::runtime
