// Tokens by which access rules (serve/access_rules.h) know clients.
#pragma once

#include <string>

namespace skerry::serve {

// A new one of 256 random bits and its digest for the rules, as text for people or as JSON.
std::string new_token(bool as_json);

}  // namespace skerry::serve
