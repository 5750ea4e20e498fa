// The shapes of the service models that our operations take: types, lengths, patterns and names of
// values, as botocore publishes them (tests/fleet/model_test.py compares every field). check() is
// the one place where a request's values are judged; what has passed it can be read without care.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::fleet::aws {

// A pattern of the models, and a function that decides as the expression would, over the whole
// text: regular expressions of the standard library recurse on the length of a stranger's input.
struct Pattern {
  std::string_view expression;
  bool (*matches)(std::string_view text);
};

enum class Type { kString, kBlob, kInteger, kLong, kDouble, kBoolean, kList, kMap, kStructure };

struct Member;

struct Shape {
  Type type = Type::kString;
  std::optional<int64_t> min = {};  // of a number, or of a length in characters or elements
  std::optional<int64_t> max = {};
  const Pattern* pattern = nullptr;
  std::span<const std::string_view> values = {};  // where only these are possible
  const Shape* key = nullptr;                     // of a map
  const Shape* element = nullptr;                 // of a list; the values of a map
  std::span<const Member> members = {};           // of a structure
};

struct Member {
  std::string_view name;
  const Shape* shape = nullptr;
  bool required = false;
};

// Checks `value` and takes from it what does not count: members that are null (as good as absent)
// or that the model does not know. kInvalidArgument names the place, which `place` begins.
Result<void> check(const Shape& shape, nlohmann::json& value, const std::string& place);

// A value that came as text, in the path, the query or a header.
Result<nlohmann::json> from_text(const Shape& shape, const std::string& text,
                                 const std::string& place);

// The shape as data, for the comparison with the models.
nlohmann::json describe(const Shape& shape);

// --- greengrassv2 ---
extern const Shape kClientToken;
extern const Shape kComponentArn;
extern const Shape kComponentVersionArn;
extern const Shape kCoreDeviceName;
extern const Shape kCoreDeviceStatus;
extern const Shape kDeploymentComponents;
extern const Shape kDeploymentHistory;
extern const Shape kDeploymentName;
extern const Shape kDeploymentPolicies;
extern const Shape kJobConfiguration;
extern const Shape kLambdaFunction;
extern const Shape kPageSize100;
extern const Shape kRecipe;
extern const Shape kRecipeFormat;
extern const Shape kRuntime;
extern const Shape kTaggedArn;
extern const Shape kTagKeys;
extern const Shape kTags;
extern const Shape kTargetArn;
extern const Shape kThingGroupArn;
extern const Shape kTopology;
extern const Shape kVisibility;

// --- iot ---
extern const Shape kAttributeName;
extern const Shape kAttributePayload;
extern const Shape kAttributeValue;
extern const Shape kCertificateId;
extern const Shape kCertificateStatus;
extern const Shape kComment;
extern const Shape kCsr;
extern const Shape kDetails;
extern const Shape kEndpointType;
extern const Shape kExecutionStatus;
extern const Shape kGroupId;
extern const Shape kGroupProperties;
extern const Shape kIotTagKeys;
extern const Shape kIotTags;
extern const Shape kJobId;
extern const Shape kJobStatus;
extern const Shape kMarker;
extern const Shape kName;  // of things, groups, types
extern const Shape kNamespace;
extern const Shape kPageSize250;
extern const Shape kPrincipalType;
extern const Shape kReasonCode;
extern const Shape kTargetSelection;

// --- iot-data ---
extern const Shape kShadowDocument;
extern const Shape kShadowName;

// --- several ---
extern const Shape kBoolean;
extern const Shape kLong;
extern const Shape kNonEmpty;
extern const Shape kText;

}  // namespace skerry::fleet::aws
