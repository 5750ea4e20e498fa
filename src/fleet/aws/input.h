// Reading requests as the service models constrain them, and the small shapes that many answers
// share. Every error is kInvalidArgument and names the member.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/aws/api.h"
#include "fleet/records.h"

namespace skerry::fleet::aws {

struct Length {
  size_t min = 1;
  size_t max = SIZE_MAX;
};

// Member `name` of `object`; "" where it is absent and not required.
Result<std::string> string_member(const nlohmann::json& object, const std::string& name,
                                  Length length, bool required = false);
// Member `name` as an object; null where absent.
Result<const nlohmann::json*> object_member(const nlohmann::json& object, const std::string& name);

// A query parameter that has to be one of `allowed`; "" where absent.
Result<std::string> enum_option(const ApiRequest& request, const std::string& name,
                                std::initializer_list<std::string_view> allowed);
// true or false; `otherwise` where absent.
Result<bool> bool_option(const ApiRequest& request, const std::string& name, bool otherwise);

// maxResults (1 to `most`) and nextToken, under the names an older API has for them where given.
Result<Page> page_of(const ApiRequest& request, size_t most,
                     const std::string& limit_name = "maxResults",
                     const std::string& token_name = "nextToken");
// Adds the token that page_of reads back; nothing at the end of the list.
void add_next_token(nlohmann::json& answer, const std::string& next,
                    const std::string& token_name = "nextToken");

// The member "tags" of greengrassv2: an object of strings.
Result<nlohmann::json> tags_of(const nlohmann::json& body);
Result<void> check_tags(const nlohmann::json& tags);
// Adds "tags" where there are any.
void add_tags(nlohmann::json& answer, const std::string& tags_json);

// Seconds since 1970 with fractions, as rest-json writes timestamps.
double timestamp(int64_t wall_ms);

// A repeated request of the same client token: the answer it got then. kAlreadyExists where the
// token came with another request.
Result<std::optional<nlohmann::json>> former_answer(ApiContext& context, const char* operation,
                                                    const nlohmann::json& body);
// Stores the answer for that; nothing to do for a request without a token.
Result<void> remember_answer(ApiContext& context, const char* operation, const nlohmann::json& body,
                             const nlohmann::json& answer);

}  // namespace skerry::fleet::aws
