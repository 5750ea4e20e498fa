// The table of shapes.
#include "fleet/aws/model.h"
#include "fleet/aws/patterns.h"

namespace skerry::fleet::aws {
namespace {

constexpr int64_t kMostOptional = 9'223'372'036'854'771'712;  // of memory; a double's precision

constexpr Shape text(int64_t min, int64_t max, const Pattern* pattern = nullptr) {
  return {.type = Type::kString, .min = min, .max = max, .pattern = pattern};
}
constexpr Shape one_of(std::span<const std::string_view> values) {
  return {.type = Type::kString, .values = values};
}
constexpr Shape structure(std::span<const Member> members) {
  return {.type = Type::kStructure, .members = members};
}
constexpr bool kRequired = true;

constexpr Shape kInteger{.type = Type::kInteger};
constexpr Shape kPlainBoolean{.type = Type::kBoolean};
constexpr Shape kPlainText{.type = Type::kString};
constexpr Shape kFilled{.type = Type::kString, .min = 1};
constexpr Shape kCount{.type = Type::kInteger, .min = 1};

// --- Lambda components: known, so that they can be refused by their name ---
constexpr std::string_view kEncodings[] = {"json", "binary"};
constexpr std::string_view kIsolations[] = {"GreengrassContainer", "NoContainer"};
constexpr std::string_view kPermissions[] = {"ro", "rw"};
constexpr std::string_view kSourceTypes[] = {"PUB_SUB", "IOT_CORE"};
constexpr std::string_view kDependencyTypes[] = {"HARD", "SOFT"};
constexpr Shape kEncoding = one_of(kEncodings);
constexpr Shape kIsolation = one_of(kIsolations);
constexpr Shape kPermission = one_of(kPermissions);
constexpr Shape kSourceType = one_of(kSourceTypes);
constexpr Shape kDependencyType = one_of(kDependencyTypes);
constexpr Member kVolumeMembers[] = {{"sourcePath", &kPlainText, kRequired},
                                     {"destinationPath", &kPlainText, kRequired},
                                     {"permission", &kPermission},
                                     {"addGroupOwner", &kPlainBoolean}};
constexpr Shape kVolume = structure(kVolumeMembers);
constexpr Shape kVolumes{.type = Type::kList, .element = &kVolume};
constexpr Member kDeviceMembers[] = {{"path", &kPlainText, kRequired},
                                     {"permission", &kPermission},
                                     {"addGroupOwner", &kPlainBoolean}};
constexpr Shape kDevice = structure(kDeviceMembers);
constexpr Shape kDevices{.type = Type::kList, .element = &kDevice};
constexpr Member kContainerMembers[] = {{"memorySizeInKB", &kInteger},
                                        {"mountROSysfs", &kPlainBoolean},
                                        {"volumes", &kVolumes},
                                        {"devices", &kDevices}};
constexpr Shape kContainer = structure(kContainerMembers);
constexpr Member kLinuxMembers[] = {{"isolationMode", &kIsolation},
                                    {"containerParams", &kContainer}};
constexpr Shape kLinux = structure(kLinuxMembers);
constexpr Member kSourceMembers[] = {{"topic", &kPlainText, kRequired},
                                     {"type", &kSourceType, kRequired}};
constexpr Shape kSource = structure(kSourceMembers);
constexpr Shape kSources{.type = Type::kList, .element = &kSource};
constexpr Shape kArguments{.type = Type::kList, .element = &kPlainText};
constexpr Shape kEnvironment{.type = Type::kMap, .key = &kFilled, .element = &kPlainText};
constexpr Member kLambdaParameterMembers[] = {
    {"eventSources", &kSources},      {"maxQueueSize", &kInteger},
    {"maxInstancesCount", &kInteger}, {"maxIdleTimeInSeconds", &kInteger},
    {"timeoutInSeconds", &kInteger},  {"statusTimeoutInSeconds", &kInteger},
    {"pinned", &kPlainBoolean},       {"inputPayloadEncodingType", &kEncoding},
    {"execArgs", &kArguments},        {"environmentVariables", &kEnvironment},
    {"linuxProcessParams", &kLinux}};
constexpr Shape kLambdaParameters = structure(kLambdaParameterMembers);
constexpr Shape kPlatformAttributes{.type = Type::kMap, .key = &kFilled, .element = &kFilled};
constexpr Member kPlatformMembers[] = {{"name", &kFilled}, {"attributes", &kPlatformAttributes}};
constexpr Shape kPlatform = structure(kPlatformMembers);
constexpr Shape kPlatforms{.type = Type::kList, .element = &kPlatform};
constexpr Member kDependencyMembers[] = {{"versionRequirement", &kFilled},
                                         {"dependencyType", &kDependencyType}};
constexpr Shape kDependency = structure(kDependencyMembers);
constexpr Shape kDependencies{.type = Type::kMap, .key = &kFilled, .element = &kDependency};
constexpr Shape kComponentName = text(1, 128);
constexpr Shape kVersion = text(1, 64);
constexpr Member kLambdaMembers[] = {
    {"lambdaArn", &kFilled, kRequired},        {"componentName", &kComponentName},
    {"componentVersion", &kVersion},           {"componentPlatforms", &kPlatforms},
    {"componentDependencies", &kDependencies}, {"componentLambdaParameters", &kLambdaParameters}};

// --- Deployments ---
constexpr Shape kMerge = text(1, 10'485'760);
constexpr Shape kResetPath = text(0, 256);
constexpr Shape kReset{.type = Type::kList, .element = &kResetPath};
constexpr Member kUpdateMembers[] = {{"merge", &kMerge}, {"reset", &kReset}};
constexpr Shape kUpdate = structure(kUpdateMembers);
constexpr Shape kMemory{.type = Type::kLong, .min = 0, .max = kMostOptional};
constexpr Shape kCpus{.type = Type::kDouble, .min = 0};
constexpr Member kLimitMembers[] = {{"memory", &kMemory}, {"cpus", &kCpus}};
constexpr Shape kLimits = structure(kLimitMembers);
constexpr Member kRunWithMembers[] = {
    {"posixUser", &kFilled}, {"systemResourceLimits", &kLimits}, {"windowsUser", &kFilled}};
constexpr Shape kRunWith = structure(kRunWithMembers);
constexpr Member kSpecificationMembers[] = {{"componentVersion", &kVersion, kRequired},
                                            {"configurationUpdate", &kUpdate},
                                            {"runWith", &kRunWith}};
constexpr Shape kSpecification = structure(kSpecificationMembers);
constexpr std::string_view kFailureHandlings[] = {"ROLLBACK", "DO_NOTHING"};
constexpr std::string_view kUpdateActions[] = {"NOTIFY_COMPONENTS", "SKIP_NOTIFY_COMPONENTS"};
constexpr Shape kFailureHandling = one_of(kFailureHandlings);
constexpr Shape kUpdateAction = one_of(kUpdateActions);
constexpr Member kUpdatePolicyMembers[] = {{"timeoutInSeconds", &kInteger},
                                           {"action", &kUpdateAction}};
constexpr Shape kUpdatePolicy = structure(kUpdatePolicyMembers);
constexpr Member kValidationMembers[] = {{"timeoutInSeconds", &kInteger}};
constexpr Shape kValidation = structure(kValidationMembers);
constexpr Member kPolicyMembers[] = {{"failureHandlingPolicy", &kFailureHandling},
                                     {"componentUpdatePolicy", &kUpdatePolicy},
                                     {"configurationValidationPolicy", &kValidation}};

// --- Rollouts ---
constexpr Shape kRate{.type = Type::kInteger, .min = 1, .max = 1000};
constexpr Shape kFactor{.type = Type::kDouble, .min = 1, .max = 5};
constexpr Member kCriteriaMembers[] = {{"numberOfNotifiedThings", &kCount},
                                       {"numberOfSucceededThings", &kCount}};
constexpr Shape kCriteria = structure(kCriteriaMembers);
constexpr Member kExponentialMembers[] = {{"baseRatePerMinute", &kRate, kRequired},
                                          {"incrementFactor", &kFactor, kRequired},
                                          {"rateIncreaseCriteria", &kCriteria, kRequired}};
constexpr Shape kExponential = structure(kExponentialMembers);
constexpr Member kRolloutMembers[] = {{"exponentialRate", &kExponential},
                                      {"maximumPerMinute", &kRate}};
constexpr Shape kRollout = structure(kRolloutMembers);
constexpr std::string_view kFailureTypes[] = {"FAILED", "REJECTED", "TIMED_OUT", "ALL"};
constexpr std::string_view kAbortActions[] = {"CANCEL"};
constexpr Shape kFailureType = one_of(kFailureTypes);
constexpr Shape kAbortAction = one_of(kAbortActions);
constexpr Shape kThreshold{.type = Type::kDouble, .max = 100};
constexpr Member kAbortMembers[] = {{"failureType", &kFailureType, kRequired},
                                    {"action", &kAbortAction, kRequired},
                                    {"thresholdPercentage", &kThreshold, kRequired},
                                    {"minNumberOfExecutedThings", &kCount, kRequired}};
constexpr Shape kAbortCriterion = structure(kAbortMembers);
constexpr Shape kAbortCriteria{.type = Type::kList, .min = 1, .element = &kAbortCriterion};
constexpr Member kAbortConfigurationMembers[] = {{"criteriaList", &kAbortCriteria, kRequired}};
constexpr Shape kAbort = structure(kAbortConfigurationMembers);
constexpr Shape kPlainLong{.type = Type::kLong};
constexpr Member kTimeoutMembers[] = {{"inProgressTimeoutInMinutes", &kPlainLong}};
constexpr Shape kTimeout = structure(kTimeoutMembers);
constexpr Member kJobConfigurationMembers[] = {{"jobExecutionsRolloutConfig", &kRollout},
                                               {"abortConfig", &kAbort},
                                               {"timeoutConfig", &kTimeout}};

// --- Tags, lists of values ---
constexpr Shape kTagKey = text(1, 128);
constexpr Shape kTagValue{.type = Type::kString, .max = 256};
constexpr Shape kIotTagKey = text(1, 128, &kTagKeyPattern);
constexpr Shape kIotTagValue = text(0, 256);
constexpr Member kIotTagMembers[] = {{"Key", &kIotTagKey, kRequired}, {"Value", &kIotTagValue}};
constexpr Shape kIotTag = structure(kIotTagMembers);
constexpr std::string_view kFormats[] = {"JSON", "YAML"};
constexpr std::string_view kHistories[] = {"ALL", "LATEST_ONLY"};
constexpr std::string_view kScopes[] = {"PRIVATE", "PUBLIC"};
constexpr std::string_view kHealth[] = {"HEALTHY", "UNHEALTHY"};
constexpr std::string_view kTopologies[] = {"ALL", "ROOT"};
constexpr std::string_view kCertificateStatuses[] = {
    "ACTIVE", "INACTIVE", "REVOKED", "PENDING_TRANSFER", "REGISTER_INACTIVE", "PENDING_ACTIVATION"};
constexpr std::string_view kExecutionStatuses[] = {
    "QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED"};
constexpr std::string_view kJobStatuses[] = {"IN_PROGRESS", "CANCELED", "COMPLETED",
                                             "DELETION_IN_PROGRESS", "SCHEDULED"};
constexpr std::string_view kSelections[] = {"CONTINUOUS", "SNAPSHOT"};
constexpr std::string_view kPrincipalTypes[] = {"EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"};

// --- Registry ---
constexpr Shape kAttributeKey{.type = Type::kString, .max = 128, .pattern = &kAttributeNamePattern};
constexpr Shape kAttribute{.type = Type::kString, .max = 800, .pattern = &kAttributeValuePattern};
constexpr Shape kAttributes{.type = Type::kMap, .key = &kAttributeKey, .element = &kAttribute};
constexpr Member kPayloadMembers[] = {{"attributes", &kAttributes}, {"merge", &kPlainBoolean}};
constexpr Shape kPayload = structure(kPayloadMembers);
constexpr Shape kDescription{.type = Type::kString, .max = 2028, .pattern = &kDescriptionPattern};
constexpr Member kPropertyMembers[] = {{"thingGroupDescription", &kDescription},
                                       {"attributePayload", &kPayload}};
constexpr Shape kDetailsKey = text(1, 128, &kNamePattern);
constexpr Shape kDetailsValue{.type = Type::kString, .min = 1, .pattern = &kPrintablePattern};

}  // namespace

constexpr Shape kClientToken = text(1, 64, &kClientTokenPattern);
constexpr Shape kComponentArn{.type = Type::kString, .pattern = &kComponentArnPattern};
constexpr Shape kComponentVersionArn{.type = Type::kString, .pattern = &kVersionArnPattern};
constexpr Shape kCoreDeviceName = text(1, 128);
constexpr Shape kCoreDeviceStatus = one_of(kHealth);
constexpr Shape kDeploymentComponents{
    .type = Type::kMap, .key = &kFilled, .element = &kSpecification};
constexpr Shape kDeploymentHistory = one_of(kHistories);
constexpr Shape kDeploymentName = text(1, 256);
constexpr Shape kDeploymentPolicies = structure(kPolicyMembers);
constexpr Shape kJobConfiguration = structure(kJobConfigurationMembers);
constexpr Shape kLambdaFunction = structure(kLambdaMembers);
constexpr Shape kPageSize100{.type = Type::kInteger, .min = 1, .max = 100};
constexpr Shape kRecipe{.type = Type::kBlob};
constexpr Shape kRecipeFormat = one_of(kFormats);
constexpr Shape kRuntime = text(1, 255);
constexpr Shape kTaggedArn{.type = Type::kString, .pattern = &kTaggedArnPattern};
constexpr Shape kTagKeys{.type = Type::kList, .min = 1, .max = 200, .element = &kTagKey};
constexpr Shape kTags{
    .type = Type::kMap, .min = 1, .max = 200, .key = &kTagKey, .element = &kTagValue};
constexpr Shape kTargetArn{.type = Type::kString, .pattern = &kTargetArnPattern};
constexpr Shape kThingGroupArn{.type = Type::kString, .pattern = &kGroupArnPattern};
constexpr Shape kTopology = one_of(kTopologies);
constexpr Shape kVisibility = one_of(kScopes);

constexpr Shape kAttributeName = kAttributeKey;
constexpr Shape kAttributePayload = kPayload;
constexpr Shape kAttributeValue = kAttribute;
constexpr Shape kCertificateId = text(64, 64, &kCertificateIdPattern);
constexpr Shape kCertificateStatus = one_of(kCertificateStatuses);
constexpr Shape kComment{.type = Type::kString, .max = 2028, .pattern = &kPrintablePattern};
constexpr Shape kCsr = text(1, 4096, &kAnythingPattern);
constexpr Shape kDetails{.type = Type::kMap, .key = &kDetailsKey, .element = &kDetailsValue};
constexpr Shape kEndpointType{.type = Type::kString, .max = 128, .pattern = &kAnythingPattern};
constexpr Shape kExecutionStatus = one_of(kExecutionStatuses);
constexpr Shape kGroupId = text(1, 128, &kGroupIdPattern);
constexpr Shape kGroupProperties = structure(kPropertyMembers);
constexpr Shape kIotTagKeys{.type = Type::kList, .element = &kIotTagKey};
constexpr Shape kIotTags{.type = Type::kList, .element = &kIotTag};
constexpr Shape kJobId = text(1, 64, &kJobIdPattern);
constexpr Shape kJobStatus = one_of(kJobStatuses);
constexpr Shape kMarker{.type = Type::kString, .max = 1024, .pattern = &kMarkerPattern};
constexpr Shape kName = text(1, 128, &kNamePattern);
constexpr Shape kNamespace{.type = Type::kString, .pattern = &kJobIdPattern};
constexpr Shape kPageSize250{.type = Type::kInteger, .min = 1, .max = 250};
constexpr Shape kPrincipalType = one_of(kPrincipalTypes);
constexpr Shape kReasonCode{.type = Type::kString, .max = 128, .pattern = &kReasonCodePattern};
constexpr Shape kTargetSelection = one_of(kSelections);

constexpr Shape kShadowDocument{.type = Type::kBlob};
constexpr Shape kShadowName = text(1, 64, &kShadowNamePattern);

constexpr Shape kBoolean = kPlainBoolean;
constexpr Shape kLong = kPlainLong;
constexpr Shape kNonEmpty = kFilled;
constexpr Shape kText = kPlainText;

}  // namespace skerry::fleet::aws
