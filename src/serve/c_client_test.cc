// What the C client makes of answers by HTTP, those that mean no good among them. Against a real
// service: rings_test.cc.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <span>
#include <string>

extern "C" {
#include "../client/http_answer.h"
}
#include "base/encoding.h"

namespace skerry::serve {
namespace {

using testing::HasSubstr;

// What of an answer is taken: as text, or what is wrong.
std::string taken(std::string bytes) {
  HttpHead head{};
  const int head_bytes = skerry_http_head(bytes.data(), bytes.size(), &head);
  if (head_bytes <= 0) return head_bytes == 0 ? "goes on" : "no head";
  std::string body = bytes.substr(static_cast<size_t>(head_bytes));
  if (head.body_bytes > body.size()) return "goes on";
  body.resize(head.body_bytes);
  body.push_back('x');
  const auto answer = std::make_unique<HttpAnswer>();
  answer->tensors = nullptr;
  const char* wrong = skerry_http_answer(body.data(), &head, answer.get());
  std::string text = wrong ? wrong : fmt::format("{} '{}'", head.status, answer->message);
  for (size_t i = 0; i < answer->output_count; ++i) {
    const SkerryClientTensor& output = answer->outputs[i];
    text += fmt::format(" {} {} {}", output.name, output.type,
                        fmt::join(std::span(output.shape, output.rank), "x"));
    text += " " + hex_encode({static_cast<const char*>(output.data), output.bytes});
  }
  std::free(answer->tensors);
  return text;
}

std::string with_outputs(const std::string& outputs, const std::string& tensors = "") {
  const std::string document = R"({"model_version":"3","outputs":[)" + outputs + "]}";
  return fmt::format(
      "HTTP/1.1 200 OK\r\ninference-header-content-length: {}\r\nContent-Length:{} \r\n\r\n{}{}",
      document.size(), document.size() + tensors.size(), document, tensors);
}

TEST(CClientAnswer, IsWhatItSays) {
  const std::string y = R"({"name":"y","datatype":"INT16","shape":[1, 2],"parameters":{"a":[{}],)"
                        R"("binary_data_size": 4}})";
  const std::string z =
      R"({"datatype":"BYTES","shape":[],"name":"\u00e9\ud83d\ude00\n","x":[1.5e3,null,"]"],)"
      R"("parameters":{"binary_data_size":5}})";
  EXPECT_EQ(taken(with_outputs(y + "," + z, std::string("\1\0\2\0\1\0\0\0a", 9))),
            "0 '' y 2 1x2 01000200 é😀\n 12  0100000061");
  EXPECT_EQ(taken(with_outputs("")), "0 ''");
  EXPECT_EQ(
      taken("HTTP/1.1 503 No\r\nSkerry-Error: resource_exhausted\r\nContent-Length: 17\r\n\r\n"
            R"({"error":"later"})"),
      "8 'later'");
  EXPECT_EQ(taken("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}"), "2 ''");
}

TEST(CClientAnswer, WhatMakesNoSenseIsRefused) {
  const auto output = [](const std::string& type, const std::string& shape,
                         const std::string& bytes) {
    return fmt::format(
        R"({{"name":"y","datatype":"{}","shape":{},"parameters":{{"binary_data_size":{}}}}})", type,
        shape, bytes);
  };
  EXPECT_EQ(taken(with_outputs(output("INT8", "[4]", "4"), "abc")),
            "the service's answer is shorter than it says");
  EXPECT_EQ(taken(with_outputs(output("INT8", "[3]", "4"), "abcd")),
            "an output has another size than its shape says");
  EXPECT_EQ(taken(with_outputs(output("FP64", "[4294967296,4294967296,4]", "0"))),
            "an output has another size than its shape says");
  EXPECT_EQ(taken(with_outputs(output("INT8", "[-1]", "4"), "abcd")),
            "an output has another size than its shape says");
  EXPECT_EQ(taken(with_outputs(R"({"name":"y","datatype":"INT8","shape":[1],"data":[1]})")),
            "the service answers without binary tensors");
  std::string rank = "[1";
  for (int i = 0; i < 40; ++i) rank += ",1";
  for (const std::string& bad :
       {output("NONE", "[1]", "1"), output("INT8", rank + "]", "1"), output("INT8", "[1.5]", "1"),
        output("INT8", "[99999999999999999999]", "1"), output("INT8", "[1", "1"),
        output("INT8\\u0000", "[1]", "1"), output("\\ud800", "[1]", "1"), output("\\x", "[1]", "1"),
        std::string("{}"), std::string("[]"), std::string(100, '['), std::string("{\"name\":")}) {
    EXPECT_THAT(taken(with_outputs(bad, "a")),
                testing::AnyOf(HasSubstr("makes no sense"), HasSubstr("no JSON")))
        << bad;
  }
  std::string many = output("INT8", "[0]", "0");
  for (int i = 0; i < 300; ++i) many += "," + output("INT8", "[0]", "0");
  EXPECT_THAT(taken(with_outputs(many)), HasSubstr("too many outputs"));
  EXPECT_EQ(taken("SSH-2.0-OpenSSH\r\n\r\n"), "no head");
  EXPECT_EQ(taken("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "no head");
  EXPECT_EQ(taken("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"), "no head");
  EXPECT_EQ(taken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), "no head");
  EXPECT_EQ(
      taken("HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 9\r\nContent-Length: 2\r\n\r\n"
            "{}"),
      "no head");
  EXPECT_EQ(taken(std::string(20'000, 'a')), "no head");
  EXPECT_EQ(taken("HTTP/1.1 200 OK\r\n"), "goes on");
}

}  // namespace
}  // namespace skerry::serve
