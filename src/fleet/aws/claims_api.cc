// skerry: claims, by which devices get themselves an identity (fleet/claims.h).
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/ca.h"
#include "fleet/claims.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr int64_t kLongestClaimS = int64_t{10} * 365 * 86'400;
constexpr Shape kClaimThings{.type = Type::kLong, .min = 1, .max = 1'000'000};
constexpr Shape kClaimSeconds{.type = Type::kLong, .min = 60, .max = kLongestClaimS};
constexpr Shape kClaimLine{.min = 1, .max = 128};
constexpr Shape kClaimGroups{.type = Type::kList, .max = 10, .element = &kName};
constexpr Shape kClaimSerials{.type = Type::kList, .max = 10'000, .element = &kClaimLine};

struct CreateClaim {
  std::string name, csr, names;
  std::vector<std::string> groups, serials;
  std::optional<int64_t> things, seconds;
  static std::span<const Field> fields() {
    using F = Fields<CreateClaim>;
    static constexpr Field kFields[] = {
        F::path<&CreateClaim::name>("claimName", kName),
        F::body<&CreateClaim::csr>("certificateSigningRequest", kCsr, true),
        F::body<&CreateClaim::names>("thingNames", kClaimLine),
        F::body<&CreateClaim::groups>("thingGroupNames", kClaimGroups),
        F::body<&CreateClaim::serials>("serialNumbers", kClaimSerials),
        F::body<&CreateClaim::things>("maximumThings", kClaimThings, true),
        F::body<&CreateClaim::seconds>("expiresInSeconds", kClaimSeconds, true)};
    return kFields;
  }
};

json claim_answer(const Claim& claim, int64_t now_ms) {
  const char* state = claim.is_revoked             ? "revoked"
                      : claim.expires_ms <= now_ms ? "expired"
                      : claim.used >= claim.most   ? "used up"
                                                   : "active";
  json groups = json::array();
  for (const ThingGroupName& group : claim.groups) groups.push_back(group.str());
  return {{"claimName", claim.name},
          {"certificateId", claim.certificate_id},
          {"state", state},
          {"thingNames", claim.names},
          {"thingGroupNames", groups},
          {"needsSerialNumber", claim.has_serials},
          {"maximumThings", claim.most},
          {"things", claim.used},
          {"created", timestamp(claim.created_ms)},
          {"expires", timestamp(claim.expires_ms)}};
}

Result<json> create_claim(ApiContext& context, const CreateClaim& request) {
  SKERRY_ASSIGN(const IssuedCertificate issued,
                context.authority.issue_device(request.csr, request.seconds));
  const int64_t now_ms = context.env.clock.wall_ms();
  Claim claim{.name = request.name,
              .certificate_id = issued.sha256,
              .names = request.names.empty() ? "*" : request.names,
              .has_serials = !request.serials.empty(),
              .most = *request.things,
              .created_ms = now_ms,
              .expires_ms = issued.expires_ms};
  for (const std::string& group : request.groups) claim.groups.emplace_back(group);
  SKERRY_TRY(add_claim(context.store, claim, request.serials));
  json answer = claim_answer(claim, now_ms);
  answer["certificatePem"] = issued.pem;
  return answer;
}

struct ClaimRequest {
  std::string name;
  static std::span<const Field> fields() {
    using F = Fields<ClaimRequest>;
    static constexpr Field kFields[] = {F::path<&ClaimRequest::name>("claimName", kName)};
    return kFields;
  }
};

Result<json> revoke_claim_of(ApiContext& context, const ClaimRequest& request) {
  SKERRY_TRY(revoke_claim(context.store, request.name));
  SKERRY_ASSIGN(const Claim claim, find_claim(context.store, request.name));
  return claim_answer(claim, context.env.clock.wall_ms());
}

struct ListClaims : Paged {
  static std::span<const Field> fields() {
    static constexpr Field kFields[] = {page_size<ListClaims>(kPageSize100),
                                        page_token<ListClaims>()};
    return kFields;
  }
};

Result<json> list_all_claims(ApiContext& context, const ListClaims& request) {
  SKERRY_ASSIGN(const Page page, page_of(context, request));
  SKERRY_ASSIGN(const auto found, list_claims(context.store, page));
  json answer = {{"claims", json::array()}};
  for (const Claim& claim : found.items)
    answer["claims"].push_back(claim_answer(claim, context.env.clock.wall_ms()));
  add_next_token(context, answer, found.next);
  return answer;
}

constexpr Route kClaimRoutes[] = {
    admin_only(
        operation<create_claim>("skerry", "CreateClaim", "POST", "/skerry/v1/claims/{claimName}")),
    operation<list_all_claims>("skerry", "ListClaims", "GET", "/skerry/v1/claims"),
    admin_only(operation<revoke_claim_of>("skerry", "RevokeClaim", "POST",
                                          "/skerry/v1/claims/{claimName}/revoke")),
};

}  // namespace

std::span<const Route> claim_routes() {
  return kClaimRoutes;
}

}  // namespace skerry::fleet::aws
