// Any process that can open the IPC socket can send any bytes, before it has shown a token. The
// decoder sees the input as it is; then once more with its checksums put right, which lets the
// fuzzer reach the headers and the protocol's rules.
#include <zlib.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "rpc/client_connection.h"
#include "rpc/event_stream.h"
#include "rpc/server_connection.h"

namespace {

using namespace skerry;
using namespace skerry::rpc;

constexpr size_t kMaxMessage = 1 << 20;

void check(bool holds) {
  if (!holds) std::abort();
}

uint32_t read_u32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void write_checksum(std::string& bytes, size_t from, size_t to) {
  const auto crc = static_cast<uint32_t>(
      crc32_z(0, std::bit_cast<const Bytef*>(bytes.data() + from), to - from));
  for (size_t i = 0; i < 4; ++i) bytes[to + i] = static_cast<char>(crc >> (24 - 8 * i) & 0xff);
}

std::string with_right_checksums(std::string bytes) {
  for (size_t at = 0; bytes.size() - at >= kFrameOverheadBytes;) {
    write_checksum(bytes, at, at + 8);
    const size_t total = read_u32(bytes, at);
    if (total < kFrameOverheadBytes || total > bytes.size() - at) break;
    write_checksum(bytes, at, at + total - 4);
    at += total;
  }
  return bytes;
}

// What decodes must encode to the same bytes.
void decode(std::string_view bytes) {
  FrameDecoder decoder(kMaxMessage);
  decoder.feed(bytes);
  size_t at = 0;
  for (;;) {
    const auto frame = decoder.next();
    if (!frame || !*frame) return;
    std::string again;
    check(append_frame(again, (*frame)->headers, (*frame)->payload).has_value());
    check(bytes.substr(at, again.size()) == again);
    at += again.size();
  }
}

Service service() {
  Service made;
  made.authenticate = [](const Frame&) -> Result<std::string> { return "fuzz"; };
  made.operations["unary"] = [](const ServerStream& s, std::string_view p) { s.respond("R", p); };
  made.operations["stream"] = [](const ServerStream& s, std::string_view) {
    s.start("R", "{}");
    s.on_message(
        [s](std::string_view payload) { payload.empty() ? s.close() : s.send("E", payload); });
    s.on_closed([] {});
  };
  return made;
}

// The protocol's rules, with the bytes in two pieces: whatever comes, the answer is whole frames.
void serve(std::string_view bytes, bool connected) {
  const Service made = service();
  ServerLimits limits;
  limits.message_bytes = kMaxMessage;
  limits.streams = 4;
  ServerConnection server(made, limits, {});
  if (connected) {
    ClientConnection client;
    client.connect("token");
    server.receive(client.take_output());
  }
  server.receive(bytes.substr(0, bytes.size() / 2));
  server.receive(bytes.substr(bytes.size() / 2));
  FrameDecoder decoder;
  decoder.feed(server.take_output());
  for (;;) {
    const auto frame = decoder.next();
    check(frame.has_value());
    if (!*frame) break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  decode(bytes);
  const std::string repaired = with_right_checksums(bytes);
  decode(repaired);
  serve(repaired, false);
  serve(repaired, true);
  return 0;
}
