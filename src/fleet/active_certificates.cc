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
  things_.clear();
  for (const CertificateChange& one : usable) things_.emplace(one.id, one.thing);
  co_return Result<void>();
}

void ActiveCertificates::committed(const Effects& effects) {
  for (const CertificateChange& change : effects.certificates) {
    if (change.thing.empty()) {
      things_.erase(change.id);
    } else {
      things_.insert_or_assign(change.id, change.thing);
    }
  }
}

const ThingName* ActiveCertificates::thing_of(std::string_view id) const {
  const auto found = things_.find(id);
  return found == things_.end() ? nullptr : &found->second;
}

}  // namespace skerry::fleet
