// iot: device certificates and the endpoints that devices use them at.
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/ca.h"
#include "fleet/store.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr std::string_view kCertificateResource = "cert/";

struct CreateFromCsr {
  std::string csr;
  bool active = false;
  static std::span<const Field> fields() {
    using F = Fields<CreateFromCsr>;
    static constexpr Field kFields[] = {
        F::body<&CreateFromCsr::csr>("certificateSigningRequest", kCsr, true),
        F::query<&CreateFromCsr::active>("setAsActive", kBoolean)};
    return kFields;
  }
};

struct ListCertificates : Paged {
  bool ascending = false;
  static std::span<const Field> fields() {
    using F = Fields<ListCertificates>;
    static constexpr Field kFields[] = {
        F::query<&ListCertificates::ascending>("isAscendingOrder", kBoolean),
        page_size<ListCertificates>(kPageSize250, "pageSize"),
        page_token<ListCertificates>(kMarker, "marker")};
    return kFields;
  }
};

struct CertificateRequest {
  std::string id;
  static std::span<const Field> fields() {
    using F = Fields<CertificateRequest>;
    static constexpr Field kFields[] = {
        F::path<&CertificateRequest::id>("certificateId", kCertificateId)};
    return kFields;
  }
};

struct UpdateCertificate {
  std::string id;
  std::string status;
  static std::span<const Field> fields() {
    using F = Fields<UpdateCertificate>;
    static constexpr Field kFields[] = {
        F::path<&UpdateCertificate::id>("certificateId", kCertificateId),
        F::query<&UpdateCertificate::status>("newStatus", kCertificateStatus, true)};
    return kFields;
  }
};

struct DeleteCertificate {
  std::string id;
  bool force = false;  // is about policies, which do not exist here
  static std::span<const Field> fields() {
    using F = Fields<DeleteCertificate>;
    static constexpr Field kFields[] = {
        F::path<&DeleteCertificate::id>("certificateId", kCertificateId),
        F::query<&DeleteCertificate::force>("forceDelete", kBoolean)};
    return kFields;
  }
};

// The principal is a certificate's ARN.
struct DetachPrincipal {
  ThingName thing;
  std::string principal;
  static std::span<const Field> fields() {
    using F = Fields<DetachPrincipal>;
    static constexpr Field kFields[] = {
        F::path<&DetachPrincipal::thing>("thingName", kName),
        F::header<&DetachPrincipal::principal>("x-amzn-principal", kText, true)};
    return kFields;
  }
};

struct AttachPrincipal : DetachPrincipal {
  std::string type;  // every certificate is for one thing only
  static std::span<const Field> fields() {
    using F = Fields<AttachPrincipal>;
    static constexpr Field kFields[] = {
        F::path<&AttachPrincipal::thing>("thingName", kName),
        F::header<&AttachPrincipal::principal>("x-amzn-principal", kText, true),
        F::query<&AttachPrincipal::type>("thingPrincipalType", kPrincipalType)};
    return kFields;
  }
};

struct ListPrincipals : Paged {
  ThingName thing;
  static std::span<const Field> fields() {
    using F = Fields<ListPrincipals>;
    static constexpr Field kFields[] = {F::path<&ListPrincipals::thing>("thingName", kName),
                                        page_size<ListPrincipals>(kPageSize250),
                                        page_token<ListPrincipals>()};
    return kFields;
  }
};

struct ListPrincipalThings : Paged {
  std::string principal;
  static std::span<const Field> fields() {
    using F = Fields<ListPrincipalThings>;
    static constexpr Field kFields[] = {
        F::header<&ListPrincipalThings::principal>("x-amzn-principal", kText, true),
        page_size<ListPrincipalThings>(kPageSize250), page_token<ListPrincipalThings>()};
    return kFields;
  }
};

struct DescribeEndpoint {
  std::string type;
  static std::span<const Field> fields() {
    using F = Fields<DescribeEndpoint>;
    static constexpr Field kFields[] = {
        F::query<&DescribeEndpoint::type>("endpointType", kEndpointType)};
    return kFields;
  }
};

std::string certificate_arn(const ApiContext& context, const std::string& id) {
  return formats::Arn{"aws", "iot", context.scope.region, context.scope.account,
                      std::string(kCertificateResource) + id}
      .str();
}

Result<json> create_from_csr(ApiContext& context, const CreateFromCsr& request) {
  SKERRY_ASSIGN(auto issued, context.authority.issue_device(request.csr));
  Certificate certificate;
  certificate.id = issued.sha256;
  certificate.pem = issued.pem;
  certificate.status = request.active ? CertificateStatus::kActive : CertificateStatus::kInactive;
  certificate.common_name = issued.common_name;
  certificate.created_ms = context.env.clock.wall_ms();
  certificate.expires_ms = issued.expires_ms;
  SKERRY_TRY(context.store.add_certificate(certificate));
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

Result<json> describe_certificate(ApiContext& context, const CertificateRequest& request) {
  SKERRY_ASSIGN(auto certificate, context.store.find_certificate(request.id));
  json description = summary(context, certificate);
  description["certificatePem"] = certificate.pem;
  description["ownedBy"] = context.scope.account;
  description["validity"] = {{"notBefore", timestamp(certificate.created_ms)},
                             {"notAfter", timestamp(certificate.expires_ms)}};
  return json{{"certificateDescription", std::move(description)}};
}

Result<json> list_certificates(ApiContext& context, const ListCertificates& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_ASSIGN(auto certificates, context.store.list_certificates(page));
  json answer = {{"certificates", json::array()}};
  for (const Certificate& certificate : certificates.items) {
    answer["certificates"].push_back(summary(context, certificate));
  }
  add_next_token(context, answer, certificates.next, "nextMarker");
  return answer;
}

Result<json> update_certificate(ApiContext& context, const UpdateCertificate& request) {
  CertificateStatus status = CertificateStatus::kInactive;
  if (!parse(request.status, status)) {
    return fail(Code::kInvalidArgument,
                "newStatus: '" + request.status +
                    "' cannot be set by a caller, only ACTIVE, INACTIVE and REVOKED can");
  }
  SKERRY_ASSIGN(auto certificate, context.store.find_certificate(request.id));
  if (certificate.status == CertificateStatus::kRevoked && status != CertificateStatus::kRevoked) {
    return fail(Code::kFailedPrecondition,
                "certificate " + request.id + " is revoked for good: issue a new one");
  }
  SKERRY_TRY(context.store.set_certificate_status(request.id, status));
  return json::object();
}

Result<json> delete_certificate(ApiContext& context, const DeleteCertificate& request) {
  SKERRY_ASSIGN(auto certificate, context.store.find_certificate(request.id));
  if (certificate.status == CertificateStatus::kActive) {
    return fail(Code::kFailedPrecondition, "certificate " + request.id +
                                               " is ACTIVE: make it INACTIVE first "
                                               "(UpdateCertificate)");
  }
  if (!certificate.thing.empty()) {
    return context.refuse(kDeleteConflict, "certificate " + request.id + " is attached to thing " +
                                               certificate.thing.str() +
                                               ": detach it first (DetachThingPrincipal)");
  }
  SKERRY_TRY(context.store.delete_certificate(request.id));
  return json::object();
}

// The certificate that a principal names by its ARN.
Result<Certificate> certificate_of(ApiContext& context, const std::string& principal) {
  SKERRY_ASSIGN(auto arn, formats::Arn::parse(principal));
  if (arn.service != "iot" || !arn.resource.starts_with(kCertificateResource)) {
    return fail(Code::kInvalidArgument, "principal: " + principal + " is not a certificate's ARN");
  }
  return context.store.find_certificate(arn.resource.substr(kCertificateResource.size()));
}

Result<json> attach_principal(ApiContext& context, const AttachPrincipal& request) {
  SKERRY_TRY(context.store.find_thing(request.thing));
  SKERRY_ASSIGN(auto certificate, certificate_of(context, request.principal));
  if (!certificate.thing.empty() && certificate.thing != request.thing) {
    return fail(Code::kInvalidArgument, "certificate " + certificate.id +
                                            " is attached to the thing " + certificate.thing.str() +
                                            ": detach it first (DetachThingPrincipal)");
  }
  SKERRY_TRY(context.store.attach_certificate(certificate.id, request.thing));
  return json::object();
}

Result<json> detach_principal(ApiContext& context, const DetachPrincipal& request) {
  SKERRY_ASSIGN(auto certificate, certificate_of(context, request.principal));
  if (certificate.thing != request.thing) {
    return fail(Code::kNotFound, "certificate " + certificate.id + " is not attached to thing " +
                                     request.thing.str());
  }
  SKERRY_TRY(context.store.detach_certificate(certificate.id));
  return json::object();
}

// A thing has few: one page holds them all.
Result<json> list_principals(ApiContext& context, const ListPrincipals& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_TRY(context.store.find_thing(request.thing));
  SKERRY_ASSIGN(auto certificates, context.store.certificates_of_thing(request.thing));
  json answer = {{"principals", json::array()}};
  std::string last;
  for (const Certificate& certificate : certificates) {
    if (certificate.id <= page.after) continue;
    if (answer["principals"].size() == page.limit) {
      add_next_token(context, answer, last);
      break;
    }
    answer["principals"].push_back(certificate_arn(context, certificate.id));
    last = certificate.id;
  }
  return answer;
}

Result<json> list_principal_things(ApiContext& context, const ListPrincipalThings& request) {
  SKERRY_TRY(page_of(context, request));
  SKERRY_ASSIGN(auto certificate, certificate_of(context, request.principal));
  json answer = {{"things", json::array()}};
  if (!certificate.thing.empty()) answer["things"].push_back(certificate.thing.str());
  return answer;
}

Result<json> describe_endpoint(ApiContext& context, const DescribeEndpoint& request) {
  const std::string& type = request.type;
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

constexpr Route kCertificateRoutes[] = {
    admin_only(
        operation<create_from_csr>("iot", "CreateCertificateFromCsr", "POST", "/certificates")),
    operation<list_certificates>("iot", "ListCertificates", "GET", "/certificates"),
    operation<describe_certificate>("iot", "DescribeCertificate", "GET",
                                    "/certificates/{certificateId}"),
    admin_only(operation<update_certificate>("iot", "UpdateCertificate", "PUT",
                                             "/certificates/{certificateId}")),
    admin_only(operation<delete_certificate>("iot", "DeleteCertificate", "DELETE",
                                             "/certificates/{certificateId}")),
    admin_only(operation<attach_principal>("iot", "AttachThingPrincipal", "PUT",
                                           "/things/{thingName}/principals")),
    admin_only(operation<detach_principal>("iot", "DetachThingPrincipal", "DELETE",
                                           "/things/{thingName}/principals")),
    operation<list_principals>("iot", "ListThingPrincipals", "GET",
                               "/things/{thingName}/principals"),
    operation<list_principal_things>("iot", "ListPrincipalThings", "GET", "/principals/things"),
    operation<describe_endpoint>("iot", "DescribeEndpoint", "GET", "/endpoint"),
};

}  // namespace

std::span<const Route> certificate_routes() {
  return kCertificateRoutes;
}

}  // namespace skerry::fleet::aws
