// Recipes: what a component is, needs and does. RecipeFormatVersion 2020-01-25, YAML or JSON.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/json_ptr.h"
#include "formats/version.h"

namespace skerry::formats {

inline constexpr size_t kMaxRecipeBytes = 64 * 1024;

enum class ComponentType { kGeneric, kLambda, kPlugin, kNucleus };
enum class DependencyType { kHard, kSoft };
enum class Unarchive { kNone, kZip };
enum class Access { kNone, kOwner, kAll };

std::string_view name_of(ComponentType type);   // "aws.greengrass.generic"
std::string_view name_of(DependencyType type);  // "HARD"
std::string_view name_of(Unarchive unarchive);  // "NONE"
std::string_view name_of(Access access);        // "OWNER"

struct Dependency {
  VersionRange requirement;
  DependencyType type = DependencyType::kHard;
};

// Of the control plane's own store: where components are published to.
inline constexpr const char* kArtifactBucket = "skerry-artifacts";

struct Artifact {
  std::string uri;
  Unarchive unarchive = Unarchive::kNone;
  Access read = Access::kOwner;
  Access execute = Access::kNone;
  std::string digest;     // as written, base64 in what the fleet publishes; empty: none given
  std::string algorithm;  // "SHA-256"; empty: none given

  std::string file_name() const;  // what follows the last slash of the URI
  std::string unarchived_name()
      const;  // the folder it is unpacked to: file_name() up to its last dot
};

enum class StepKind { kBootstrap, kInstall, kStartup, kRun, kShutdown, kRecover, kUninstall };
std::string_view name_of(StepKind kind);  // "Bootstrap"

// The step is skipped where the condition holds (or, negated, where it does not).
struct SkipIf {
  enum class Kind { kOnPath, kExists };
  Kind kind = Kind::kOnPath;
  bool negated = false;
  std::string argument;  // a program's name, a file's path

  bool operator==(const SkipIf&) const = default;
};

struct Step {
  std::string script;  // never empty
  bool requires_privilege = false;
  std::optional<SkipIf> skip_if;
  std::optional<std::chrono::seconds> timeout;  // nothing: no limit. Defaults are filled in
  std::map<std::string, std::string> setenv;    // the lifecycle's Setenv included, overridden
};

// The steps of one platform. A step without a script is not there. Never both Startup and Run:
// where a recipe has both, Startup wins, as in the stock nuclei.
struct Lifecycle {
  std::map<StepKind, Step> steps;
  const Step* find(StepKind kind) const;
};

struct Manifest {
  std::string name;
  std::map<std::string, std::string> platform;  // attribute → label, "*" or "/regular expression/"
  Lifecycle lifecycle;  // effective: the manifest's own, else its selections of the recipe's
  std::vector<Artifact> artifacts;
};

struct Recipe {
  ComponentName name;
  Version version;
  ComponentType type = ComponentType::kGeneric;
  std::string description;
  std::string publisher;
  std::string source;
  JsonPtr default_configuration;  // null where the recipe has none
  std::map<ComponentName, Dependency> dependencies;
  std::vector<Manifest> manifests;  // at least one

  const Dependency* find_dependency(const ComponentName& component) const;
};

// Untrusted text; JSON where it starts with "{", else YAML. Unknown keys are ignored. Errors name
// the place in the document.
Result<Recipe> parse_recipe(std::string_view text);

// kInvalidArgument where two artifacts of the manifest would become one file, or would be unpacked
// into one folder. Case counts for neither, so that it holds on every file system.
Result<void> check_artifacts_apart(const Manifest& manifest);

// Attributes of a device: {"os", "linux"}, {"architecture", "amd64"}, …
using PlatformAttributes = std::map<std::string, std::string>;

// True where every label of the manifest fits: the same text, "*" (also where the device lacks the
// attribute), or a regular expression between slashes that fits the whole value.
bool matches_platform(const Manifest& manifest, const PlatformAttributes& platform);

// The first manifest that fits, or null.
const Manifest* choose_manifest(const Recipe& recipe, const PlatformAttributes& platform);
// For people, where there is none: "NAME VERSION has no manifest for os=linux: it has manifests for
// …".
std::string no_manifest_text(const Recipe& recipe, const PlatformAttributes& platform);

// The document as JSON text, nothing left out, not even keys this program does not know.
Result<std::string> recipe_to_json(std::string_view text);

struct ArtifactPlace {
  std::string uri;
  std::string sha256_base64;  // empty: leave Digest and Algorithm alone
};
// Nothing: leave this artifact as it is.
using ArtifactRewriter = std::function<Result<std::optional<ArtifactPlace>>(const Artifact&)>;

// The document as JSON text with the URIs, digests and algorithms that `rewrite` gives its
// artifacts. It is called once per artifact in the order of the document; its first error is
// returned with the artifact's place.
Result<std::string> rewrite_artifacts(std::string_view text, const ArtifactRewriter& rewrite);

}  // namespace skerry::formats
