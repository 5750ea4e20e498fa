// What the commands of skerry-infer print for people.
#pragma once

#include <string>

namespace skerry::serve {

// The server's answer `body`, JSON, to a command ("load", "runtime add", …) about the model or
// runtime `name`.
void print_answer(const std::string& command, const std::string& name, const std::string& body);

}  // namespace skerry::serve
