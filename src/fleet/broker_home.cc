// Copies with the owner and the mode that let the broker in, and nobody else.
#include "fleet/broker_home.h"

#include <unistd.h>

#include <fstream>

#include "base/log.h"

namespace skerry::fleet {
namespace {

constexpr const char *kSessions = "/sessions", *kSessionsFile = "/sessions.db";
constexpr uint32_t kNobody = 65'534;

// Whether this user namespace has such an id; a container may have a few only.
bool is_mapped(uint64_t id) {
  std::ifstream map("/proc/self/uid_map");
  for (uint64_t first, outside, count; map >> first >> outside >> count;) {
    if (id >= first && id - first < count) return true;
  }
  return false;
}

}  // namespace

Result<void> BrokerHome::give(const std::string& path, uint32_t mode) {
  if (user_) SKERRY_TRY(files_.set_owner(path, 0, user_->gid));
  return files_.set_mode(path, mode);
}

Result<void> BrokerHome::write(const char* name, std::string_view text, uint32_t mode) {
  return io::write_file_atomic(files_, directory_ + "/" + name, text, mode);
}

Result<void> BrokerHome::copy(const std::string& from, const char* name, uint32_t mode) {
  SKERRY_ASSIGN(const std::string content, io::read_file(files_, from));
  return write(name, content, mode);
}

Result<void> BrokerHome::prepare(const net::TlsFiles& tls, const std::string& plugin) {
  const std::string sessions = directory_ + kSessions;
  SKERRY_TRY(io::make_directories(files_, directory_, 0700));
  SKERRY_TRY(files_.make_directory(sessions, 0700));
  // Where they were before they had a folder.
  if (io::exists(files_, directory_ + kSessionsFile))
    SKERRY_TRY(files_.rename(directory_ + kSessionsFile, sessions + kSessionsFile));
  user_.reset();
  if (::geteuid() == 0) {
    const uint32_t id = is_mapped(kUser) ? kUser : kNobody;
    auto given = files_.set_owner(sessions, id, id);
    if (given && io::exists(files_, sessions + kSessionsFile))
      given = files_.set_owner(sessions + kSessionsFile, id, id);
    if (given) {
      user_ = io::User{id, id};
    } else {
      log::warn("broker", "runs as root: it cannot be given a user of its own",
                {{"error", given.error().message()}});
    }
  }
  SKERRY_TRY(give(directory_, user_ ? 0750 : 0700));
  SKERRY_TRY(copy(tls.ca_file, "ca.pem"));
  SKERRY_TRY(copy(tls.certificate_file, "server.pem"));
  SKERRY_TRY(copy(tls.key_file, "server.key", 0600));
  SKERRY_TRY(give(directory_ + "/server.key", user_ ? 0640 : 0600));
  SKERRY_TRY(copy(plugin, "skerry_broker_plugin.so"));
  topics_modified_ns_ = -1;
  follow_topics();
  return {};
}

void BrokerHome::follow_topics() {
  const auto info = files_.stat(topics_);
  if (!info && info.error().code() != Code::kNotFound) return;
  const int64_t modified_ns = info ? info->modified_ns : 0;
  const uint64_t inode = info ? info->inode : 0, bytes = info ? info->size_bytes : 0;
  if (modified_ns == topics_modified_ns_ && inode == topics_inode_ && bytes == topics_bytes_)
    return;
  topics_modified_ns_ = modified_ns;
  topics_inode_ = inode;
  topics_bytes_ = bytes;
  if (const auto taken = take_topics(info); !taken) {
    log::error("broker", "the topics that are open cannot be changed: save them again",
               {{"error", taken.error().message()}});
  }
}

Result<void> BrokerHome::take_topics(const Result<io::FileInfo>& info) {
  if (info) return copy(topics_, "topics");
  const std::string taken = directory_ + "/topics";
  if (!io::exists(files_, taken)) return {};
  return files_.remove(taken);
}

}  // namespace skerry::fleet
