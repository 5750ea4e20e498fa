// zlib behind Inflater and encode_content(), and the weights of Accept-Encoding.
#include "net/content_coding.h"

#include <zlib.h>

#include <algorithm>

#include "base/check.h"

namespace skerry::net {
namespace {

constexpr size_t kStepBytes = 64 << 10;
constexpr int kGzipOrZlib = 15 + 32;  // the largest window, and the header says which of the two
constexpr int kGzip = 15 + 16;
constexpr int kZlib = 15;

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

// Up to the next `separator`, which goes as well.
std::string_view take_until(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return trim(taken);
}

bool is_name(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

// Thousandths of a weight such as "q=0.5"; 1000 of what is none.
int weight_of(std::string_view parameters) {
  while (!parameters.empty()) {
    std::string_view value = take_until(parameters, ';');
    if (!is_name(take_until(value, '='), "q") || value.empty()) continue;
    if (value[0] != '0') return 1000;
    int weight = 0;
    int unit = 100;
    for (const char c : value.substr(std::min<size_t>(value.size(), 2))) {
      if (c < '0' || c > '9') break;
      weight += (c - '0') * unit;
      unit /= 10;
    }
    return weight;
  }
  return 1000;
}

}  // namespace

std::string_view choose_coding(std::string_view accept_encoding) {
  int gzip = -1;
  int deflate = -1;
  int identity = -1;
  int others = -1;
  while (!accept_encoding.empty()) {
    std::string_view parameters = take_until(accept_encoding, ',');
    const std::string_view name = take_until(parameters, ';');
    const int weight = weight_of(parameters);
    if (is_name(name, "gzip") || is_name(name, "x-gzip")) gzip = weight;
    if (is_name(name, "deflate")) deflate = weight;
    if (is_name(name, "identity")) identity = weight;
    if (name == "*") others = weight;
  }
  if (gzip < 0) gzip = others;
  if (deflate < 0) deflate = others;
  const int best = std::max(gzip, deflate);
  if (best <= 0 || best < identity) return {};
  return gzip >= deflate ? "gzip" : "deflate";
}

std::string encode_content(std::string_view coding, std::string_view bytes) {
  z_stream stream{};
  const int status = deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED,
                                  coding == "gzip" ? kGzip : kZlib, 8, Z_DEFAULT_STRATEGY);
  SKERRY_CHECK(status == Z_OK, "zlib without memory");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  SKERRY_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib's own bound was too small");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

struct Inflater::Impl {
  z_stream stream{};
  bool ended = false;  // at the end of a member; gzip allows another one behind it
  bool begun = false;
};

bool Inflater::knows(std::string_view name) {
  return name == "gzip" || name == "x-gzip" || name == "deflate";
}

Inflater::Inflater() : impl_(std::make_unique<Impl>()) {
  SKERRY_CHECK(inflateInit2(&impl_->stream, kGzipOrZlib) == Z_OK, "zlib without memory");
}
Inflater::~Inflater() {
  inflateEnd(&impl_->stream);
}

Result<void> Inflater::write(std::string_view bytes, std::string& out, uint64_t max_bytes) {
  z_stream& stream = impl_->stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  bool filled = false;  // what zlib holds back may not need more input
  while (stream.avail_in > 0 || filled) {
    if (impl_->ended) inflateReset(&stream);
    impl_->begun = true;
    const size_t before = out.size();
    // One byte above the limit shows that there is more.
    const uint64_t room = max_bytes - before + 1;
    out.resize(before + std::min<uint64_t>(kStepBytes, room));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = static_cast<uInt>(out.size() - before);
    const int status = inflate(&stream, Z_NO_FLUSH);
    filled = stream.avail_out == 0;
    out.resize(out.size() - stream.avail_out);
    if (out.size() > max_bytes) {
      return fail(Code::kResourceExhausted,
                  "the decoded body is larger than " + std::to_string(max_bytes) + " bytes");
    }
    impl_->ended = status == Z_STREAM_END;
    if (impl_->ended) filled = false;
    if (status == Z_BUF_ERROR) break;
    if (status != Z_OK && status != Z_STREAM_END) {
      return fail(Code::kInvalidArgument, "the body is not what its Content-Encoding says");
    }
  }
  return {};
}

bool Inflater::complete() const {
  return impl_->ended || !impl_->begun;
}

}  // namespace skerry::net
