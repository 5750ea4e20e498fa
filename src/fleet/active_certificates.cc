// A map that the store's effects keep up to date.
#include "fleet/active_certificates.h"

namespace skerry::fleet {

ActiveCertificates::ActiveCertificates(StorePool& stores) : stores_(stores) {
  stores_.add_listener(*this);
}

ActiveCertificates::~ActiveCertificates() {
  stores_.remove_listener(*this);
}

io::Task<Result<void>> ActiveCertificates::load() {
  // By the writer: in order with the changes that committed() hears of.
  SKERRY_CO_ASSIGN(const auto usable,
                   co_await stores_.write([](Store& store) { return store.usable_certificates(); },
                                          StorePool::Need::kRelief));
  uses_.clear();
  for (const CertificateChange& one : usable) uses_.emplace(one.id, Use{one.thing, one.expires_ms});
  co_return Result<void>();
}

void ActiveCertificates::committed(const Effects& effects) {
  for (const CertificateChange& change : effects.certificates) {
    if (change.thing.empty()) {
      uses_.erase(change.id);
    } else {
      uses_.insert_or_assign(change.id, Use{change.thing, change.expires_ms});
    }
  }
}

const ActiveCertificates::Use* ActiveCertificates::use_of(std::string_view id) const {
  const auto found = uses_.find(id);
  return found == uses_.end() ? nullptr : &found->second;
}

const ThingName* ActiveCertificates::thing_of(std::string_view id) const {
  const Use* use = use_of(id);
  return use ? &use->thing : nullptr;
}

}  // namespace skerry::fleet
