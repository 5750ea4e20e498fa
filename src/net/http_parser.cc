// Boost.Beast's incremental HTTP parser behind plain values.
#include "net/http_parser.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <cctype>
#include <optional>

#include "net/content_coding.h"

namespace skerry::net {
namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::iequals;
using boost::beast::string_view;

namespace {

// What a claimed length may reserve before the bytes are there.
constexpr uint64_t kReserveAtMost = 64 << 10;
constexpr size_t kUsualFieldCount = 16;
// Bytes on the wire that a byte of body may cost: a chunk of one byte takes six.
constexpr uint64_t kMostFraming = 8;

std::string to_string(string_view text) {
  return std::string(text.data(), text.size());
}

// Of a Host header: the letters of uri-host [ ":" port ] (RFC 3986), or nothing.
bool is_host(std::string_view text) {
  constexpr std::string_view kOthers = "-._~%!$&'()*+,;=:[]";
  return std::ranges::all_of(text, [&](unsigned char c) {
    return std::isalnum(c) != 0 || kOthers.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// "http://host:1/path?query" becomes "/path?query" with the Host that it names, as RFC 9112 wants.
bool split_absolute_target(HttpRequest& request) {
  const std::string_view target = request.target;
  if (target.starts_with('/') || (target == "*" && request.method == "OPTIONS")) return true;
  const size_t scheme_end = target.find("://");
  if (scheme_end == std::string_view::npos) return false;
  const std::string scheme(target.substr(0, scheme_end));
  if (!iequals(scheme, "http") && !iequals(scheme, "https")) return false;
  const std::string_view rest = target.substr(scheme_end + 3);
  const size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  std::string authority(rest.substr(0, authority_end));
  if (authority.empty() || authority.find_first_of("@#") != std::string::npos) return false;
  std::string path(rest.substr(authority_end));
  if (!path.starts_with('/')) path.insert(0, "/");
  request.headers.set("Host", std::move(authority));
  request.target = std::move(path);
  return true;
}

int status_of_sink_error(Code code) {
  if (code == Code::kInvalidArgument) return 400;
  if (code == Code::kPermissionDenied) return 403;
  return code == Code::kResourceExhausted ? 507 : 500;
}

// The part that requests and responses share; `Message` is HttpRequest or HttpResponse.
template <bool kIsRequest, class Message>
class BodyParser : public http::basic_parser<kIsRequest> {
 public:
  Message message;
  const RequestHooks* hooks = nullptr;  // of requests
  uint64_t body_limit_bytes = 0;
  uint32_t field_limit = 0;
  uint64_t wire_bytes = 0;  // taken so far
  bool decodes = false;
  // Why the message was refused, where that is not one of Beast's own checks.
  struct Refusal {
    int status = 0;
    std::string message;
    std::optional<HttpResponse> response;  // the router's own
  };
  std::optional<Refusal> refusal;

  uint64_t body_bytes() const { return body_bytes_; }
  bool is_http_11() const { return version_ >= 11; }

 protected:
  void on_field_impl(http::field name, string_view name_text, string_view value,
                     error_code& error) override {
    // Trailers come too late to be trusted as headers.
    if (head_complete_) return;
    if (name == http::field::transfer_encoding) {
      has_transfer_encoding_ = true;
      if (!iequals(value, "chunked")) return refuse(501, "transfer coding not supported", error);
    }
    if (name == http::field::host) ++hosts_;
    if (message.headers.fields().size() == field_limit) {
      error = http::error::header_limit;
      return;
    }
    message.headers.add(to_string(name_text), to_string(value));
  }
  void on_header_impl(error_code& error) override {
    head_complete_ = true;
    if (has_transfer_encoding_ && !is_http_11()) error = http::error::bad_transfer_encoding;
    if constexpr (kIsRequest) {
      if (!error) check_request_head(error);
    }
    if (error || this->is_done()) return;
    // Beast would compare the length with one limit before the head can be routed.
    auto length = this->content_length();
    if (length && *length > body_limit_bytes) error = http::error::body_limit;
  }
  void on_body_init_impl(const boost::optional<uint64_t>& length, error_code&) override {
    if (length && !has_sink()) message.body.reserve(std::min(*length, kReserveAtMost));
  }
  size_t on_body_impl(string_view bytes, error_code& error) override { return take(bytes, error); }
  size_t on_chunk_body_impl(uint64_t, string_view bytes, error_code& error) override {
    return take(bytes, error);
  }
  void on_chunk_header_impl(uint64_t size, string_view, error_code& error) override {
    if (size > body_limit_bytes - body_bytes_) error = http::error::body_limit;
  }
  void on_finish_impl(error_code& error) override {
    if (inflater_ && !inflater_->complete()) {
      refuse(400, "the body ends in the middle of its Content-Encoding", error);
    }
  }
  void on_request_impl(http::verb, string_view method, string_view target, int version,
                       error_code&) override {
    if constexpr (kIsRequest) {
      message.method = to_string(method);
      message.target = to_string(target);
      message.headers.reserve(kUsualFieldCount);
      version_ = version;
    }
  }
  void on_response_impl(int status, string_view, int version, error_code&) override {
    if constexpr (!kIsRequest) {
      message.status = status;
      version_ = version;
    }
  }

 private:
  bool has_sink() const {
    if constexpr (kIsRequest) return message.sink != nullptr;
    return false;
  }
  void refuse(int status, std::string why, error_code& error) {
    refusal = Refusal{status, std::move(why), {}};
    error = boost::asio::error::operation_aborted;
  }
  void check_request_head(error_code& error) {
    if (hosts_ > 1 || (hosts_ == 0 && is_http_11())) {
      error = http::error::bad_field;
    } else if (!split_absolute_target(message) || !is_host(message.headers.get("Host"))) {
      error = http::error::bad_target;
    } else if (const std::string expect(message.headers.get("Expect"));
               is_http_11() && !expect.empty() && !iequals(expect, "100-continue")) {
      refuse(417, "Expect: only 100-continue is known", error);
    } else {
      if (hooks && hooks->router) route_body(error);
      if (!error && decodes && !has_sink()) undo_coding();
    }
  }
  void route_body(error_code& error) {
    auto route = hooks->router(message);
    if (!route) {
      refusal = Refusal{route.error().status, {}, std::move(route.error())};
      error = boost::asio::error::operation_aborted;
    } else if (route->sink) {
      message.sink = std::move(route->sink);
      body_limit_bytes = route->max_bytes;
    } else if (route->max_bytes != 0) {
      body_limit_bytes = std::min(body_limit_bytes, route->max_bytes);
    }
  }
  // Leaves codings that we do not know to the handler.
  void undo_coding() {
    const std::string_view coding = message.headers.get("Content-Encoding");
    if (Inflater::knows(coding)) {
      inflater_ = std::make_unique<Inflater>();
    } else if (coding != "identity") {
      return;
    }
    message.headers.remove("Content-Encoding");
  }
  size_t take(string_view bytes, error_code& error) {
    // Only a body until the end of the stream comes without a length that was checked already.
    if (bytes.size() > body_limit_bytes - body_bytes_) {
      error = http::error::body_limit;
      return 0;
    }
    body_bytes_ += bytes.size();
    if (inflater_) {
      auto decoded = inflater_->write({bytes.data(), bytes.size()}, message.body, body_limit_bytes);
      if (!decoded && decoded.error().code() == Code::kResourceExhausted) {
        error = http::error::body_limit;
      } else if (!decoded) {
        refuse(400, decoded.error().message(), error);
      }
      return bytes.size();
    }
    if (!has_sink()) {
      make_room_for(bytes.size());
      message.body.append(bytes.data(), bytes.size());
      return bytes.size();
    }
    if constexpr (kIsRequest) {
      auto written = message.sink->write({bytes.data(), bytes.size()});
      if (!written) {
        refuse(status_of_sink_error(written.error().code()), written.error().message(), error);
      }
    }
    return bytes.size();
  }

  // Twice as much each time, but never more than was announced.
  void make_room_for(size_t count) {
    const size_t needed = message.body.size() + count;
    if (needed <= message.body.capacity()) return;
    auto length = this->content_length();
    const uint64_t twice = std::max<uint64_t>(needed, 2 * message.body.capacity());
    message.body.reserve(length ? std::max<uint64_t>(needed, std::min(*length, twice)) : twice);
  }

  std::unique_ptr<Inflater> inflater_;
  uint64_t body_bytes_ = 0;
  int version_ = 11;
  int hosts_ = 0;
  bool has_transfer_encoding_ = false;
  bool head_complete_ = false;
};

using BeastRequest = BodyParser<true, HttpRequest>;
using BeastResponse = BodyParser<false, HttpResponse>;

template <class Parser>
void configure(Parser& parser, const HttpLimits& limits) {
  parser.eager(true);
  parser.header_limit(limits.header_bytes);
  parser.body_limit(boost::none);
  parser.body_limit_bytes = limits.body_bytes;
  parser.field_limit = limits.header_fields;
}

// Feeds until the parser wants more than there is. `error` is set where the message is refused.
template <class Parser>
size_t feed_all(Parser& parser, std::string_view bytes, const HttpLimits& limits,
                error_code& error) {
  size_t used = 0;
  while (used < bytes.size() && !parser.is_done()) {
    size_t count =
        parser.put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), error);
    used += count;
    parser.wire_bytes += count;
    if (error == http::error::need_more) {
      error = {};
      break;
    }
    if (error) return used;
  }
  // Extensions and trailers lead to nothing that is kept, and must not grow all the same: neither
  // those that Beast wants whole before it takes them, nor many small ones.
  const uint64_t waiting = parser.is_done() ? 0 : bytes.size() - used;
  const uint64_t spent = parser.wire_bytes + waiting;
  if (spent > uint64_t{2} * limits.header_bytes + kMostFraming * parser.body_bytes() ||
      waiting > limits.header_bytes) {
    error = http::error::header_limit;
  }
  return used;
}

Error parse_error(std::string_view what, const error_code& error, const HttpLimits& limits,
                  uint64_t body_limit_bytes) {
  if (error == http::error::body_limit) {
    return Error(Code::kResourceExhausted, std::string(what) + ": the body is larger than " +
                                               std::to_string(body_limit_bytes) + " bytes");
  }
  if (error == http::error::header_limit) {
    return Error(Code::kResourceExhausted, std::string(what) +
                                               ": the header, or what frames the chunks of the "
                                               "body, is larger than " +
                                               std::to_string(limits.header_bytes) + " bytes or " +
                                               std::to_string(limits.header_fields) + " fields");
  }
  return Error(Code::kInvalidArgument, std::string(what) + ": " + error.message());
}

}  // namespace

std::string_view reason_phrase(int status) {
  string_view phrase = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
  return {phrase.data(), phrase.size()};
}

// --- Requests -----------------------------------------------------------------------------------

struct RequestParser::Impl {
  HttpLimits limits;
  const RequestHooks& hooks;
  std::optional<BeastRequest> parser;
  uint64_t skipped = 0;  // empty lines
  HttpResponse refusal;

  void refuse(int status, std::string_view message) {
    const ErrorFormat& format = hooks.error_format;
    refusal = format ? format(parser->message, status, message)
                     : text_response(status, std::string(message) + "\n");
  }
};

RequestParser::RequestParser(const HttpLimits& limits, const RequestHooks& hooks)
    : impl_(std::make_unique<Impl>(Impl{limits, hooks, {}, 0, {}})) {
  reset();
}
RequestParser::~RequestParser() = default;

void RequestParser::reset() {
  impl_->parser.emplace();
  impl_->skipped = 0;
  configure(*impl_->parser, impl_->limits);
  impl_->parser->decodes = impl_->limits.decode_bodies;
  impl_->parser->hooks = &impl_->hooks;
}

Result<size_t> RequestParser::feed(std::string_view bytes) {
  BeastRequest& parser = *impl_->parser;
  size_t blank = 0;
  if (!parser.got_some()) {
    while (bytes.substr(blank).starts_with("\r\n")) blank += 2;
    impl_->skipped += blank;
    bytes.remove_prefix(blank);
    if (bytes == "\r") return blank;
  }
  error_code error;
  size_t used = feed_all(parser, bytes, impl_->limits, error);
  if (impl_->skipped > impl_->limits.header_bytes) error = http::error::header_limit;
  if (!error) return blank + used;
  if (parser.refusal) {
    BeastRequest::Refusal why = std::move(*parser.refusal);
    if (why.response) {
      impl_->refusal = std::move(*why.response);
    } else {
      impl_->refuse(why.status, why.message);
    }
    return fail(Code::kInvalidArgument, std::move(why.message));
  }
  Error why = parse_error("HTTP request", error, impl_->limits, parser.body_limit_bytes);
  int status = 400;
  if (error == http::error::body_limit) status = 413;
  if (error == http::error::header_limit) status = 431;
  impl_->refuse(status, why.message());
  return fail(std::move(why));
}

HttpResponse RequestParser::refusal() const {
  return impl_->refusal;
}
void RequestParser::refuse(int status, std::string_view message) {
  impl_->refuse(status, message);
}
void RequestParser::refuse_sink(const Error& error) {
  impl_->refuse(status_of_sink_error(error.code()), error.message());
}
bool RequestParser::started() const {
  return impl_->parser->got_some();
}
uint64_t RequestParser::buffered_bytes() const {
  return impl_->parser->message.body.capacity();
}
bool RequestParser::head_done() const {
  return impl_->parser->is_header_done();
}
bool RequestParser::done() const {
  return impl_->parser->is_done();
}
bool RequestParser::keep_alive() const {
  return impl_->parser->keep_alive();
}
bool RequestParser::expects_continue() const {
  return impl_->parser->is_http_11() && impl_->parser->message.headers.has("Expect");
}
HttpRequest& RequestParser::request() {
  return impl_->parser->message;
}

// --- Responses ----------------------------------------------------------------------------------

struct ResponseParser::Impl {
  HttpLimits limits;
  BeastResponse parser;
};

ResponseParser::ResponseParser(const HttpLimits& limits, bool to_head)
    : impl_(std::make_unique<Impl>()) {
  impl_->limits = limits;
  configure(impl_->parser, limits);
  impl_->parser.skip(to_head);
}
ResponseParser::~ResponseParser() = default;

Result<size_t> ResponseParser::feed(std::string_view bytes) {
  error_code error;
  size_t used = feed_all(impl_->parser, bytes, impl_->limits, error);
  if (error)
    return fail(parse_error("HTTP response", error, impl_->limits, impl_->limits.body_bytes));
  return used;
}

Result<void> ResponseParser::finish() {
  error_code error;
  if (impl_->parser.is_done()) return {};
  if (!impl_->parser.got_some()) {
    return fail(Code::kUnavailable, "the connection was closed without an answer");
  }
  impl_->parser.put_eof(error);
  if (!error) return {};
  return fail(Code::kUnavailable, "the connection was closed in the middle of the answer");
}

bool ResponseParser::head_done() const {
  return impl_->parser.is_header_done();
}
bool ResponseParser::done() const {
  return impl_->parser.is_done();
}
bool ResponseParser::keep_alive() const {
  return impl_->parser.keep_alive();
}
HttpResponse& ResponseParser::response() {
  return impl_->parser.message;
}

}  // namespace skerry::net
