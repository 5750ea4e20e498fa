// As text: a heading, then a line for each message with its time in seconds, bytes, thing and
// topic.
#include "retained.h"

#include <algorithm>
#include <charconv>

namespace skerry::broker {
namespace {

constexpr std::string_view kHeading = "skerry-retained 1\n";

std::string_view take_until(std::string_view& rest, char end) {
  const std::string_view part = rest.substr(0, rest.find(end));
  rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  return part;
}

template <typename Number>
bool parse(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

bool Retained::keep(Time now, std::string_view name, std::string_view topic, size_t bytes) {
  if (topic.contains('\n')) return false;
  Thing& thing = things_[std::string(name)];
  const auto found = thing.messages.find(topic);
  const bool is_new = found == thing.messages.end();
  const size_t before = is_new ? 0 : found->second.bytes;
  if (bytes == 0) {
    if (!is_new) thing.messages.erase(found);
  } else if (thing.bytes - before + bytes > kBytes ||
             (is_new && thing.messages.size() >= kTopics)) {
    return false;
  } else {
    thing.messages.insert_or_assign(std::string(topic), Message{bytes, now});
  }
  thing.bytes = thing.bytes - before + bytes;
  changed_ = true;
  return true;
}

std::vector<Retained::Overdue> Retained::overdue(Time now) const {
  std::vector<Overdue> result;
  for (const auto& [name, thing] : things_) {
    for (const auto& [topic, message] : thing.messages) {
      if (now - message.written >= kLife) result.push_back({name, topic});
    }
  }
  return result;
}

std::string Retained::text() const {
  std::string result(kHeading);
  for (const auto& [name, thing] : things_) {
    for (const auto& [topic, message] : thing.messages) {
      const auto age = std::chrono::floor<std::chrono::seconds>(message.written.time_since_epoch());
      result += std::to_string(age.count()) + " " + std::to_string(message.bytes) + " " + name +
                " " + topic + "\n";
    }
  }
  return result;
}

bool Retained::read(std::string_view text) {
  if (!text.starts_with(kHeading) || !text.ends_with('\n')) return false;
  text.remove_prefix(kHeading.size());
  std::unordered_map<std::string, Thing> things;
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    int64_t seconds = 0;
    Message message;
    if (!parse(take_until(line, ' '), seconds) || !parse(take_until(line, ' '), message.bytes)) {
      return false;
    }
    const std::string_view name = take_until(line, ' ');
    if (name.empty() || line.empty() || message.bytes > kBytes) return false;
    message.written = Time(std::chrono::seconds(seconds));
    Thing& thing = things[std::string(name)];
    if (!thing.messages.try_emplace(std::string(line), message).second) return false;
    thing.bytes += message.bytes;
  }
  things_ = std::move(things);
  changed_ = false;
  return true;
}

}  // namespace skerry::broker
