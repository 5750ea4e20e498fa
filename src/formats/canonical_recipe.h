// Recipes in the one spelling that every nucleus reads: the one of AWS's own serialiser. Recipes
// may be written in any case and leave out what has a default; nucleus lite compares keys exactly
// and wants every list to be there.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::formats {

// The recipe as JSON text: keys in their canonical case ("Uri"; step names in lower case, what is
// in a step capitalised), defaults and empty lists filled in, numbers and booleans of Setenv and
// Platform as text. It means what `text` means; keys that this program does not know stay as they
// are. What is canonical already comes back unchanged.
Result<std::string> canonical_recipe(std::string_view text);

}  // namespace skerry::formats
