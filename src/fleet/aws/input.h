// Pages, tags and client tokens, and the small shapes that many answers share. Every error is
// kInvalidArgument and names the member.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/aws/api.h"
#include "fleet/records.h"

namespace skerry::fleet::aws {

// The page that the request wants. A token is signed, and good for the operation and the filters
// that it was made for.
Result<Page> page_of(const ApiContext& context, const Paged& request);
// Adds the token that page_of reads back; nothing at the end of the list.
void add_next_token(const ApiContext& context, nlohmann::json& answer, const std::string& next,
                    const std::string& token_name = "nextToken");

// Text of the store as an object; empty where it is none.
nlohmann::json object_of(const std::string& text);
// Adds "tags" where there are any.
void add_tags(nlohmann::json& answer, const std::string& tags_json);
Result<void> check_tag_count(const nlohmann::json& tags);

// Seconds since 1970 with fractions, as rest-json writes timestamps.
double timestamp(int64_t wall_ms);

std::string thing_arn(const ApiContext& context, const ThingName& name);
std::string group_arn(const ApiContext& context, const ThingGroupName& name);
std::string job_arn(const ApiContext& context, const JobId& job);

// A repeated request of the same client token: the answer it got then. kAlreadyExists where the
// token came with another request.
Result<std::optional<nlohmann::json>> former_answer(const ApiContext& context,
                                                    const std::string& client_token);
// Stores the answer for that; nothing to do for a request without a token.
Result<void> remember_answer(const ApiContext& context, const std::string& client_token,
                             const nlohmann::json& answer);

}  // namespace skerry::fleet::aws
