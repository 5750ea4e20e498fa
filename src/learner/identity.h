// A device as others of its fleet know it: what it signs is verified by its certificate, and that
// by the fleet's CA.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "federated/secure/messages.h"
#include "io/files.h"

namespace skerry::learner {

class Identity {
 public:
  // PEM files. kInvalidArgument names the one that is none.
  static Result<Identity> read(io::Files& files, const std::string& ca_file,
                               const std::string& certificate_file, const std::string& key_file);
  Identity(Identity&&) noexcept;
  Identity& operator=(Identity&&) noexcept;
  ~Identity();

  // Puts certificate and signature to the keys.
  Result<void> sign(federated::secure::Announcement& keys, const std::string& training,
                    size_t attempt) const;
  // kPermissionDenied where they are not those of a device of this fleet, for this attempt.
  Result<void> verify(const federated::secure::Announcement& keys, const std::string& training,
                      size_t attempt) const;

 private:
  struct Parts;
  explicit Identity(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace skerry::learner
