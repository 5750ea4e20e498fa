// SQL of claims, and the unit of work that uses one.
#include "fleet/claims.h"

#include <nlohmann/json.hpp>

#include "fleet/store_sql.h"
#include "formats/names.h"
#include "net/x509.h"

namespace skerry::fleet {
namespace {

const std::string kClaimColumns =
    "name, certificate_id, names, group_names, has_serials, most, used, revoked, created_ms, "
    "expires_ms";

std::string groups_text(const std::vector<ThingGroupName>& groups) {
  nlohmann::json list = nlohmann::json::array();
  for (const ThingGroupName& group : groups) list.push_back(group.str());
  return list.dump();
}

Claim read_claim(const Row& row) {
  Claim claim{.name = row.text("name"),
              .certificate_id = row.text("certificate_id"),
              .names = row.text("names"),
              .has_serials = row.number("has_serials") != 0,
              .most = row.number("most"),
              .used = row.number("used"),
              .is_revoked = row.number("revoked") != 0,
              .created_ms = row.number("created_ms"),
              .expires_ms = row.number("expires_ms")};
  for (const auto& group : nlohmann::json::parse(row.text("group_names")))
    claim.groups.emplace_back(group.get<std::string>());
  return claim;
}

std::string parameter(const std::map<std::string, std::string>& parameters, const char* name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? "" : found->second;
}

std::unexpected<Error> denied(std::string message) {
  return fail(Code::kPermissionDenied, std::move(message));
}

// A serial number of the claim's list, which no other thing has.
Result<void> take_serial(Store& store, const std::string& claim, const std::string& serial,
                         const ThingName& thing) {
  auto taken = store.database().select_one(
      "", "SELECT thing FROM claim_serials WHERE claim = :claim AND serial = :serial",
      [](const Row& row) { return row.text("thing"); }, claim, serial);
  if (!taken && taken.error().code() == Code::kNotFound) {
    return denied("serial number '" + serial + "' is not on the list of claim " + claim);
  }
  if (!taken) return fail(taken.error());
  if (*taken == thing.str()) return {};
  if (!taken->empty()) return denied("serial number '" + serial + "' is " + *taken + "'s");
  SKERRY_TRY(store.database().execute(
      "UPDATE claim_serials SET thing = :thing WHERE claim = :claim AND serial = :serial",
      thing.str(), claim, serial));
  return {};
}

bool is_same_key(const Certificate& one, EVP_PKEY* key) {
  const auto parsed = net::x509::parse_certificate(one.pem);
  return parsed && key && EVP_PKEY_eq(X509_get0_pubkey(parsed.get()), key) == 1;
}

// Whether the thing is there already, with this key: its former certificates make room.
Result<bool> is_known(Store& store, const ThingName& thing, EVP_PKEY* key) {
  SKERRY_ASSIGN(const auto certificates, store.certificates_of_thing(thing));
  for (const Certificate& one : certificates) {
    if (one.status != CertificateStatus::kActive || !is_same_key(one, key)) {
      return fail(Code::kAlreadyExists,
                  "thing " + thing.str() +
                      " exists and has another key: remove it, or detach its certificates");
    }
  }
  for (const Certificate& one : certificates) {
    SKERRY_TRY(store.detach_certificate(one.id));
    SKERRY_TRY(store.delete_certificate(one.id));
  }
  return !certificates.empty();
}

}  // namespace

bool fits_names(std::string_view pattern, std::string_view name) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == name;
  if (!name.starts_with(pattern.substr(0, star))) return false;
  name.remove_prefix(star);
  pattern.remove_prefix(star + 1);
  const size_t next = std::min(pattern.find('*'), pattern.size());
  if (next == pattern.size()) return name.ends_with(pattern);
  // The first place of what stands between two stars leaves the most to what follows.
  const size_t at = name.find(pattern.substr(0, next));
  return at != std::string_view::npos && fits_names(pattern.substr(next), name.substr(at + next));
}

Result<void> add_claim(Store& store, const Claim& claim, const std::vector<std::string>& serials) {
  return store.transaction([&]() -> Result<void> {
    for (const ThingGroupName& group : claim.groups) SKERRY_TRY(store.find_group(group));
    SKERRY_ASSIGN(const int64_t inserted,
                  store.database().execute(
                      "INSERT INTO claims (" + kClaimColumns +
                          ") VALUES (:name, :certificate, :names, :groups, :has_serials, :most, "
                          ":used, :revoked, :created, :expires) ON CONFLICT (name) DO NOTHING",
                      claim.name, claim.certificate_id, claim.names, groups_text(claim.groups),
                      int64_t{!serials.empty()}, claim.most, claim.used, int64_t{claim.is_revoked},
                      claim.created_ms, claim.expires_ms));
    if (inserted == 0)
      return fail(Code::kAlreadyExists, "claim " + claim.name + " exists: choose another name");
    for (const std::string& serial : serials) {
      SKERRY_TRY(store.database().execute(
          "INSERT INTO claim_serials (claim, serial, thing) VALUES (:claim, :serial, '') "
          "ON CONFLICT (claim, serial) DO NOTHING",
          claim.name, serial));
    }
    store.effects().claims.push_back({claim.certificate_id, claim.name});
    return {};
  });
}

Result<Claim> find_claim(Store& store, const std::string& name) {
  return store.database().select_one("claim " + name + " does not exist",
                                     "SELECT " + kClaimColumns + " FROM claims WHERE name = :name",
                                     read_claim, name);
}

Result<Slice<Claim>> list_claims(Store& store, const Page& page) {
  SKERRY_ASSIGN(auto rows, store.database().select(
                               "SELECT " + kClaimColumns +
                                   " FROM claims WHERE name > :after ORDER BY name LIMIT :limit",
                               read_claim, page.after, limit_of(page)));
  return slice_of(std::move(rows), page, [](const Claim& claim) { return claim.name; });
}

Result<void> revoke_claim(Store& store, const std::string& name) {
  SKERRY_ASSIGN(const Claim claim, find_claim(store, name));
  SKERRY_TRY(store.database().execute("UPDATE claims SET revoked = 1 WHERE name = :name", name));
  store.effects().claims.push_back({claim.certificate_id, ""});
  return {};
}

Result<std::vector<ClaimChange>> usable_claims(Store& store) {
  return store.database().select(
      "SELECT name, certificate_id FROM claims WHERE revoked = 0",
      [](const Row& row) { return ClaimChange{row.text("certificate_id"), row.text("name")}; });
}

Result<Claim> usable_claim(Store& store, const std::string& name, int64_t now_ms) {
  SKERRY_ASSIGN(Claim claim, find_claim(store, name));
  if (claim.is_revoked) return denied("claim " + name + " is revoked");
  if (claim.expires_ms <= now_ms) return denied("claim " + name + " has expired");
  return claim;
}

Result<ThingName> provision_thing(Store& store, io::Random& random, const std::string& claim_name,
                                  const std::map<std::string, std::string>& parameters,
                                  const IssuedCertificate& certificate, int64_t now_ms) {
  const std::string serial = parameter(parameters, "SerialNumber");
  const std::string wanted = parameter(parameters, "ThingName");
  auto parsed = formats::parse_thing_name(wanted.empty() ? serial : wanted);
  if (!parsed) return fail(parsed.error().with_context("parameters ThingName or SerialNumber"));
  ThingName thing = *std::move(parsed);
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(const Claim claim, usable_claim(store, claim_name, now_ms));
    if (thing.str() == kControlPlaneName || !fits_names(claim.names, thing.str())) {
      return denied("claim " + claim_name + " makes no thing called " + thing.str());
    }
    if (claim.has_serials) SKERRY_TRY(take_serial(store, claim_name, serial, thing));
    const auto shown = net::x509::parse_certificate(certificate.pem);
    SKERRY_ASSIGN(const bool known,
                  is_known(store, thing, shown ? X509_get0_pubkey(shown.get()) : nullptr));
    if (!known && claim.used >= claim.most) {
      return denied("claim " + claim_name + " has made all of its " + std::to_string(claim.most) +
                    " things");
    }
    if (!store.find_thing(thing)) {
      const nlohmann::json attributes = {{"claim", claim_name}};
      SKERRY_TRY(store.create_thing({thing, random.uuid(), attributes.dump(), now_ms, int64_t{1}}));
    }
    SKERRY_TRY(store.add_certificate({.id = certificate.sha256,
                                      .pem = certificate.pem,
                                      .status = CertificateStatus::kActive,
                                      .common_name = certificate.common_name,
                                      .thing = {},
                                      .created_ms = now_ms,
                                      .expires_ms = certificate.expires_ms}));
    SKERRY_TRY(store.attach_certificate(certificate.sha256, thing));
    for (const ThingGroupName& group : claim.groups) SKERRY_TRY(store.add_to_group(thing, group));
    if (known) return {};
    SKERRY_TRY(store.database().execute("UPDATE claims SET used = used + 1 WHERE name = :name",
                                        claim_name));
    return {};
  }));
  return thing;
}

}  // namespace skerry::fleet
