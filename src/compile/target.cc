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

constexpr uint64_t kArm = SKERRY_CPU_AARCH64;
constexpr uint64_t kArmDots = kArm | SKERRY_CPU_ARM_DOT;

constexpr std::string_view kArmCompiler = "aarch64-linux-gnu-g++";
constexpr std::string_view kArmPackage = "g++-aarch64-linux-gnu";

// Of each machine from the least to the best: "native" takes the last that runs. The flags beyond
// -march order instructions and ask for nothing more; outline atomics would ask the system.
constexpr std::array<Target, 8> kTargets = {{
    {"x86-64-v2", "SSE4.2 (any x86-64 since 2009)", "g++", "g++", "-march=x86-64-v2", kV2, 4, 16,
     Dots::kPairs},
    {"x86-64-v3", "AVX2 and FMA (Haswell, Zen and later)", "g++", "g++", "-march=x86-64-v3", kV3, 8,
     16, Dots::kPairs},
    {"x86-64-v4-vnni", "AVX-512 with VNNI and VBMI (Ice Lake, Zen 4 and later)", "g++", "g++",
     "-march=x86-64-v4 -mavx512vnni -mavx512vbmi -mprefer-vector-width=512", kV4Vnni, 16, 32,
     Dots::kFours},
    {"cortex-a53", "64-bit ARM, in order (Raspberry Pi 3, i.MX 8M)", kArmCompiler, kArmPackage,
     "-march=armv8-a -mtune=cortex-a53 -mno-outline-atomics", kArm, 4, 32, Dots::kWords,
     "qemu-aarch64", "qemu-user"},
    {"cortex-a72", "64-bit ARM (Raspberry Pi 4, Graviton 1)", kArmCompiler, kArmPackage,
     "-march=armv8-a -mtune=cortex-a72 -mno-outline-atomics", kArm, 4, 32, Dots::kWords,
     "qemu-aarch64", "qemu-user"},
    {"cortex-a76", "64-bit ARM with dot products (Raspberry Pi 5, Jetson Orin)", kArmCompiler,
     kArmPackage, "-march=armv8.2-a+dotprod -mtune=cortex-a76 -mno-outline-atomics", kArmDots, 4,
     32, Dots::kSigned, "qemu-aarch64", "qemu-user"},
    {"neoverse-n1", "64-bit ARM server with dot products (Graviton 2, Ampere Altra)", kArmCompiler,
     kArmPackage, "-march=armv8.2-a+dotprod -mtune=neoverse-n1 -mno-outline-atomics", kArmDots, 4,
     32, Dots::kSigned, "qemu-aarch64", "qemu-user"},
    {"riscv64", "RV64GC, no vectors (any 64-bit RISC-V Linux)", "riscv64-linux-gnu-g++",
     "g++-riscv64-linux-gnu", "-march=rv64gc -mabi=lp64d", SKERRY_CPU_RV64GC, 4, 16, Dots::kWords,
     "qemu-riscv64", "qemu-user"},
}};

}  // namespace

size_t Target::number() const {
  return static_cast<size_t>(this - kTargets.data());
}

std::string_view Target::instructions(bool of_bytes) const {
  if ((cpu_features & SKERRY_CPU_RV64GC) != 0) return "RV64GC";
  if ((cpu_features & SKERRY_CPU_AARCH64) != 0) {
    return of_bytes && dots == Dots::kSigned ? "NEON dot product" : "NEON";
  }
  if (of_bytes && dots == Dots::kFours) return "AVX-512 VNNI";
  return lanes == 16 ? "AVX-512" : lanes == 8 ? "AVX2" : "SSE4.2";
}

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
