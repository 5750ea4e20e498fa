// What an object file of a compiled model is made of, by its ELF sections.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/error.h"

namespace skerry::compile {

// In bytes, as they are in memory.
struct ObjectSizes {
  size_t code = 0;
  size_t read_only = 0;  // tables and names: without the model's constants
  size_t relocated = 0;  // tables with addresses in them, written once when it is loaded
  size_t writable = 0;   // none: everything that a run changes is the caller's

  ObjectSizes& operator+=(const ObjectSizes& other);
};

// Of a 64-bit little-endian ELF file. kCorrupt where it is none.
Result<ObjectSizes> object_sizes(std::string_view object);

}  // namespace skerry::compile
