// The patterns of the service models.
#pragma once

#include "fleet/aws/model.h"

namespace skerry::fleet::aws {

extern const Pattern kAnythingPattern;
extern const Pattern kAttributeNamePattern;
extern const Pattern kAttributeValuePattern;
extern const Pattern kCertificateIdPattern;
extern const Pattern kClientTokenPattern;
extern const Pattern kComponentArnPattern;
extern const Pattern kDescriptionPattern;
extern const Pattern kGroupArnPattern;
extern const Pattern kGroupIdPattern;
extern const Pattern kJobIdPattern;
extern const Pattern kMarkerPattern;
extern const Pattern kNamePattern;
extern const Pattern kPrintablePattern;
extern const Pattern kReasonCodePattern;
extern const Pattern kShadowNamePattern;
extern const Pattern kTagKeyPattern;
extern const Pattern kTaggedArnPattern;
extern const Pattern kTargetArnPattern;
extern const Pattern kVersionArnPattern;

// All of them, for tests.
std::span<const Pattern* const> all_patterns();

}  // namespace skerry::fleet::aws
