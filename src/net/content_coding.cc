// zlib behind Inflater.
#include "net/content_coding.h"

#include <zlib.h>

#include <algorithm>

#include "base/check.h"

namespace skerry::net {
namespace {

constexpr size_t kStepBytes = 64 << 10;
constexpr int kGzipOrZlib = 15 + 32;  // the largest window, and the header says which of the two

}  // namespace

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
