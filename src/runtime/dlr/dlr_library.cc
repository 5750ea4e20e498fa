// Loads libdlr.so with dlopen, so that the runtime is a component of its own with its own version.
#include "runtime/dlr/dlr_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace skerry::runtime {
namespace {

// Where functions are missing, the name of one of them; "" where all are there.
std::string find_functions(void* library, DlrApi& api) {
  std::string missing;
  const auto find = [&](const char* name, auto& function) {
    void* const symbol = ::dlsym(library, name);
    if (symbol == nullptr) missing = name;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  find("GetDLRVersion", api.version);
  find("DLRGetLastError", api.last_error);
  find("CreateDLRModel", api.create);
  find("DeleteDLRModel", api.destroy);
  find("SetDLRNumThreads", api.set_threads);
  find("GetDLRNumInputs", api.input_count);
  find("GetDLRNumOutputs", api.output_count);
  find("SetDLRInput", api.set_input);
  find("RunDLRModel", api.run);
  find("GetDLROutputSizeDim", api.output_size);
  find("GetDLROutput", api.get_output);
  return missing;
}

// The vendor's messages have a stack behind the first line.
std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

Result<std::shared_ptr<const DlrLibrary>> DlrLibrary::open(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return fail(Code::kUnavailable, fmt::format("cannot load DLR: {}", ::dlerror()));
  }
  auto self = std::make_shared<DlrLibrary>();
  if (const std::string missing = find_functions(library, self->api_); !missing.empty()) {
    return fail(Code::kUnsupported,
                fmt::format("{} is no DLR of release 1: it has no {}", path, missing));
  }
  const char* version = nullptr;
  SKERRY_TRY(self->check(self->api_.version(&version), Code::kInternal, "DLR's version"));
  self->version_ = version == nullptr ? "1" : version;
  return self;
}

Result<void> DlrLibrary::check(int status, Code code, std::string_view what) const {
  if (status == 0) return {};
  const char* said = api_.last_error();
  const std::string_view words = first_line(said == nullptr ? "" : said);
  if (words.empty()) return fail(code, std::string(what));
  return fail(code, fmt::format("{}: {}", what, words));
}

}  // namespace skerry::runtime
