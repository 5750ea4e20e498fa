// A reader of the little XML that S3 requests are made of, and printing.
#include "fleet/aws/s3_xml.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>

#include "base/log.h"

namespace skerry::fleet::aws {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxElements = 100'000;
constexpr std::string_view kBlank = " \t\r\n";

class XmlReader {
 public:
  explicit XmlReader(std::string_view text) : text_(text) {}

  Result<XmlElement> document() {
    SKERRY_TRY(skip_misc());
    SKERRY_ASSIGN(XmlElement root, element(0));
    SKERRY_TRY(skip_misc());
    if (!text_.empty()) return malformed("bytes after the document");
    return root;
  }

 private:
  static std::unexpected<Error> malformed(std::string_view what) {
    return fail(Code::kInvalidArgument,
                "The XML you provided was not well-formed: " + std::string(what));
  }
  bool take(std::string_view prefix) {
    if (!text_.starts_with(prefix)) return false;
    text_.remove_prefix(prefix.size());
    return true;
  }
  Result<void> skip_past(std::string_view end) {
    const size_t at = text_.find(end);
    if (at == std::string_view::npos) return malformed("it ends too early");
    text_.remove_prefix(at + end.size());
    return {};
  }
  // Blanks, comments and processing instructions.
  Result<void> skip_misc() {
    for (;;) {
      text_.remove_prefix(std::min(text_.size(), text_.find_first_not_of(kBlank)));
      if (take("<?")) {
        SKERRY_TRY(skip_past("?>"));
      } else if (take("<!--")) {
        SKERRY_TRY(skip_past("-->"));
      } else {
        return {};
      }
    }
  }

  Result<XmlElement> element(int depth) {
    if (depth == kMaxDepth || ++elements_ > kMaxElements) return malformed("it is too large");
    if (!take("<")) return malformed("an element is missing");
    XmlElement result;
    SKERRY_ASSIGN(std::string tag, name());
    // Attributes, in which '>' may stand between quotes.
    while (!text_.empty() && text_.front() != '>' && !text_.starts_with("/>")) {
      const char quote = text_.front();
      text_.remove_prefix(1);
      if (quote == '"' || quote == '\'') SKERRY_TRY(skip_past(std::string_view(&quote, 1)));
    }
    result.name = tag.substr(tag.find(':') + 1);
    if (take("/>")) return result;
    if (!take(">")) return malformed("it ends too early");
    SKERRY_TRY(content(result, depth));
    SKERRY_ASSIGN(std::string end_tag, name());
    text_.remove_prefix(std::min(text_.size(), text_.find_first_not_of(kBlank)));
    if (end_tag != tag || !take(">")) return malformed("<" + tag + "> is not closed");
    return result;
  }

  // Up to and with the "</" of the end tag.
  Result<void> content(XmlElement& parent, int depth) {
    while (!text_.empty()) {
      if (take("</")) return {};
      if (take("<!--")) {
        SKERRY_TRY(skip_past("-->"));
      } else if (take("<![CDATA[")) {
        const size_t end = text_.find("]]>");
        if (end == std::string_view::npos) break;
        parent.text.append(text_.substr(0, end));
        text_.remove_prefix(end + 3);
      } else if (text_.starts_with("<")) {
        SKERRY_ASSIGN(XmlElement child, element(depth + 1));
        parent.children.push_back(std::move(child));
      } else if (text_.starts_with("&")) {
        SKERRY_TRY(entity(parent.text));
      } else {
        const size_t end = std::min(text_.find_first_of("<&"), text_.size());
        parent.text.append(text_.substr(0, end));
        text_.remove_prefix(end);
      }
    }
    return malformed("it ends too early");
  }

  Result<std::string> name() {
    const size_t end = std::min(text_.find_first_of(" \t\r\n/>"), text_.size());
    std::string result(text_.substr(0, end));
    text_.remove_prefix(end);
    if (result.empty() || result.find_first_of("<&!?") != std::string::npos) {
      return malformed("a name is missing");
    }
    return result;
  }

  Result<void> entity(std::string& out) {
    const std::pair<std::string_view, char> kNamed[] = {
        {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (const auto& [spelling, character] : kNamed) {
      if (!take(spelling)) continue;
      out += character;
      return {};
    }
    const size_t end = text_.substr(0, 12).find(';');
    if (!text_.starts_with("&#") || end == std::string_view::npos) return malformed("an entity");
    const bool hex = text_.size() > 2 && text_[2] == 'x';
    const std::string_view digits = text_.substr(hex ? 3 : 2, end - (hex ? 3 : 2));
    uint32_t code = 0;
    const auto [last, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
    if (error != std::errc() || last != digits.data() + digits.size() || code == 0 ||
        code > 0x10ffff) {
      return malformed("a character reference");
    }
    append_utf8(out, code);
    text_.remove_prefix(end + 1);
    return {};
  }

  static void append_utf8(std::string& out, uint32_t code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
      return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    const uint32_t first = more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0;
    out += static_cast<char>(first | code >> (6 * more));
    for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80 | (code >> (6 * i) & 0x3f));
  }

  std::string_view text_;
  size_t elements_ = 0;
};

}  // namespace

std::string_view XmlElement::child_text(std::string_view child) const {
  auto found = std::ranges::find(children, child, &XmlElement::name);
  return found == children.end() ? std::string_view() : found->text;
}

Result<XmlElement> parse_xml(std::string_view text) {
  return XmlReader(text).document();
}

std::string xml_escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '"') {
      escaped += "&quot;";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      escaped += fmt::format("&#{};", static_cast<int>(c));
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string xml_element(std::string_view name, std::string_view text) {
  return fmt::format("<{}>{}</{}>", name, xml_escape(text), name);
}

net::HttpResponse xml_response(std::string_view root, std::string_view inner) {
  return net::text_response(200,
                            fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                        "<{} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}"
                                        "</{}>",
                                        root, inner, root),
                            "application/xml");
}

// --- Errors -------------------------------------------------------------------------------------

net::HttpResponse s3_error(int status, std::string_view code, std::string_view message) {
  return net::text_response(status,
                            fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                        "<Error>{}{}</Error>",
                                        xml_element("Code", code), xml_element("Message", message)),
                            "application/xml");
}

net::HttpResponse s3_error(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
      return s3_error(400, "InvalidRequest", error.message());
    case Code::kPermissionDenied:
      return s3_error(403, "AccessDenied", error.message());
    case Code::kNotFound:
      return s3_error(404, "NoSuchKey", error.message());
    case Code::kFailedPrecondition:
      return s3_error(412, "PreconditionFailed", error.message());
    case Code::kUnsupported:
      return s3_error(501, "NotImplemented", error.message());
    case Code::kUnavailable:
      return s3_error(503, "SlowDown", error.message());
    case Code::kResourceExhausted:
      return s3_error(507, "InsufficientStorage", error.message());
    default:
      log::error("artifacts", "request failed", {{"error", error.message()}});
      return s3_error(500, "InternalError",
                      "the control plane could not do this; its log says why");
  }
}

net::HttpResponse s3_error(const net::SigV4Refusal& refusal) {
  using enum net::SigV4Refusal::Kind;
  switch (refusal.kind) {
    case kUnknownKey:
      return s3_error(403, "InvalidAccessKeyId", refusal.message);
    case kMismatch:
      return s3_error(403, "SignatureDoesNotMatch", refusal.message);
    case kMalformed:
      return s3_error(400, "AuthorizationHeaderMalformed", refusal.message);
    case kUnsupported:
      return s3_error(501, "NotImplemented", refusal.message);
    case kSkewed:
      return s3_error(403, "RequestTimeTooSkewed", refusal.message);
    case kUnsigned:
    case kNotSigned:
    case kExpired:
      break;
  }
  return s3_error(403, "AccessDenied", refusal.message);
}

net::HttpResponse s3_refusal(int status, std::string_view message) {
  switch (status) {
    case 403:
      return s3_error(status, "SignatureDoesNotMatch", message);
    case 413:
      return s3_error(status, "EntityTooLarge", message);
    case 500:
      return s3_error(status, "InternalError", message);
    case 501:
      return s3_error(status, "NotImplemented", message);
    case 503:
      return s3_error(status, "SlowDown", message);
    case 507:
      return s3_error(status, "InsufficientStorage", message);
    default:
      return s3_error(status, "InvalidRequest", message);
  }
}

}  // namespace skerry::fleet::aws
