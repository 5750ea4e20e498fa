// The table of config.yaml's keys is what the parser reads, no more and no less.
#include "nucleus/config_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "io/files.h"
#include "nucleus/device_config.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A whole configuration, of a device with an identity or with a claim.
json whole_config(bool with_claim) {
  json claim = {{"provisioningTemplate", "t"},
                {"claimCertificatePath", "c"},
                {"claimCertificatePrivateKeyPath", "k"},
                {"rootCaPath", "a"},
                {"awsRegion", "r"},
                {"iotDataEndpoint", "h"}};
  json system = {{"rootPath", "/r"}};
  json nucleus = {{"awsRegion", "r"}};
  if (!with_claim) {
    system.update({{"thingName", "t"},
                   {"privateKeyPath", "pkcs11:object=k"},
                   {"certificateFilePath", "c"},
                   {"rootCaPath", "a"}});
    nucleus["iotDataEndpoint"] = "h";
  }
  json services = {{"aws.greengrass.Nucleus", {{"configuration", nucleus}}}};
  services["aws.greengrass.crypto.Pkcs11Provider"] = {{"configuration", {{"library", "/m.so"}}}};
  if (with_claim) services["aws.greengrass.FleetProvisioningByClaim"] = {{"configuration", claim}};
  return {{"system", system}, {"services", services}};
}

// "services.NUCLEUS.configuration.mqtt.port" as a pointer into a configuration.
json::json_pointer pointer_of(std::string_view path) {
  json::json_pointer pointer;
  for (const std::string_view name :
       {"services.NUCLEUS", "services.aws.greengrass.FleetProvisioningByClaim",
        "services.aws.greengrass.crypto.Pkcs11Provider"}) {
    if (!path.starts_with(name)) continue;
    pointer /= "services";
    pointer /= name == "services.NUCLEUS" ? "aws.greengrass.Nucleus" : std::string(name.substr(9));
    path.remove_prefix(name.size() + 1);
  }
  while (!path.empty()) {
    const size_t dot = std::min(path.find('.'), path.size());
    pointer /= std::string(path.substr(0, dot));
    path.remove_prefix(std::min(path.size(), dot + 1));
  }
  return pointer;
}

bool is_of_claim(const ConfigKey& key) {
  return key.path.find("ByClaim") != std::string_view::npos;
}

TEST(ConfigReference, EveryKeyOfTheTableIsRead) {
  for (const ConfigKey& key : config_keys()) {
    json config = whole_config(is_of_claim(key));
    // Neither text nor number nor list nor map of texts.
    config[pointer_of(key.path)] = json{{"no", json::array({json::object()})}};
    const auto parsed = parse_device_config(config.dump(), "/d");
    ASSERT_FALSE(parsed) << key.path << " is not read";
    const std::string last(key.path.substr(key.path.rfind('.') + 1));
    EXPECT_THAT(parsed.error().message(), HasSubstr(last)) << key.path;
  }
}

TEST(ConfigReference, ADefaultIsWhatIsReadWhereTheKeyIsNotThere) {
  for (const ConfigKey& key : config_keys()) {
    if (key.by_default.empty()) continue;
    json config = whole_config(is_of_claim(key));
    const auto without = parse_device_config(config.dump(), "/d");
    config[pointer_of(key.path)] =
        key.type == "list of paths" ? json::array() : json(std::string(key.by_default));
    const auto with = parse_device_config(config.dump(), "/d");
    ASSERT_TRUE(without) << without.error().message();
    ASSERT_TRUE(with) << with.error().message();
    EXPECT_TRUE(*with == *without) << key.path;
  }
}

// What stands in the parser's text between quotation marks as a key of read(), find(), require().
TEST(ConfigReference, EveryKeyThatTheParserReadsIsInTheTable) {
  io::RealFiles files;
  std::set<std::string> known;
  for (const ConfigKey& key : config_keys()) {
    for (std::string_view path = key.path; !path.empty();) {
      const size_t dot = std::min(path.find('.'), path.size());
      known.insert(std::string(path.substr(0, dot)));
      path.remove_prefix(std::min(path.size(), dot + 1));
    }
  }
  size_t found = 0;
  for (const char* file : {"/device_config.cc", "/component_sandbox.cc"}) {
    const auto text = io::read_file(files, std::string(SKERRY_NUCLEUS_SOURCES) + file, 1 << 20);
    ASSERT_TRUE(text);
    // A key that is put together is known by its beginning.
    const std::regex read(
        R"re((?:\bread|find|require|required|required_path|port_of|read_port|add_paths)\((?:\*?\w+, )?"(\w+)"( \+)?)re");
    for (std::sregex_iterator at(text->begin(), text->end(), read), end; at != end; ++at, ++found) {
      const std::string key = (*at)[1];
      const auto first = known.lower_bound(key);
      const bool is_there =
          first != known.end() && ((*at)[2].matched ? first->starts_with(key) : *first == key);
      EXPECT_TRUE(is_there) << file << ": " << key << " is not in the table";
    }
  }
  EXPECT_GT(found, 25u);
}

TEST(ConfigReference, ThePageIsWhatTheTableSays) {
  io::RealFiles files;
  const auto page = io::read_file(
      files, std::string(SKERRY_NUCLEUS_SOURCES) + "/../../docs/configuration.md", 1 << 20);
  ASSERT_TRUE(page);
  EXPECT_EQ(*page, config_reference(config_keys()))
      << "skerryd --config-reference > docs/configuration.md";
}

TEST(ConfigReference, AKeyThatNobodyKnowsIsNamed) {
  const auto unknown = [](json change) {
    json config = whole_config(false);
    config.merge_patch(change);
    return *unknown_config_keys(config.dump());
  };
  EXPECT_THAT(unknown({}), IsEmpty());
  const auto nucleus = [&](json configuration) {
    return unknown(
        {{"services", {{"aws.greengrass.Nucleus", {{"configuration", configuration}}}}}});
  };
  EXPECT_THAT(nucleus({{"skerry", {{"maxProceses", 7}}}}),
              ElementsAre("services.aws.greengrass.Nucleus.configuration.skerry.maxProceses: is "
                          "maxProcesses meant?"));
  EXPECT_THAT(nucleus({{"skery", {{"sandbox", {}}}}}), testing::SizeIs(1));
  EXPECT_THAT(nucleus({{"MQTT", {{"Port", 7}}}, {"jvmOptions", "-Xmx64m"}}), IsEmpty());
  EXPECT_THAT(
      nucleus({{"logging", {{"level", "DEBUG"}}}, {"runWithDefault", {{"posixShell", "sh"}}}}),
      IsEmpty());
  EXPECT_THAT(unknown({{"systme", {{"rootPath", "/"}}}}), ElementsAre(HasSubstr("systme")));
  EXPECT_THAT(unknown({{"services", {{"com.example.Any", {{"configuration", {{"x", 1}}}}}}}}),
              IsEmpty());
  EXPECT_THAT(*unknown_config_keys(whole_config(true).dump()), IsEmpty());
  EXPECT_THAT(*unknown_config_keys("[]"), IsEmpty());
  EXPECT_FALSE(unknown_config_keys("{"));
}

}  // namespace
}  // namespace skerry::nucleus
