// Changes between two messages count once: a thing that came and went is told as it is now.
#include "presence.h"

#include <utility>

namespace skerry::broker {

void Presence::session_began(std::string_view thing) {
  const auto [session, is_first] = sessions_.try_emplace(std::string(thing), 0);
  ++session->second;
  if (is_first) changes_[session->first] = true;
}

void Presence::session_ended(std::string_view thing) {
  const auto session = sessions_.find(thing);
  if (session == sessions_.end() || --session->second > 0) return;
  changes_[session->first] = false;
  sessions_.erase(session);
}

void Presence::ask() {
  changes_.clear();
  lines_ = "=\n";
  sent_ = 0;
  for (const auto& [thing, count] : sessions_) lines_ += "+" + thing + "\n";
  lines_ += ".\n";
}

std::optional<std::string> Presence::take_message() {
  for (const auto& [thing, is_there] : std::exchange(changes_, {})) {
    lines_ += (is_there ? "+" : "-") + thing + "\n";
  }
  if (sent_ == lines_.size()) return std::nullopt;
  size_t end = lines_.size();
  if (end - sent_ > kMessageBytes) end = lines_.rfind('\n', sent_ + kMessageBytes - 1) + 1;
  std::string message = lines_.substr(sent_, end - sent_);
  sent_ = end;
  if (sent_ == lines_.size()) {
    lines_.clear();
    sent_ = 0;
  }
  return message;
}

}  // namespace skerry::broker
