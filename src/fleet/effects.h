// What a unit of work on the store asks to happen once it is stored: who has to be told. Collected
// by the store's session while the unit runs, delivered on the loop's thread after the commit,
// dropped where the unit fails.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/named_type.h"

namespace skerry::fleet {

// What a certificate is good for from now on.
struct CertificateChange {
  std::string id;
  ThingName thing;  // that it speaks for; empty where it may not be used
  int64_t expires_ms = 0;
};

// What a certificate that devices share to get one of their own is good for from now on.
struct ClaimChange {
  std::string certificate_id;
  std::string claim;  // empty where it may not be used
};

struct AccessKey;  // fleet/access/access_store.h

struct AccessKeyChange {
  std::string id;
  std::shared_ptr<const AccessKey> now;  // null: it is gone
};

// What is published about a change.
struct Announcement {
  std::string topic, payload;
};

struct Effects {
  // A job execution of these was queued, ended or removed.
  std::vector<ThingName> jobs;
  // These certificates were added, attached, detached, removed, or got another status.
  std::vector<CertificateChange> certificates;
  // These claims are new or revoked.
  std::vector<ClaimChange> claims;
  // These devices said something of themselves, came or went.
  std::vector<ThingName> devices;
  // These access keys are new, or another state of them counts from now on.
  std::vector<AccessKeyChange> access_keys;
  // Shadows have changed, and this is said of it, in this order.
  std::vector<Announcement> shadows;

  bool empty() const {
    return jobs.empty() && certificates.empty() && devices.empty() && access_keys.empty() &&
           shadows.empty() && claims.empty();
  }
};

class EffectListener {
 public:
  virtual ~EffectListener() = default;
  virtual void committed(const Effects& effects) = 0;
};

}  // namespace skerry::fleet
