// The messages, field by field.
#include "formats/provisioning.h"

#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/names.h"
#include "formats/node.h"

namespace skerry::formats {
namespace {

constexpr std::string_view kTemplates = "$aws/provisioning-templates/";
constexpr std::string_view kProvision = "/provision/json";
constexpr size_t kMostParameters = 32;
constexpr size_t kMostParameterBytes = 1024;

Result<std::string> text_at(const Node& node, std::string_view key) {
  SKERRY_ASSIGN(const Node value, node.require(key));
  return value.as_string();
}

}  // namespace

std::string provision_topic(std::string_view template_name) {
  return std::string(kTemplates) + std::string(template_name) + std::string(kProvision);
}

std::string_view template_of(std::string_view topic) {
  if (!topic.starts_with(kTemplates) || !topic.ends_with(kProvision)) return {};
  if (topic.size() <= kTemplates.size() + kProvision.size()) return {};
  topic.remove_prefix(kTemplates.size());
  topic.remove_suffix(kProvision.size());
  return topic.find('/') == std::string_view::npos ? topic : std::string_view();
}

std::string csr_request(std::string_view request_pem) {
  return json_text({{"certificateSigningRequest", request_pem}});
}

Result<std::string> parse_csr_request(std::string_view text) {
  SKERRY_ASSIGN(const auto document, parse_json(text));
  return text_at(Node(document, ""), "certificateSigningRequest");
}

std::string to_json(const CertificateAnswer& answer) {
  return json_text({{"certificateId", answer.certificate_id},
                    {"certificatePem", answer.certificate_pem},
                    {"certificateOwnershipToken", answer.ownership_token}});
}

Result<CertificateAnswer> parse_certificate_answer(std::string_view text) {
  SKERRY_ASSIGN(const auto document, parse_json(text));
  const Node node(document, "");
  CertificateAnswer answer;
  SKERRY_ASSIGN(answer.certificate_id, text_at(node, "certificateId"));
  SKERRY_ASSIGN(answer.certificate_pem, text_at(node, "certificatePem"));
  SKERRY_ASSIGN(answer.ownership_token, text_at(node, "certificateOwnershipToken"));
  return answer;
}

std::string to_json(const ProvisionRequest& request) {
  return json_text(
      {{"certificateOwnershipToken", request.ownership_token}, {"parameters", request.parameters}});
}

Result<ProvisionRequest> parse_provision_request(std::string_view text) {
  SKERRY_ASSIGN(const auto document, parse_json(text));
  const Node node(document, "");
  ProvisionRequest request;
  SKERRY_ASSIGN(request.ownership_token, text_at(node, "certificateOwnershipToken"));
  SKERRY_ASSIGN(const auto parameters, node.find("parameters"));
  if (!parameters) return request;
  SKERRY_ASSIGN(request.parameters, parameters->as_text_map());
  if (request.parameters.size() > kMostParameters) return parameters->wrong("too many");
  for (const auto& [name, value] : request.parameters) {
    if (value.size() > kMostParameterBytes) return parameters->wrong(name + " is too long");
  }
  return request;
}

std::string provision_answer(std::string_view thing) {
  return json_text({{"thingName", thing}, {"deviceConfiguration", nlohmann::json::object()}});
}

Result<std::string> parse_provision_answer(std::string_view text) {
  SKERRY_ASSIGN(const auto document, parse_json(text));
  SKERRY_ASSIGN(const std::string name, text_at(Node(document, ""), "thingName"));
  SKERRY_ASSIGN(const ThingName thing, parse_thing_name(name));
  return thing.str();
}

std::string to_json(const ProvisionError& error) {
  return json_text(
      {{"statusCode", error.status}, {"errorCode", error.code}, {"errorMessage", error.message}});
}

std::string provision_error_text(std::string_view text) {
  const auto document = parse_json(text);
  std::string code, message;
  if (document) {
    const Node node(*document, "");
    (void)node.read("errorCode", code);
    (void)node.read("errorMessage", message);
  }
  return code.empty() ? "an answer that cannot be read" : code + ": " + message;
}

}  // namespace skerry::formats
