// Which certificates speak for which things: all that are active and attached, in the loop's
// memory, so that neither a connection nor a signature asks the store.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/store_pool.h"
#include "io/task.h"

namespace skerry::fleet {

// Follows the store from load() on: what was awaited from the pool is known here.
class ActiveCertificates : public EffectListener {
 public:
  // `stores` must outlive it. Listeners that ask it in committed() are added after it.
  explicit ActiveCertificates(StorePool& stores);
  ~ActiveCertificates() override;
  ActiveCertificates(const ActiveCertificates&) = delete;
  ActiveCertificates& operator=(const ActiveCertificates&) = delete;

  io::Task<Result<void>> load();
  void committed(const Effects& effects) override;

  struct Use {
    ThingName thing;
    int64_t expires_ms = 0;
  };
  // Null where the certificate (its fingerprint) may not be used. Who is asked about a connection
  // looks at its end as well: TLS does where nothing else is said (certificate_renewal.h).
  const ThingName* thing_of(std::string_view id) const;
  const Use* use_of(std::string_view id) const;
  const std::map<std::string, Use, std::less<>>& all() const { return uses_; }

 private:
  StorePool& stores_;
  std::map<std::string, Use, std::less<>> uses_;  // by the certificate's id
};

}  // namespace skerry::fleet
