// The decoder of aws-chunked: whole and in pieces, any bytes must give the same content and the
// same answer.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/aws_chunked.h"

namespace {

std::string outcome(std::string_view payload, uint64_t length, std::string_view body, size_t step) {
  auto decoder = skerry::net::AwsChunkedDecoder::make(payload, length, {});
  std::string content;
  for (; !body.empty(); body.remove_prefix(std::min(step, body.size()))) {
    auto written =
        decoder->write(body.substr(0, step), [&](std::string_view bytes) -> skerry::Result<void> {
          content.append(bytes);
          return {};
        });
    if (!written) return "refused";
  }
  if (content.size() > length) std::abort();
  return content + (decoder->finish() ? " whole" : " open");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 16'384) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 2, size - 2);
  constexpr std::string_view kPayloads[] = {"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                                            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                                            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"};
  const std::string_view payload = kPayloads[data[0] % 3];
  const std::string whole = outcome(payload, data[1], body, body.size());
  if (whole != outcome(payload, data[1], body, 3)) std::abort();
  return 0;
}
