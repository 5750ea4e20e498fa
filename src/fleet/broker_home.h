// The directory that the broker runs in, and the user it runs as. Where the fleet is root, the
// broker is somebody else: it reads what is copied here for it, writes its sessions, and can
// neither reach the CA's key nor the store. It knows the directory as "." only, so that the
// directories above stay closed to it (docs/data/topic-policy.md).
//
//   mosquitto.conf, ca.pem, server.pem, server.key, skerry_broker_plugin.so, topics   made at each
//   start active-certificates                                                 BrokerRegistry's
//   sessions/                                                           the broker's own
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/files.h"
#include "io/processes.h"
#include "net/tls.h"

namespace skerry::fleet {

class BrokerHome {
 public:
  // Between what Debian and systemd give out (up to 65535) and the users of components.
  static constexpr uint32_t kUser = 69'999;

  // `topics`: the operator's file, which may be absent.
  BrokerHome(io::Files& files, std::string directory, std::string topics)
      : files_(files), directory_(std::move(directory)), topics_(std::move(topics)) {}

  // Before each start: copies of what the broker reads, under names that do not change.
  Result<void> prepare(const net::TlsFiles& tls, const std::string& plugin);
  Result<void> write(const char* name, std::string_view text, uint32_t mode = 0644);
  // Gives the broker the operator's topics where they changed; to be called every second.
  void follow_topics();

  // Valid after prepare(): nothing where the broker runs as we do.
  const std::optional<io::User>& user() const { return user_; }
  const std::string& directory() const { return directory_; }

 private:
  Result<void> copy(const std::string& from, const char* name, uint32_t mode = 0644);
  Result<void> give(const std::string& path, uint32_t mode);
  Result<void> take_topics(const Result<io::FileInfo>& info);

  io::Files& files_;
  const std::string directory_, topics_;
  std::optional<io::User> user_;
  int64_t topics_modified_ns_ = -1;  // of the operator's file as it was copied
  uint64_t topics_inode_ = 0, topics_bytes_ = 0;
};

}  // namespace skerry::fleet
