// Provenance of models as an operator may send it, and release names.
#include "formats/model_provenance.h"

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "formats/json_ptr.h"

namespace {

namespace formats = skerry::formats;

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto release = formats::parse_release_name(text)) {
    check(to_text(*release) == text);
  }
  const auto document = formats::parse_json(text);
  if (!document) return 0;
  const auto provenance = formats::parse_model_provenance(*document);
  if (!provenance) return 0;
  const auto again = formats::parse_model_provenance(formats::to_json(*provenance));
  check(again && *again == *provenance);
  const std::string release = formats::release_name_of(*provenance);
  check(release.empty() || formats::parse_release_name(release).has_value());
  formats::check_component_name(text.substr(0, 200), *provenance);
  return 0;
}
