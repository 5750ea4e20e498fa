// Files of alert rules: what is read has lines for its errors and limits that hold.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "monitor/alert_rules.h"

namespace {

namespace monitor = skerry::monitor;

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const monitor::AlertReading reading = monitor::read_alert_rules(text);
  for (const auto& complaint : reading.complaints) {
    check(complaint.line >= 1 && complaint.line <= size + 2 && !complaint.message.empty());
  }
  if (!reading.complaints.empty()) return 0;
  check(reading.rules.rules.size() <= monitor::kMaxAlertRules);
  for (const auto& rule : reading.rules.rules) {
    check(!rule.name.empty() && !rule.text().empty() && rule.window_ms > 0);
    for (const auto& sink : rule.sinks) check(reading.rules.find_sink(sink) != nullptr);
  }
  for (const auto& sink : reading.rules.sinks) {
    for (const auto& to : sink.to) check(to.find_first_of("\r\n<> ") == std::string::npos);
    for (const auto& [name, value] : sink.headers) {
      check((name + value).find_first_of("\r\n") == std::string::npos);
    }
  }
  return 0;
}
