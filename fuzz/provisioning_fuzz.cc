// Messages of fleet provisioning: what a device without an identity says, and what a fleet answers.
#include <cstdlib>
#include <string_view>

#include "formats/provisioning.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  using namespace skerry::formats;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)template_of(text);
  (void)provision_error_text(text);
  (void)parse_provision_answer(text);
  // What is read is written as it was read.
  if (const auto csr = parse_csr_request(text)) {
    if (const auto again = parse_csr_request(csr_request(*csr)); !again) std::abort();
  }
  if (const auto request = parse_provision_request(text)) {
    const auto again = parse_provision_request(to_json(*request));
    if (!again || again->parameters.size() != request->parameters.size()) std::abort();
  }
  if (const auto answer = parse_certificate_answer(text)) {
    if (!parse_certificate_answer(to_json(*answer))) std::abort();
  }
  return 0;
}
