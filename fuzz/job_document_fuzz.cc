// Deployment documents and job messages: what a broker may deliver to a device or to the fleet.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "formats/deployment.h"
#include "formats/fleet_status.h"
#include "formats/jobs.h"

namespace {

namespace formats = skerry::formats;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_deployment(const formats::Deployment& deployment) {
  const nlohmann::json printed = formats::to_json(deployment);
  const auto again = formats::parse_deployment(printed);
  check(again && formats::to_json(*again) == printed);
}

// What `parse` accepts prints as something that it accepts again and prints the same.
template <class Parse>
void check_round_trip(std::string_view text, Parse parse) {
  const auto message = parse(text);
  if (!message) return;
  const std::string printed = to_text(*message);
  const auto again = parse(printed);
  check(again && to_text(*again) == printed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto deployment = formats::parse_deployment_text(text)) check_deployment(*deployment);
  if (const auto next = formats::parse_next_job(text)) {
    const bool has_document = next->execution && next->execution->job_document;
    const auto deployment = has_document ? formats::parse_deployment(*next->execution->job_document)
                                         : formats::parse_deployment(nlohmann::json::object());
    if (deployment) check_deployment(*deployment);
  }
  check_round_trip(text, formats::parse_next_job);
  check_round_trip(text, formats::parse_job_get_request);
  check_round_trip(text, formats::parse_job_update_request);
  check_round_trip(text, formats::parse_job_update_accepted);
  check_round_trip(text, formats::parse_job_rejected);
  check_round_trip(text, formats::parse_fleet_status);
  formats::parse_job_topic(text);
  formats::parse_fleet_status_topic(text);
  return 0;
}
