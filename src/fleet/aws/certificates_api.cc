// iot: device certificates and the endpoints that devices use them at.
#include <nlohmann/json.hpp>

#include "fleet/aws/input.h"
#include "fleet/ca.h"
#include "fleet/store.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr size_t kMaxPage = 250;
constexpr std::string_view kCertificateResource = "cert/";

std::string certificate_arn(const ApiContext& context, const std::string& id) {
  return formats::Arn{"aws", "iot", context.scope.region, context.scope.account,
                      std::string(kCertificateResource) + id}
      .str();
}

// The broker hears of it before the caller's answer leaves.
void changed(ApiContext& context, const std::string& id) {
  context.store.effects().certificates.push_back(id);
}

Result<json> create_from_csr(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(std::string csr,
                string_member(request.body, "certificateSigningRequest", {1, 4096}, true));
  SKERRY_ASSIGN(bool active, bool_option(request, "setAsActive", false));
  SKERRY_ASSIGN(auto issued, context.authority.issue_device(csr));
  Certificate certificate;
  certificate.id = issued.sha256;
  certificate.pem = issued.pem;
  certificate.status = active ? CertificateStatus::kActive : CertificateStatus::kInactive;
  certificate.common_name = issued.common_name;
  certificate.created_ms = context.env.clock.wall_ms();
  certificate.expires_ms = issued.expires_ms;
  SKERRY_TRY(context.store.add_certificate(certificate));
  changed(context, certificate.id);
  return json{{"certificateArn", certificate_arn(context, certificate.id)},
              {"certificateId", certificate.id},
              {"certificatePem", certificate.pem}};
}

json summary(const ApiContext& context, const Certificate& certificate) {
  return {{"certificateArn", certificate_arn(context, certificate.id)},
          {"certificateId", certificate.id},
          {"status", std::string(to_string(certificate.status))},
          {"certificateMode", "DEFAULT"},
          {"creationDate", timestamp(certificate.created_ms)}};
}

Result<json> describe_certificate(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(auto certificate,
                context.store.find_certificate(request.parameter("certificateId")));
  json description = summary(context, certificate);
  description["certificatePem"] = certificate.pem;
  description["ownedBy"] = context.scope.account;
  description["validity"] = {{"notBefore", timestamp(certificate.created_ms)},
                             {"notAfter", timestamp(certificate.expires_ms)}};
  return json{{"certificateDescription", std::move(description)}};
}

Result<json> list_certificates(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage, "pageSize", "marker"));
  SKERRY_ASSIGN(auto certificates, context.store.list_certificates(page));
  json answer = {{"certificates", json::array()}};
  for (const Certificate& certificate : certificates.items) {
    answer["certificates"].push_back(summary(context, certificate));
  }
  add_next_token(answer, certificates.next, "nextMarker");
  return answer;
}

Result<json> update_certificate(ApiContext& context, const ApiRequest& request) {
  CertificateStatus status = CertificateStatus::kInactive;
  const std::string wanted = request.option("newStatus");
  if (!parse(wanted, status)) {
    return fail(Code::kInvalidArgument,
                "newStatus: '" + wanted + "' is none of ACTIVE, INACTIVE, REVOKED");
  }
  const std::string id = request.parameter("certificateId");
  SKERRY_ASSIGN(auto certificate, context.store.find_certificate(id));
  if (certificate.status == CertificateStatus::kRevoked && status != CertificateStatus::kRevoked) {
    return fail(Code::kFailedPrecondition,
                "certificate " + id + " is revoked for good: issue a new one");
  }
  SKERRY_TRY(context.store.set_certificate_status(id, status));
  changed(context, id);
  return json::object();
}

// The certificate that the header x-amzn-principal names by its ARN.
Result<Certificate> principal_of(ApiContext& context, const ApiRequest& request) {
  const std::string text = request.header("x-amzn-principal");
  SKERRY_ASSIGN(auto arn, formats::Arn::parse(text));
  if (arn.service != "iot" || !arn.resource.starts_with(kCertificateResource)) {
    return fail(Code::kInvalidArgument, "principal: " + text + " is not a certificate's ARN");
  }
  return context.store.find_certificate(arn.resource.substr(kCertificateResource.size()));
}

Result<json> attach_principal(ApiContext& context, const ApiRequest& request) {
  const ThingName thing(request.parameter("thingName"));
  SKERRY_TRY(context.store.find_thing(thing));
  SKERRY_ASSIGN(auto certificate, principal_of(context, request));
  if (certificate.common_name != thing.str()) {
    return fail(Code::kInvalidArgument, "certificate " + certificate.id + " is for the thing " +
                                            certificate.common_name + ", not for " + thing.str() +
                                            ": request one with that common name");
  }
  SKERRY_TRY(context.store.attach_certificate(certificate.id, thing));
  changed(context, certificate.id);
  return json::object();
}

Result<json> detach_principal(ApiContext& context, const ApiRequest& request) {
  const ThingName thing(request.parameter("thingName"));
  SKERRY_ASSIGN(auto certificate, principal_of(context, request));
  if (certificate.thing != thing) {
    return fail(Code::kNotFound,
                "certificate " + certificate.id + " is not attached to thing " + thing.str());
  }
  SKERRY_TRY(context.store.detach_certificate(certificate.id));
  changed(context, certificate.id);
  return json::object();
}

Result<json> list_principals(ApiContext& context, const ApiRequest& request) {
  const ThingName thing(request.parameter("thingName"));
  SKERRY_TRY(context.store.find_thing(thing));
  SKERRY_ASSIGN(auto certificates, context.store.certificates_of_thing(thing));
  json answer = {{"principals", json::array()}};
  for (const Certificate& certificate : certificates) {
    answer["principals"].push_back(certificate_arn(context, certificate.id));
  }
  return answer;
}

Result<json> describe_endpoint(ApiContext& context, const ApiRequest& request) {
  const std::string type = request.option("endpointType");
  std::string address;
  if (type.empty() || type == "iot:Data" || type == "iot:Data-ATS") {
    address = context.endpoints.data;
  } else if (type == "iot:CredentialProvider") {
    address = context.endpoints.credentials;
  } else if (type == "iot:Jobs") {
    address = context.endpoints.jobs;
  } else {
    return fail(Code::kInvalidArgument,
                "endpointType: '" + type +
                    "' is none of iot:Data-ATS, iot:Data, iot:CredentialProvider, iot:Jobs");
  }
  return json{{"endpointAddress", address}};
}

constexpr Route kRoutes[] = {
    {"iot", "POST", "/certificates", 200, create_from_csr},
    {"iot", "GET", "/certificates", 200, list_certificates},
    {"iot", "GET", "/certificates/{certificateId}", 200, describe_certificate},
    {"iot", "PUT", "/certificates/{certificateId}", 200, update_certificate},
    {"iot", "PUT", "/things/{thingName}/principals", 200, attach_principal},
    {"iot", "DELETE", "/things/{thingName}/principals", 200, detach_principal},
    {"iot", "GET", "/things/{thingName}/principals", 200, list_principals},
    {"iot", "GET", "/endpoint", 200, describe_endpoint},
};

}  // namespace

std::span<const Route> certificate_routes() {
  return kRoutes;
}

}  // namespace skerry::fleet::aws
