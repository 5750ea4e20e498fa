// The table of targets.
#include "compile/target.h"

#include <fmt/format.h>
#include <skerry/compiled_model.h>

#include <algorithm>
#include <array>

#include "runtime/compiled/artifact.h"

namespace skerry::compile {
namespace {

constexpr uint64_t kV2 = SKERRY_CPU_SSE4_2;
constexpr uint64_t kV3 = kV2 | SKERRY_CPU_AVX2;
constexpr uint64_t kV4Vnni = kV3 | SKERRY_CPU_AVX512 | SKERRY_CPU_VNNI | SKERRY_CPU_VBMI;

// From the least to the best: "native" takes the last that runs.
constexpr std::array<Target, 3> kTargets = {{
    {"x86-64-v2", "SSE4.2 (any x86-64 since 2009)", "g++", "g++", "-march=x86-64-v2", kV2, 4, 16,
     false},
    {"x86-64-v3", "AVX2 and FMA (Haswell, Zen and later)", "g++", "g++", "-march=x86-64-v3", kV3, 8,
     16, false},
    {"x86-64-v4-vnni", "AVX-512 with VNNI and VBMI (Ice Lake, Zen 4 and later)", "g++", "g++",
     "-march=x86-64-v4 -mavx512vnni -mavx512vbmi -mprefer-vector-width=512", kV4Vnni, 16, 32, true},
}};

}  // namespace

std::span<const Target> targets() {
  return kTargets;
}

Result<const Target*> find_target(std::string_view name) {
  std::string names = "native";
  const Target* best = nullptr;
  const uint64_t here = runtime::cpu_features_here();
  for (const Target& target : kTargets) {
    if (target.name == name) return &target;
    names.append(", ").append(target.name);
    if ((target.cpu_features & ~here) == 0) best = &target;
  }
  if (name != "native") {
    return fail(Code::kInvalidArgument,
                fmt::format("there is no target '{}'; there are: {}", name, names));
  }
  if (best != nullptr) return best;
  return fail(Code::kUnsupported, "no target suits this machine: name one of " + names);
}

}  // namespace skerry::compile
