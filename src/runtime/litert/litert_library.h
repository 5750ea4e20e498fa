// The loaded LiteRT library: the functions of its C API that the adapter calls, its environment,
// and the ownership of its handles. The vendor ships no header: what stands here is that of
// version 2. Internal to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::runtime {

struct LrtEnvironment;
struct LrtModel;
struct LrtOptions;
struct LrtOpaqueOptions;
struct LrtCompiledModel;
struct LrtSignature;
struct LrtTensor;
struct LrtTensorBuffer;
struct LrtProfiler;

using LrtStatus = int;

struct LrtLayout {
  static constexpr size_t kMaxRank = 8;
  unsigned rank : 7, has_strides : 1;
  int32_t dimensions[kMaxRank];
  uint32_t strides[kMaxRank];
};
struct LrtTensorType {
  int element;
  LrtLayout layout;
};
struct LrtEnvironmentOption {
  int tag;
  struct {
    int type;
    int64_t value;
  } any;
};
struct LrtProfilerEvent {
  static constexpr int kOperator = 1 << 1, kDelegateOperator = 1 << 3;
  const char* tag;  // the profiler's
  int type;
  uint64_t start_us, elapsed_us;
  uint64_t memory[6];
  uint64_t metadata[2];
  int source;
};
static_assert(sizeof(LrtProfilerEvent) == 104);
static_assert(sizeof(LrtLayout) == 68 && sizeof(LrtTensorType) == 72 &&
              sizeof(LrtEnvironmentOption) == 24);

struct LrtApi {
  LrtStatus (*create_environment)(int, const LrtEnvironmentOption*, LrtEnvironment**);
  void (*destroy_environment)(LrtEnvironment*);
  LrtStatus (*create_model)(LrtEnvironment*, const void*, size_t, LrtModel**);
  void (*destroy_model)(LrtModel*);
  LrtStatus (*create_options)(LrtOptions**);
  void (*destroy_options)(LrtOptions*);
  LrtStatus (*set_accelerators)(LrtOptions*, int);
  LrtStatus (*create_opaque_options)(const char*, void*, void (*)(void*), LrtOpaqueOptions**);
  LrtStatus (*add_opaque_options)(LrtOptions*, LrtOpaqueOptions*);
  LrtStatus (*compile)(LrtEnvironment*, LrtModel*, LrtOptions*, LrtCompiledModel**);
  void (*destroy_compiled)(LrtCompiledModel*);
  LrtStatus (*signature_count)(LrtModel*, size_t*);
  LrtStatus (*signature)(LrtModel*, size_t, LrtSignature**);
  LrtStatus (*signature_key)(LrtSignature*, const char**);
  LrtStatus (*input_count)(LrtSignature*, size_t*);
  LrtStatus (*output_count)(LrtSignature*, size_t*);
  LrtStatus (*input_name)(LrtSignature*, size_t, const char**);
  LrtStatus (*output_name)(LrtSignature*, size_t, const char**);
  LrtStatus (*input_tensor)(LrtSignature*, size_t, LrtTensor**);
  LrtStatus (*output_tensor)(LrtSignature*, size_t, LrtTensor**);
  LrtStatus (*tensor_type)(LrtTensor*, LrtTensorType*);
  LrtStatus (*input_layout)(LrtCompiledModel*, size_t, size_t, LrtLayout*);
  LrtStatus (*output_layouts)(LrtCompiledModel*, size_t, size_t, LrtLayout*, bool);
  LrtStatus (*resize_input)(LrtCompiledModel*, size_t, size_t, const int*, size_t);
  LrtStatus (*create_buffer)(const LrtTensorType*, void*, size_t, void (*)(void*),
                             LrtTensorBuffer**);
  void (*destroy_buffer)(LrtTensorBuffer*);
  LrtStatus (*set_cancellation)(LrtCompiledModel*, void*, bool (*)(void*));
  LrtStatus (*profiler)(LrtCompiledModel*, LrtProfiler**);  // null where it was not asked for
  LrtStatus (*start_profiler)(LrtProfiler*);
  LrtStatus (*stop_profiler)(LrtProfiler*);
  LrtStatus (*reset_profiler)(LrtProfiler*);
  LrtStatus (*event_count)(LrtProfiler*, int*);
  LrtStatus (*events)(LrtProfiler*, int, LrtProfilerEvent*);
  LrtStatus (*run)(LrtCompiledModel*, size_t, size_t, LrtTensorBuffer**, size_t, LrtTensorBuffer**);
};

// Owns a handle through the API's own release function.
template <class T>
using LrtHandle = std::unique_ptr<T, void (*)(T*)>;

class LrtLibrary {
 public:
  // The library stays in the process once loaded; its environment goes with the last user of this.
  // kUnavailable where it cannot be loaded, kUnsupported where it is another one.
  static Result<std::shared_ptr<const LrtLibrary>> open(const std::string& path);

  const LrtApi& api() const { return api_; }
  LrtEnvironment* environment() const { return environment_.get(); }
  const std::string& version() const { return version_; }

  // The status as a Result. `what` opens the message.
  static Result<void> check(LrtStatus status, Code code, std::string_view what);

 private:
  LrtApi api_{};
  LrtHandle<LrtEnvironment> environment_{nullptr, nullptr};
  std::string version_;
};

}  // namespace skerry::runtime
