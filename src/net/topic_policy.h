// The file that opens application topics to a fleet's things, line by line
// (docs/data/topic-policy.md): written by people and `skerry fleet topics`, read by the broker's
// plugin.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::net {

struct TopicPermission {
  enum class Kind { kPublish, kSubscribe, kRetain } kind;
  std::string filter;  // "{thing}" in it stands for the name of the thing that asks

  bool operator==(const TopicPermission&) const = default;
};

std::string_view topic_permission_name(TopicPermission::Kind kind);  // "publish", …
// "publish FILTER" and so on; kInvalidArgument says what is wrong with it.
Result<TopicPermission> parse_topic_permission(std::string_view kind, std::string_view filter);
// Of a line of the file; nothing in an empty one and in a comment.
Result<std::optional<TopicPermission>> parse_topic_line(std::string_view line);
// Takes the first line, without its end, off `text`.
std::string_view take_line(std::string_view& text);

}  // namespace skerry::net
