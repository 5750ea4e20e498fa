// The XML reader against what clients send and what they should not.
#include "fleet/aws/s3_xml.h"

#include <gtest/gtest.h>

namespace skerry::fleet::aws {
namespace {

TEST(S3Xml, ReadsWhatClientsSend) {
  auto document = parse_xml(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- from the SDK -->\n"
      "<s3:Delete xmlns:s3=\"http://s3.amazonaws.com/doc/2006-03-01/\" a='x>y'>\n"
      "  <Object><Key>a&amp;b &lt;&#x263a;&#233;&gt;</Key></Object>\n"
      "  <Object><Key><![CDATA[<raw> & more]]></Key></Object><Quiet/></s3:Delete>\n");
  ASSERT_TRUE(document) << document.error().message();
  EXPECT_EQ(document->name, "Delete");
  ASSERT_EQ(document->children.size(), 3u);
  EXPECT_EQ(document->children[0].child_text("Key"), "a&b <\u263a\u00e9>");
  EXPECT_EQ(document->children[1].child_text("Key"), "<raw> & more");
  EXPECT_EQ(document->child_text("Quiet"), "");
  EXPECT_EQ(document->child_text("Absent"), "");
}

TEST(S3Xml, RefusesEverythingElse) {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "<a>";
  std::string many = "<a>";
  for (int i = 0; i < 100'001; ++i) many += "<b/>";
  for (const std::string& text : std::initializer_list<std::string>{
           "", "text", "<a>", "<a></b>", "<a", "<a>&b;</a>", "<a>&#0;</a>", "<a>&#x110000;</a>",
           "<a/>more", "<a></a", "<a b='>", "<>", "</a>", "<a><!--</a>", "<?xml",
           "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", deep, many + "</a>"}) {
    EXPECT_FALSE(parse_xml(text)) << text.substr(0, 100);
  }
}

TEST(S3Xml, PrintsWhatItReads) {
  auto document = parse_xml(xml_element("a", "<a> & \"b\" \t"));
  ASSERT_TRUE(document);
  EXPECT_EQ(document->text, "<a> & \"b\" \t");
}

}  // namespace
}  // namespace skerry::fleet::aws
