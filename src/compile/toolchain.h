// The system's C++ compiler.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "compile/target.h"

namespace skerry::compile {

struct Source {
  std::string code;            // model.cc
  std::string_view constants;  // constants.bin
  std::string keep;            // a folder where all of it stays; "": a temporary one
};

// The shared object's bytes. kFailedPrecondition names the package where the compiler is missing.
Result<std::string> build_object(const Target& target, const Source& source,
                                 const std::vector<std::string>& more_flags);

// The headers of kernels/ and the ABI's, by the path that #include names. Made by CMake.
struct EmbeddedFile {
  std::string_view path;
  std::string_view content;
};
std::vector<EmbeddedFile> embedded_files();

}  // namespace skerry::compile
