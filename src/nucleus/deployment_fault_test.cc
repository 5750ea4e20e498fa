// Every cause is reported in the reference's words.
#include "nucleus/deployment_fault.h"

#include <gtest/gtest.h>

namespace skerry::nucleus {
namespace {

// "DEPLOYMENT_FAILURE/… TYPE".
std::string report(Cause cause, Code code = Code::kInternal) {
  const FaultCodes codes = codes_of({cause, Error(code, "why")});
  std::string text;
  for (const std::string& level : codes.stack) text += (text.empty() ? "" : "/") + level;
  for (const std::string& type : codes.types) text += " " + type;
  return text;
}

TEST(DeploymentFaultTest, TheCodeSaysMoreThanTheCauseAlone) {
  EXPECT_EQ(report(Cause::kArtifact, Code::kResourceExhausted),
            "DEPLOYMENT_FAILURE/ARTIFACT_DOWNLOAD_ERROR/IO_ERROR/DISK_SPACE_CRITICAL DEVICE_ERROR");
  EXPECT_EQ(report(Cause::kArtifact, Code::kCorrupt),
            "DEPLOYMENT_FAILURE/ARTIFACT_DOWNLOAD_ERROR/ARTIFACT_CHECKSUM_MISMATCH "
            "COMPONENT_RECIPE_ERROR");
  EXPECT_EQ(report(Cause::kArtifact, Code::kUnavailable),
            "DEPLOYMENT_FAILURE/ARTIFACT_DOWNLOAD_ERROR/NETWORK_ERROR NETWORK_ERROR");
  EXPECT_EQ(report(Cause::kCloud, Code::kPermissionDenied),
            "DEPLOYMENT_FAILURE/CLOUD_API_ERROR/ACCESS_DENIED PERMISSION_ERROR");
  EXPECT_EQ(report(Cause::kBootstrap, Code::kTimeout),
            "DEPLOYMENT_FAILURE/COMPONENT_UPDATE_ERROR/COMPONENT_BOOTSTRAP_TIMEOUT "
            "USER_COMPONENT_ERROR");
}

TEST(DeploymentFaultTest, WhoseComponentItWasIsSaid) {
  const auto type_of = [](Cause cause, const std::string& component) {
    return codes_of({cause, Error(Code::kInternal, "why"), component}).types.front();
  };
  EXPECT_EQ(type_of(Cause::kComponent, "com.example.Mine"), "USER_COMPONENT_ERROR");
  EXPECT_EQ(type_of(Cause::kComponent, "aws.greengrass.StreamManager"), "AWS_COMPONENT_ERROR");
  EXPECT_EQ(type_of(Cause::kBootstrap, "aws.greengrass.StreamManager"), "AWS_COMPONENT_ERROR");
  EXPECT_EQ(type_of(Cause::kState, "aws.greengrass.StreamManager"), "DEVICE_ERROR");
}

TEST(DeploymentFaultTest, WhatWasNotTriedWasRejected) {
  EXPECT_EQ(report(Cause::kStale), "DEPLOYMENT_REJECTED/REJECTED_STALE_DEPLOYMENT");
  EXPECT_EQ(report(Cause::kDocument),
            "DEPLOYMENT_REJECTED/DEPLOYMENT_DOCUMENT_NOT_VALID CLOUD_SERVICE_ERROR");
}

TEST(DeploymentFaultTest, EveryCauseHasWordsWhateverTheCode) {
  for (int cause = 0; cause <= static_cast<int>(Cause::kCancelled); ++cause) {
    for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
      EXPECT_GE(
          codes_of({static_cast<Cause>(cause), Error(static_cast<Code>(code), "")}).stack.size(),
          2u)
          << cause << " " << code;
    }
  }
}

}  // namespace
}  // namespace skerry::nucleus
