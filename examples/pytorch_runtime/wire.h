// What the plugin and the process that runs the model tell each other, over a socket: a length of 8
// bytes, then as many bytes. Numbers are as this machine has them.
//
//   plugin → worker   load: threads u32, the model's file as bytes
//   worker → plugin   code u32; words where it is not SKERRY_OK
//   plugin → worker   run: count u32, tensors
//   worker → plugin   code u32, memory u64, count u32, tensors; or code and words
//
//   bytes, words      length u64, then they
//   tensor            type u32 (of runtime_plugin.h), rank u32, dimensions i64, bytes
#ifndef SKERRY_EXAMPLES_PYTORCH_WIRE_H_
#define SKERRY_EXAMPLES_PYTORCH_WIRE_H_

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace wire {

constexpr uint64_t kMaxMessage = uint64_t{8} << 30;
constexpr uint32_t kMaxRank = 32;

class Writer {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void bytes(const void* data, uint64_t size) {
    number(size);
    if (size > 0) bytes_.append(static_cast<const char*>(data), size);
  }
  void words(std::string_view text) { bytes(text.data(), text.size()); }
  const std::string& message() const { return bytes_; }

 private:
  std::string bytes_;
};

// What is not there reads as 0, and ok() is false from then on.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  T number() {
    T value{};
    const std::string_view raw = take(sizeof(value));
    if (ok_) std::memcpy(&value, raw.data(), sizeof(value));
    return value;
  }
  std::string_view bytes() { return take(number<uint64_t>()); }
  bool ok() const { return ok_; }

 private:
  std::string_view take(uint64_t size) {
    ok_ = ok_ && size <= rest_.size();
    if (!ok_) return {};
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
  bool ok_ = true;
};

struct Tensor {
  uint32_t type = 0;
  std::vector<int64_t> shape;
  std::string_view bytes;
};

inline void write(Writer& out, const Tensor& tensor) {
  out.number(tensor.type);
  out.number(static_cast<uint32_t>(tensor.shape.size()));
  for (const int64_t dimension : tensor.shape) out.number(dimension);
  out.bytes(tensor.bytes.data(), tensor.bytes.size());
}

inline bool read(Reader& in, Tensor& tensor) {
  tensor.type = in.number<uint32_t>();
  const auto rank = in.number<uint32_t>();
  if (!in.ok() || rank > kMaxRank) return false;
  for (uint32_t i = 0; i < rank; ++i) tensor.shape.push_back(in.number<int64_t>());
  tensor.bytes = in.bytes();
  return in.ok();
}

inline bool send_all(int socket, const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t sent = ::send(socket, at, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

inline bool send(int socket, const std::string& message) {
  const uint64_t size = message.size();
  return send_all(socket, &size, sizeof(size)) && send_all(socket, message.data(), size);
}

}  // namespace wire

#endif
