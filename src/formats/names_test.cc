// Names and ARNs.
#include "formats/names.h"

#include <gtest/gtest.h>

#include "formats/arn.h"

namespace skerry::formats {
namespace {

TEST(NamesTest, AcceptsWhatAwsAccepts) {
  EXPECT_EQ(parse_component_name("com.example.Model_v2-a")->str(), "com.example.Model_v2-a");
  EXPECT_EQ(parse_thing_name("press:7_left-2")->str(), "press:7_left-2");
  EXPECT_EQ(parse_thing_group_name("line:1")->str(), "line:1");
  EXPECT_EQ(parse_job_id("0a1b-2_c")->str(), "0a1b-2_c");
  EXPECT_TRUE(parse_component_name(std::string(128, 'a')));
  EXPECT_TRUE(parse_job_id(std::string(64, 'a')));
}

TEST(NamesTest, RefusesWhatCouldLeaveItsPlace) {
  for (const char* text :
       {"", ".", "..", "...", "a/b", "../x", "a b", "a\nb", "a#", "a+", "$aws", "é"}) {
    EXPECT_FALSE(parse_component_name(text)) << text;
    EXPECT_FALSE(parse_thing_name(text)) << text;
    EXPECT_FALSE(parse_thing_group_name(text)) << text;
    EXPECT_FALSE(parse_job_id(text)) << text;
  }
  EXPECT_FALSE(parse_component_name(std::string(129, 'a')));
  EXPECT_FALSE(parse_job_id(std::string(65, 'a')));
  EXPECT_FALSE(parse_component_name(std::string_view("a\0b", 3)));
}

TEST(NamesTest, SaysWhatIsAllowed) {
  EXPECT_EQ(parse_thing_name("a/b").error().message(),
            "'a/b' is not a thing name: 1 to 128 letters, digits and -_:");
}

constexpr const char* kComponentVersion =
    "arn:aws:greengrass:eu-west-1:000000000000:components:com.example.A:versions:1.2.3-rc.1";
constexpr const char* kConfiguration =
    "arn:aws:greengrass:eu-west-1:000000000000:configuration:thinggroup/line:1:42";

TEST(ArnTest, BuildsTheFormsOfAws) {
  const ArnScope scope;
  EXPECT_EQ(component_arn(scope, ComponentName("A")),
            "arn:aws:greengrass:eu-west-1:000000000000:components:A");
  EXPECT_EQ(
      component_version_arn(scope, {ComponentName("com.example.A"), *Version::parse("1.2.3-rc.1")}),
      kComponentVersion);
  EXPECT_EQ(target_arn(scope, {Target::Kind::kThing, "T"}),
            "arn:aws:iot:eu-west-1:000000000000:thing/T");
  EXPECT_EQ(target_arn(scope, {Target::Kind::kThingGroup, "G"}),
            "arn:aws:iot:eu-west-1:000000000000:thinggroup/G");
  EXPECT_EQ(configuration_arn(scope, {{Target::Kind::kThingGroup, "line:1"}, 42}), kConfiguration);
}

TEST(ArnTest, ParsesWhatItBuilds) {
  const auto component = parse_component_version_arn(kComponentVersion);
  ASSERT_TRUE(component) << component.error().message();
  EXPECT_EQ(component->name.str(), "com.example.A");
  EXPECT_EQ(component->version.str(), "1.2.3-rc.1");

  const auto configuration = parse_configuration_arn(kConfiguration);
  ASSERT_TRUE(configuration) << configuration.error().message();
  EXPECT_EQ(configuration->target, (Target{Target::Kind::kThingGroup, "line:1"}));
  EXPECT_EQ(configuration->revision, 42);

  EXPECT_EQ(*parse_target_arn("arn:aws:iot:eu-west-1:000000000000:thing/T"),
            (Target{Target::Kind::kThing, "T"}));
  EXPECT_EQ(
      parse_component_arn("arn:aws:greengrass:us-east-1:aws:components:aws.greengrass.Cli")->str(),
      "aws.greengrass.Cli");
}

TEST(ArnTest, RefusesOtherForms) {
  for (const char* text :
       {"", "arn", "arn:aws:greengrass:r:a", "arn:aws:greengrass:r:a:", "arn:aws:iot:r:a:thing/",
        "arn:aws:iot:r:a:cert/x",
        "arn:aws:greengrass:r:a:components:", "arn:aws:greengrass:r:a:components:A:versions:",
        "arn:aws:greengrass:r:a:components:../A:versions:1.0.0",
        "arn:aws:greengrass:r:a:components:A:versions:1.0",
        "arn:aws:greengrass:r:a:configuration:thing/T",
        "arn:aws:greengrass:r:a:configuration:thing/T:",
        "arn:aws:greengrass:r:a:configuration:thing/T:-1",
        "arn:aws:greengrass:r:a:configuration:thing/T:1x",
        "arn:aws:greengrass:r:a:configuration:user/T:1"}) {
    EXPECT_FALSE(parse_component_version_arn(text)) << text;
    EXPECT_FALSE(parse_target_arn(text)) << text;
    EXPECT_FALSE(parse_configuration_arn(text)) << text;
  }
  EXPECT_FALSE(parse_component_arn(kComponentVersion));
  EXPECT_NE(parse_target_arn(kConfiguration).error().message().find("arn:aws:iot:"),
            std::string::npos);
}

}  // namespace
}  // namespace skerry::formats
