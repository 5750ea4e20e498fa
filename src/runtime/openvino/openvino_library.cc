// Loads libopenvino_c.so with dlopen, so that the runtime is a component of its own with its own
// version.
#include "runtime/openvino/openvino_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace skerry::runtime {
namespace {

// Numbers of element types have changed before.
constexpr int kFirstYear = 2026;
constexpr size_t kTooLong = 300;  // of a message

// Lines "Exception from …:84:" and "Check '…' failed at …:151:" say where in the vendor's source it
// was, those behind them what it was.
std::string without_places(std::string_view text) {
  std::string said;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool is_place =
        line.ends_with(':') && (line.starts_with("Exception from ") || line.starts_with("Check '"));
    if (line.empty() || is_place) continue;
    said.append(said.empty() ? "" : " ").append(line);
  }
  return said;
}

// Where functions are missing, the name of one of them; "" where all are there.
std::string find_functions(void* library, OvApi& api) {
  std::string missing;
  const auto find = [&](const char* name, auto& function) {
    void* const symbol = ::dlsym(library, name);
    if (symbol == nullptr) missing = name;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  find("ov_core_create", api.create_core);
  find("ov_core_free", api.free_core);
  find("ov_get_openvino_version", api.version);
  find("ov_version_free", api.free_version);
  find("ov_core_read_model", api.read_model);
  find("ov_model_free", api.free_model);
  find("ov_model_inputs_size", api.input_count);
  find("ov_model_outputs_size", api.output_count);
  find("ov_model_const_input_by_index", api.input);
  find("ov_model_const_output_by_index", api.output);
  find("ov_output_const_port_free", api.free_port);
  find("ov_port_get_any_name", api.port_name);
  find("ov_port_get_element_type", api.port_type);
  find("ov_port_get_partial_shape", api.port_shape);
  find("ov_partial_shape_free", api.free_partial_shape);
  find("ov_free", api.free_text);
  find("ov_core_compile_model", api.compile);
  find("ov_compiled_model_free", api.free_compiled);
  find("ov_compiled_model_create_infer_request", api.create_request);
  find("ov_infer_request_free", api.free_request);
  find("ov_tensor_create_from_host_ptr", api.create_tensor);
  find("ov_tensor_free", api.free_tensor);
  find("ov_infer_request_set_input_tensor_by_index", api.set_input);
  find("ov_infer_request_get_output_tensor_by_index", api.get_output);
  find("ov_tensor_get_shape", api.tensor_shape);
  find("ov_shape_free", api.free_shape);
  find("ov_tensor_get_byte_size", api.tensor_bytes);
  find("ov_tensor_data", api.tensor_data);
  find("ov_infer_request_infer", api.infer);
  find("ov_infer_request_cancel", api.cancel);
  find("ov_infer_request_get_profiling_info", api.profile);
  find("ov_profiling_info_list_free", api.free_profile);
  find("ov_get_last_err_msg", api.last_error);
  return missing;
}

// "2026.4.1" of "2026.4.1-12345-abcdef".
std::string version_of(const OvApi& api) {
  OvVersion version{};
  if (api.version(&version) != 0 || version.build == nullptr) return "unknown";
  const std::string build = version.build;
  api.free_version(&version);
  return build.substr(0, build.find('-'));
}

}  // namespace

Result<std::shared_ptr<const OvLibrary>> OvLibrary::open(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return fail(Code::kUnavailable, fmt::format("cannot load OpenVINO: {}", ::dlerror()));
  }
  auto self = std::make_shared<OvLibrary>();
  if (const std::string missing = find_functions(library, self->api_); !missing.empty()) {
    return fail(Code::kUnsupported,
                fmt::format("{} is no libopenvino_c of {} or later: it has no {}", path, kFirstYear,
                            missing));
  }
  self->version_ = version_of(self->api_);
  if (std::atoi(self->version_.c_str()) < kFirstYear) {
    return fail(Code::kUnsupported, fmt::format("{} is OpenVINO {}; it must be of {} or later",
                                                path, self->version_, kFirstYear));
  }
  OvCore* core = nullptr;
  SKERRY_TRY(
      self->check(self->api_.create_core(&core), Code::kInternal, "OpenVINO does not start"));
  self->core_ = {core, self->api_.free_core};
  return self;
}

Result<void> OvLibrary::check(OvStatus status, Code code, std::string_view what) const {
  if (status == 0) return {};
  // Kept for each thread.
  const char* text = api_.last_error();
  std::string said = without_places(text == nullptr ? "" : text);
  if (said.size() > kTooLong) said = said.substr(0, kTooLong) + "…";
  return fail(code, fmt::format("{} (OpenVINO's status {}{}{})", what, status,
                                said.empty() ? "" : ": ", said));
}

}  // namespace skerry::runtime
