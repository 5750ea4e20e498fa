// The table of what nuclei provide, and the recipes made for it.
#include "formats/public_components.h"

#include <gtest/gtest.h>

#include "formats/canonical_recipe.h"
#include "formats/recipe.h"

namespace skerry::formats {
namespace {

TEST(PublicComponents, TheNucleusIsBuiltInUnderBothNames) {
  for (const char* name : {"aws.greengrass.Nucleus", "aws.greengrass.NucleusLite"}) {
    EXPECT_TRUE(is_built_in(ComponentName(name)));
    EXPECT_TRUE(is_provided(ComponentName(name)));
    EXPECT_TRUE(provided_versions(ComponentName(name)).empty());
  }
  EXPECT_FALSE(is_built_in(ComponentName("aws.greengrass.TokenExchangeService")));
  EXPECT_FALSE(is_provided(ComponentName("aws.greengrass.nucleus")));
  EXPECT_FALSE(is_provided(ComponentName("aws.greengrass.Anything")));
}

TEST(PublicComponents, ProvidedServicesHaveVersionsAndCanonicalRecipesWithoutSteps) {
  EXPECT_TRUE(is_provided(ComponentName("aws.greengrass.ShadowManager")));
  const ComponentName name("aws.greengrass.TokenExchangeService");
  const auto versions = provided_versions(name);
  ASSERT_FALSE(versions.empty());
  EXPECT_TRUE(std::ranges::is_sorted(versions, std::greater<>()));
  const std::string text = provided_recipe(name, versions.front());
  const auto recipe = parse_recipe(text);
  ASSERT_TRUE(recipe) << recipe.error().message();
  EXPECT_EQ(recipe->name, name);
  EXPECT_EQ(recipe->version, versions.front());
  EXPECT_TRUE(recipe->manifests.at(0).lifecycle.steps.empty());
  EXPECT_TRUE(choose_manifest(*recipe, {}));
  EXPECT_EQ(canonical_recipe(text).value_or(""), text);
}

TEST(PublicComponents, WhatIsAPluginOfAwsIsProvidedBySkerrydAlone) {
  const ComponentName shadows("aws.greengrass.ShadowManager");
  EXPECT_TRUE(is_provided_by(kOurRuntime, shadows));
  for (const char* runtime : {"", "aws_nucleus_classic", "aws_nucleus_lite"}) {
    EXPECT_FALSE(is_provided_by(runtime, shadows));
    EXPECT_TRUE(is_provided_by(runtime, ComponentName("aws.greengrass.TokenExchangeService")));
    EXPECT_TRUE(is_provided_by(runtime, ComponentName("aws.greengrass.Nucleus")));
  }
  EXPECT_FALSE(is_provided_by(kOurRuntime, ComponentName("com.example.App")));
}

TEST(PublicComponents, WhatIsMadeElsewhereIsKnownAndNotProvided) {
  for (const char* name :
       {"aws.greengrass.Cli", "aws.greengrass.LogManager", "aws.greengrass.StreamManager"}) {
    EXPECT_NE(known_elsewhere(ComponentName(name)), "");
    EXPECT_FALSE(is_provided(ComponentName(name)));
  }
  EXPECT_EQ(known_elsewhere(ComponentName("com.example.App")), "");
}

}  // namespace
}  // namespace skerry::formats
