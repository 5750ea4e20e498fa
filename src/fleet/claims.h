// Claims: certificates that many devices share until each has its own. A claim is its own template
// as well: it says which things it may make, how many, until when, and in which groups.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fleet/ca.h"
#include "fleet/records.h"
#include "fleet/store.h"
#include "formats/provisioning.h"
#include "io/random.h"

namespace skerry::fleet {

struct Claim {
  std::string name;            // of the template, too; as a thing's name is written
  std::string certificate_id;  // which its devices show
  std::string names = "*";     // of things; * stands for anything
  std::vector<ThingGroupName> groups;
  bool has_serials = false;  // those of a list only, each for one thing
  int64_t most = 0;          // things
  int64_t used = 0;          // that were made
  bool is_revoked = false;
  int64_t created_ms = 0;
  int64_t expires_ms = 0;
};

// Pattern with *; everything else stands for itself.
bool fits_names(std::string_view pattern, std::string_view name);

// With the serial numbers that it is for; none: it asks for none.
Result<void> add_claim(Store& store, const Claim& claim, const std::vector<std::string>& serials);
Result<Claim> find_claim(Store& store, const std::string& name);
Result<Slice<Claim>> list_claims(Store& store, const Page& page);  // by name
Result<void> revoke_claim(Store& store, const std::string& name);
Result<std::vector<ClaimChange>> usable_claims(Store& store);
// kPermissionDenied where it is revoked, or its time is over.
Result<Claim> usable_claim(Store& store, const std::string& name, int64_t now_ms);

// Makes the thing that `parameters` name (ThingName, else SerialNumber) for a certificate that the
// claim has had issued: in one unit of work thing, certificate, groups and count. The same key may
// ask again, to an answer that was lost: nothing is counted then, and its newest certificate
// counts. kPermissionDenied where the claim does not give that; kAlreadyExists where the thing has
// another key.
Result<ThingName> provision_thing(Store& store, io::Random& random, const std::string& claim,
                                  const std::map<std::string, std::string>& parameters,
                                  const IssuedCertificate& certificate, int64_t now_ms);

}  // namespace skerry::fleet
