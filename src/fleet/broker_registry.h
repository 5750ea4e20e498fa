// The file that tells the broker's plugin which certificates may connect, and for which thing or
// claim.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "fleet/active_certificates.h"
#include "fleet/effects.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

// What changes is appended, so that an event costs the same however many certificates there are;
// now and then the file is replaced by a shorter one. An append that a kill cuts short is mended by
// the next start, which replaces the file.
class BrokerRegistry : public EffectListener {
 public:
  // `certificates` outlives it. To be added to the pool's listeners after it.
  BrokerRegistry(io::Env& env, const ActiveCertificates& certificates, std::string path);
  // The claims that are good now; before the first write().
  void set_claims(const std::vector<ClaimChange>& claims);
  // Replaces the file by one that holds what the certificates are now.
  io::Task<Result<void>> write();
  // Appends what became of the certificates: a client that was answered may connect at once. Where
  // that fails (a full disk), logs it and tries again until it works, since a revocation waits.
  void committed(const Effects& effects) override;

 private:
  std::string text() const;
  Result<void> append(const std::string& lines, size_t count);
  void write_later();

  io::Env& env_;
  const ActiveCertificates& certificates_;
  const std::string path_;
  std::map<std::string, std::string> claims_;  // by their certificates
  std::unique_ptr<io::File> file_;             // null where the next change has to replace it
  size_t lines_ = 0;                           // in the file
  size_t replaced_lines_ = 0;                  // when it was last replaced
  bool is_replacing_ = false;
  bool is_due_ = false;    // write() is tried until it works
  std::string meanwhile_;  // lines that the file in the making has to get as well
  size_t meanwhile_count_ = 0;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
