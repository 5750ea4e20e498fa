// The XML of S3: what clients send (the parts of an upload, the keys to delete), answers and
// errors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "net/http.h"
#include "net/sigv4.h"

namespace skerry::fleet::aws {

// Names are without their prefix; attributes and comments are dropped.
struct XmlElement {
  std::string name;
  std::string text;  // of itself, not of its children
  std::vector<XmlElement> children;

  // The text of the first child of that name, "" where there is none.
  std::string_view child_text(std::string_view child) const;
};

// kInvalidArgument on what is no document, on a document type (nobody needs one, and they expand),
// and on more than 16 levels or 100,000 elements.
Result<XmlElement> parse_xml(std::string_view text);

std::string xml_escape(std::string_view text);
// "<NAME>escaped text</NAME>"
std::string xml_element(std::string_view name, std::string_view text);
// 200 with <ROOT xmlns=…>inner</ROOT>; `inner` is XML.
net::HttpResponse xml_response(std::string_view root, std::string_view inner);

net::HttpResponse s3_error(int status, std::string_view code, std::string_view message);
net::HttpResponse s3_error(const Error& error);
net::HttpResponse s3_error(const net::SigV4Refusal& refusal);
// What the server itself refuses.
net::HttpResponse s3_refusal(int status, std::string_view message);

}  // namespace skerry::fleet::aws
