// The file of a compiled model: a shared object, and behind it a trailer that says what it is and
// is checked before any of it is run. docs/data/compiled-model.md shows one byte by byte.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::runtime {

struct CompiledArtifact {
  uint64_t object_bytes = 0;
  uint32_t abi_version = 0;
  uint64_t cpu_features = 0;  // SKERRY_CPU_… of skerry/compiled_model.h
  std::string target;         // at most 31 bytes
};

// What is to be written behind `object`.
std::string artifact_trailer(std::string_view object, const CompiledArtifact& artifact);

// Untrusted. kCorrupt where it is no compiled model or not all of one.
Result<CompiledArtifact> read_artifact(std::string_view file);

// kUnsupported where this program or this machine cannot run it; the message says what is missing.
Result<void> check_artifact(const CompiledArtifact& artifact);

// SKERRY_CPU_… of this machine.
uint64_t cpu_features_here();
// "AVX2, AVX-512": for messages.
std::string names_of_features(uint64_t cpu_features);

}  // namespace skerry::runtime
