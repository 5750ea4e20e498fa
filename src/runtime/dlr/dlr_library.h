// The loaded DLR library: the functions of its C API that the adapter calls. The vendor's package
// has no header; what stands here is that of release 1. Internal to this folder.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::runtime {

using DlrHandle = void*;

// Functions return 0, or fail with a message in last_error().
struct DlrApi {
  int (*version)(const char**);
  const char* (*last_error)();
  int (*create)(DlrHandle*, const char* folder, int device_type, int device_id);
  int (*destroy)(DlrHandle*);
  int (*set_threads)(DlrHandle*, int);
  int (*input_count)(DlrHandle*, int*);
  int (*output_count)(DlrHandle*, int*);
  int (*set_input)(DlrHandle*, const char* name, const int64_t* shape, const void*, int rank);
  int (*run)(DlrHandle*);
  int (*output_size)(DlrHandle*, int index, int64_t* elements, int* rank);
  int (*get_output)(DlrHandle*, int index, void*);
};

class DlrLibrary {
 public:
  // It stays in the process once loaded. kUnavailable where it cannot be loaded, kUnsupported where
  // it is another one.
  static Result<std::shared_ptr<const DlrLibrary>> open(const std::string& path);

  const DlrApi& api() const { return api_; }
  const std::string& version() const { return version_; }

  // The status as a Result, with the library's own words, which it does not always have.
  Result<void> check(int status, Code code, std::string_view what) const;

 private:
  DlrApi api_{};
  std::string version_;
};

}  // namespace skerry::runtime
