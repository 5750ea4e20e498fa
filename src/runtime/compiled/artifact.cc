// Trailer: fields in little-endian order, then SHA-256 of everything before it.
#include "runtime/compiled/artifact.h"

#include <fmt/format.h>
#include <skerry/compiled_model.h>

#include <array>
#include <cstring>
#include <utility>

#include "base/sha256.h"
#include "runtime/compiled/cpu_features.h"

namespace skerry::runtime {
namespace {

constexpr std::string_view kMagic = "SKERRYCM";
constexpr size_t kTargetBytes = 32;
constexpr size_t kFieldBytes = 8 + 4 + 4 + 8 + 8 + kTargetBytes;
constexpr size_t kHashBytes = 32;
constexpr size_t kTrailerBytes = kFieldBytes + kHashBytes;
constexpr uint32_t kTrailerVersion = 1;

template <class T>
void append(std::string& to, T value) {
  for (size_t i = 0; i < sizeof value; ++i) to.push_back(static_cast<char>(value >> (8 * i)));
}

template <class T>
T take(std::string_view& from) {
  T value = 0;
  for (size_t i = 0; i < sizeof value; ++i) {
    value |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(from[i])) << (8 * i));
  }
  from.remove_prefix(sizeof value);
  return value;
}

constexpr std::array<std::pair<uint64_t, std::string_view>, 8> kFeatureNames = {{
    {SKERRY_CPU_SSE4_2, "SSE4.2"},
    {SKERRY_CPU_AVX2, "AVX2"},
    {SKERRY_CPU_AVX512, "AVX-512"},
    {SKERRY_CPU_VNNI, "AVX-512 VNNI"},
    {SKERRY_CPU_VBMI, "AVX-512 VBMI"},
    {SKERRY_CPU_AARCH64, "AArch64 (64-bit ARM)"},
    {SKERRY_CPU_ARM_DOT, "ARM dot products"},
    {SKERRY_CPU_RV64GC, "RV64GC (64-bit RISC-V)"},
}};

}  // namespace

std::string artifact_trailer(std::string_view object, const CompiledArtifact& artifact) {
  std::string trailer(kMagic);
  append(trailer, kTrailerVersion);
  append(trailer, artifact.abi_version);
  append(trailer, static_cast<uint64_t>(object.size()));
  append(trailer, artifact.cpu_features);
  std::string target = artifact.target.substr(0, kTargetBytes - 1);
  target.resize(kTargetBytes, '\0');
  trailer += target;
  Sha256 hash;
  hash.update(object);
  hash.update(trailer);
  return trailer + hash.finish();
}

Result<CompiledArtifact> read_artifact(std::string_view file) {
  if (file.size() < kTrailerBytes ||
      file.substr(file.size() - kTrailerBytes, kMagic.size()) != kMagic) {
    return fail(Code::kCorrupt, "this is no compiled model, or not all of one");
  }
  std::string_view fields = file.substr(file.size() - kTrailerBytes, kFieldBytes);
  fields.remove_prefix(kMagic.size());
  const auto version = take<uint32_t>(fields);
  CompiledArtifact artifact;
  artifact.abi_version = take<uint32_t>(fields);
  artifact.object_bytes = take<uint64_t>(fields);
  artifact.cpu_features = take<uint64_t>(fields);
  artifact.target = std::string(fields.substr(0, fields.find('\0')));
  if (version != kTrailerVersion) {
    return fail(Code::kUnsupported, fmt::format("this compiled model has a trailer of version {}; "
                                                "this program knows version {}",
                                                version, kTrailerVersion));
  }
  if (artifact.object_bytes != file.size() - kTrailerBytes ||
      sha256(file.substr(0, file.size() - kHashBytes)) != file.substr(file.size() - kHashBytes)) {
    return fail(Code::kCorrupt, "this compiled model is damaged: its hash does not fit");
  }
  return artifact;
}

Result<void> check_artifact(const CompiledArtifact& artifact) {
  if (artifact.abi_version != SKERRY_COMPILED_ABI) {
    return fail(Code::kUnsupported,
                fmt::format("it is compiled for version {} of the interface, this program has {}: "
                            "compile the model again with this release",
                            artifact.abi_version, SKERRY_COMPILED_ABI));
  }
  const uint64_t missing = artifact.cpu_features & ~cpu_features_here();
  if (missing == 0) return {};
  return fail(Code::kUnsupported,
              fmt::format("it is compiled for target {}, and this machine's processor has no {}: "
                          "compile it for another target (skerry model compile --target)",
                          artifact.target, names_of_features(missing)));
}

uint64_t cpu_features_here() {
  return skerry_processor::features();
}

std::string names_of_features(uint64_t cpu_features) {
  std::string names;
  for (const auto& [feature, name] : kFeatureNames) {
    if ((cpu_features & feature) != 0) names.append(names.empty() ? "" : ", ").append(name);
  }
  const uint64_t unknown = cpu_features >> kFeatureNames.size();
  if (unknown != 0)
    names.append(names.empty() ? "" : ", ").append("features unknown to this program");
  return names;
}

}  // namespace skerry::runtime
