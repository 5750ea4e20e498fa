// The loaded OpenVINO library: the functions of its C API that the adapter calls, its core, and the
// ownership of its handles. Declared here, so that building needs nothing of the vendor's
// (openvino/c/*.h of 2026.4). Internal to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::runtime {

struct OvCore;
struct OvModel;
struct OvPort;
struct OvCompiledModel;
struct OvInferRequest;
struct OvTensor;

using OvStatus = int;
constexpr OvStatus kOvCancelled = -13;

struct OvShape {
  int64_t rank;
  int64_t* dimensions;
};
// A range that holds one value is fixed; `max` of -1: any.
struct OvDimension {
  int64_t min;
  int64_t max;
};
struct OvPartialShape {
  OvDimension rank;
  OvDimension* dimensions;
};
struct OvVersion {
  const char* build;
  const char* description;
};
struct OvProfilingInfo {
  int status;  // kOvExecuted where it runs
  int64_t real_us, cpu_us;
  const char *name, *kernel, *op;
};
constexpr int kOvExecuted = 2;
struct OvProfilingInfos {
  OvProfilingInfo* first;
  size_t count;
};
struct OvApi {
  OvStatus (*create_core)(OvCore**);
  void (*free_core)(OvCore*);
  OvStatus (*version)(OvVersion*);
  void (*free_version)(OvVersion*);
  OvStatus (*read_model)(const OvCore*, const char* path, const char* weights_path, OvModel**);
  void (*free_model)(OvModel*);
  OvStatus (*input_count)(const OvModel*, size_t*);
  OvStatus (*output_count)(const OvModel*, size_t*);
  OvStatus (*input)(const OvModel*, size_t, OvPort**);
  OvStatus (*output)(const OvModel*, size_t, OvPort**);
  void (*free_port)(OvPort*);
  OvStatus (*port_name)(const OvPort*, char**);
  OvStatus (*port_type)(const OvPort*, int*);
  OvStatus (*port_shape)(const OvPort*, OvPartialShape*);
  void (*free_partial_shape)(OvPartialShape*);
  void (*free_text)(const char*);
  // Pairs of `char*` follow: a property and its value.
  OvStatus (*compile)(const OvCore*, const OvModel*, const char* device, size_t property_args,
                      OvCompiledModel**, ...);
  void (*free_compiled)(OvCompiledModel*);
  OvStatus (*create_request)(const OvCompiledModel*, OvInferRequest**);
  void (*free_request)(OvInferRequest*);
  OvStatus (*create_tensor)(int type, OvShape, void* data, OvTensor**);
  void (*free_tensor)(OvTensor*);
  OvStatus (*set_input)(OvInferRequest*, size_t, const OvTensor*);
  OvStatus (*get_output)(const OvInferRequest*, size_t, OvTensor**);
  OvStatus (*tensor_shape)(const OvTensor*, OvShape*);
  OvStatus (*free_shape)(OvShape*);
  OvStatus (*tensor_bytes)(const OvTensor*, size_t*);
  OvStatus (*tensor_data)(const OvTensor*, void**);
  OvStatus (*infer)(OvInferRequest*);
  OvStatus (*cancel)(OvInferRequest*);
  OvStatus (*profile)(const OvInferRequest*, OvProfilingInfos*);
  void (*free_profile)(OvProfilingInfos*);
  const char* (*last_error)();
};

// Owns a handle through the API's own release function.
template <class T>
using OvHandle = std::unique_ptr<T, void (*)(T*)>;

class OvLibrary {
 public:
  // Of libopenvino_c.so, beside which the vendor's other libraries lie. It stays in the process
  // once loaded; its core goes with the last user of this. kUnavailable where it cannot be loaded,
  // kUnsupported where it is another one.
  static Result<std::shared_ptr<const OvLibrary>> open(const std::string& path);

  const OvApi& api() const { return api_; }
  const OvCore* core() const { return core_.get(); }
  const std::string& version() const { return version_; }

  // The status as a Result, with the first line of the vendor's message behind `what`.
  Result<void> check(OvStatus status, Code code, std::string_view what) const;

 private:
  OvApi api_{};
  OvHandle<OvCore> core_{nullptr, nullptr};
  std::string version_;
};

}  // namespace skerry::runtime
