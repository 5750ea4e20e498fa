// Messages of fleet provisioning as AWS IoT has them.
#include "formats/provisioning.h"

#include <gtest/gtest.h>

namespace skerry::formats {
namespace {

TEST(Provisioning, Topics) {
  EXPECT_EQ(provision_topic("line-a"), "$aws/provisioning-templates/line-a/provision/json");
  EXPECT_EQ(template_of(provision_topic("line-a")), "line-a");
  for (const char* no : {"", "$aws/provisioning-templates//provision/json",
                         "$aws/provisioning-templates/a/b/provision/json",
                         "$aws/provisioning-templates/provision/json",
                         "$aws/provisioning-templates/a/provision/cbor"})
    EXPECT_EQ(template_of(no), "") << no;
}

TEST(Provisioning, WhatOneSideSaysTheOtherReads) {
  EXPECT_EQ(*parse_csr_request(csr_request("PEM\n")), "PEM\n");
  const auto answer = parse_certificate_answer(to_json(CertificateAnswer{"id", "pem", "token"}));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->certificate_id + answer->certificate_pem + answer->ownership_token,
            "idpemtoken");
  const ProvisionRequest request{"token", {{"SerialNumber", "7"}}};
  const auto read = parse_provision_request(to_json(request));
  EXPECT_EQ(read->ownership_token, "token");
  EXPECT_EQ(read->parameters, request.parameters);
  EXPECT_EQ(*parse_provision_answer(provision_answer("press-7")), "press-7");
  EXPECT_EQ(provision_error_text(to_json(ProvisionError{403, "Forbidden", "no"})), "Forbidden: no");
}

TEST(Provisioning, AWrongMessageIsRefused) {
  for (const char* text : {"", "{", "[]", "{}", R"({"certificateSigningRequest":7})"})
    EXPECT_FALSE(parse_csr_request(text)) << text;
  EXPECT_FALSE(parse_certificate_answer(R"({"certificateId":"a","certificatePem":"b"})"));
  EXPECT_FALSE(parse_provision_request(R"({"parameters":{}})"));
  EXPECT_FALSE(
      parse_provision_request(R"({"certificateOwnershipToken":"t","parameters":{"a":[]}})"));
  EXPECT_FALSE(parse_provision_request(R"({"certificateOwnershipToken":"t","parameters":{"a":")" +
                                       std::string(2000, 'x') + R"("}})"));
  EXPECT_TRUE(parse_provision_request(R"({"certificateOwnershipToken":"t","parameters":null})"));
  for (const char* text : {R"({"thingName":"a/b"})", R"({"thingName":""})", "{}"})
    EXPECT_FALSE(parse_provision_answer(text)) << text;
  EXPECT_EQ(provision_error_text("x"), "an answer that cannot be read");
}

}  // namespace
}  // namespace skerry::formats
