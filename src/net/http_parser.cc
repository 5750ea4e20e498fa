// Boost.Beast's incremental HTTP parser behind plain values.
#include "net/http_parser.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <optional>

namespace skerry::net {
namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::iequals;
using boost::beast::string_view;

namespace {

// What a claimed length may reserve before the bytes are there.
constexpr uint64_t kReserveAtMost = 1 << 20;
constexpr size_t kUsualFieldCount = 16;

std::string to_string(string_view text) {
  return std::string(text.data(), text.size());
}

// The part that requests and responses share; `Message` is HttpRequest or HttpResponse.
template <bool kIsRequest, class Message>
class BodyParser : public http::basic_parser<kIsRequest> {
 public:
  Message message;
  const BodyRouter* router = nullptr;  // of requests
  uint64_t body_limit_bytes = 0;
  std::optional<HttpResponse> refusal_response;  // instead of one made from `refusal`
  // Why the head was refused, in addition to Beast's own checks.
  http::status refusal = http::status::bad_request;

 protected:
  void on_field_impl(http::field name, string_view name_text, string_view value,
                     error_code& error) override {
    // Trailers come too late to be trusted as headers.
    if (head_complete_) return;
    if (name == http::field::transfer_encoding) {
      has_transfer_encoding_ = true;
      if (!iequals(value, "chunked")) {
        refusal = http::status::not_implemented;
        error = http::error::bad_transfer_encoding;
        return;
      }
    }
    if (name == http::field::host) ++hosts_;
    message.headers.add(to_string(name_text), to_string(value));
  }
  void on_header_impl(error_code& error) override {
    head_complete_ = true;
    if (has_transfer_encoding_ && version_ < 11) error = http::error::bad_transfer_encoding;
    if (kIsRequest && (hosts_ > 1 || (hosts_ == 0 && version_ >= 11))) {
      error = http::error::bad_field;
    }
    if constexpr (kIsRequest) {
      if (!error && router && *router) route_body(error);
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
  void on_finish_impl(error_code&) override {}
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
  void route_body(error_code& error) {
    auto route = (*router)(message);
    if (!route) {
      refusal_response = std::move(route.error());
      error = boost::asio::error::operation_aborted;
    } else if (route->sink) {
      message.sink = std::move(route->sink);
      body_limit_bytes = route->max_bytes;
    }
  }
  size_t take(string_view bytes, error_code& error) {
    // Only a body until the end of the stream comes without a length that was checked already.
    if (bytes.size() > body_limit_bytes - body_bytes_) {
      error = http::error::body_limit;
      return 0;
    }
    body_bytes_ += bytes.size();
    if (!has_sink()) {
      message.body.append(bytes.data(), bytes.size());
      return bytes.size();
    }
    if constexpr (kIsRequest) {
      auto written = message.sink->write({bytes.data(), bytes.size()});
      if (!written) {
        const bool full = written.error().code() == Code::kResourceExhausted;
        refusal_response = text_response(full ? 507 : 500, written.error().message() + "\n");
        error = boost::asio::error::operation_aborted;
      }
    }
    return bytes.size();
  }

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
}

// Feeds until the parser wants more than there is. `error` is set where the message is refused.
template <class Parser>
size_t feed_all(Parser& parser, std::string_view bytes, error_code& error) {
  size_t used = 0;
  while (used < bytes.size() && !parser.is_done()) {
    size_t count =
        parser.put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), error);
    used += count;
    if (error == http::error::need_more) {
      error = {};
      break;
    }
    if (error) break;
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
    return Error(Code::kResourceExhausted, std::string(what) + ": the header is larger than " +
                                               std::to_string(limits.header_bytes) + " bytes");
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
  const BodyRouter& router;
  std::optional<BeastRequest> parser;
  HttpResponse refusal;
};

RequestParser::RequestParser(const HttpLimits& limits, const BodyRouter& router)
    : impl_(std::make_unique<Impl>(Impl{limits, router, {}, {}})) {
  reset();
}
RequestParser::~RequestParser() = default;

void RequestParser::reset() {
  impl_->parser.emplace();
  configure(*impl_->parser, impl_->limits);
  impl_->parser->router = &impl_->router;
}

Result<size_t> RequestParser::feed(std::string_view bytes) {
  error_code error;
  size_t used = feed_all(*impl_->parser, bytes, error);
  if (!error) return used;
  BeastRequest& parser = *impl_->parser;
  int status = static_cast<int>(parser.refusal);
  if (error == http::error::body_limit) status = 413;
  if (error == http::error::header_limit) status = 431;
  Error why = parse_error("HTTP request", error, impl_->limits, parser.body_limit_bytes);
  impl_->refusal = parser.refusal_response ? std::move(*parser.refusal_response)
                                           : text_response(status, why.message() + "\n");
  return fail(std::move(why));
}

HttpResponse RequestParser::refusal() const {
  return impl_->refusal;
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
  return iequals(std::string(impl_->parser->message.headers.get("Expect")), "100-continue");
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
  size_t used = feed_all(impl_->parser, bytes, error);
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
