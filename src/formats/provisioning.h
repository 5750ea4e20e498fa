// Fleet provisioning by claim, as AWS IoT has it over MQTT: a device that has no identity yet
// connects with a certificate it shares with others (a claim), has a certificate issued for a key
// of its own, and becomes a thing by it. JSON; the answers are on TOPIC/accepted and
// TOPIC/rejected. Both sides parse what the other one says here.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::formats {

inline constexpr std::string_view kCreateFromCsrTopic = "$aws/certificates/create-from-csr/json";
// Its key would be made by the fleet: always rejected.
inline constexpr std::string_view kCreateKeysTopic = "$aws/certificates/create/json";
std::string provision_topic(std::string_view template_name);
// The template of such a topic; "" where it is none.
std::string_view template_of(std::string_view topic);

// {"certificateSigningRequest": PKCS #10 in PEM}
std::string csr_request(std::string_view request_pem);
Result<std::string> parse_csr_request(std::string_view text);

struct CertificateAnswer {
  std::string certificate_id, certificate_pem;
  std::string ownership_token;  // that whoever provisions the thing has to show
};
std::string to_json(const CertificateAnswer& answer);
Result<CertificateAnswer> parse_certificate_answer(std::string_view text);

struct ProvisionRequest {
  std::string ownership_token;
  std::map<std::string, std::string> parameters;  // "ThingName", "SerialNumber", …
};
std::string to_json(const ProvisionRequest& request);
Result<ProvisionRequest> parse_provision_request(std::string_view text);

std::string provision_answer(std::string_view thing);
// The thing's name.
Result<std::string> parse_provision_answer(std::string_view text);

struct ProvisionError {
  int status = 400;
  std::string code = "InvalidParameters", message;
};
std::string to_json(const ProvisionError& error);
// For people: "CODE: message".
std::string provision_error_text(std::string_view text);

}  // namespace skerry::formats
