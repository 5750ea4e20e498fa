// Words and filters of the topics file.
#include "net/topic_policy.h"

#include <algorithm>

#include "net/mqtt_topic.h"

namespace skerry::net {

using Permission = TopicPermission::Kind;

std::string_view topic_permission_name(Permission kind) {
  switch (kind) {
    case Permission::kPublish:
      return "publish";
    case Permission::kSubscribe:
      return "subscribe";
    case Permission::kRetain:
      break;
  }
  return "retain";
}

Result<TopicPermission> parse_topic_permission(std::string_view kind, std::string_view filter) {
  TopicPermission permission{Permission::kPublish, std::string(filter)};
  if (kind == "subscribe") {
    permission.kind = Permission::kSubscribe;
  } else if (kind == "retain") {
    permission.kind = Permission::kRetain;
  } else if (kind != "publish") {
    return fail(Code::kInvalidArgument,
                "a line is publish, subscribe or retain, and a topic filter");
  }
  SKERRY_TRY(check_mqtt_filter(filter));
  // A thing may share a subscription; it cannot publish to one.
  const auto topics = permission.kind == Permission::kSubscribe ? unshared_filter(filter) : filter;
  if (topics.starts_with('$')) {
    return fail(Code::kInvalidArgument, "'" + permission.filter +
                                            "' is not the application's to open: topics that start "
                                            "with $ belong to the control plane and to shared "
                                            "subscriptions");
  }
  return permission;
}

Result<std::optional<TopicPermission>> parse_topic_line(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  if (line.empty() || line.front() == '#') return std::nullopt;
  const std::string_view kind = line.substr(0, line.find(' '));
  std::string_view filter = line.substr(kind.size());
  filter.remove_prefix(std::min(filter.size(), filter.find_first_not_of(' ')));
  return parse_topic_permission(kind, filter);
}

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

}  // namespace skerry::net
