// What both workers share: one program is taken, then run for each question, until the plugin hangs
// up.
#ifndef SKERRY_EXAMPLES_PYTORCH_WORKER_H_
#define SKERRY_EXAMPLES_PYTORCH_WORKER_H_

#include <skerry/runtime_plugin.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <new>

#include "wire.h"

namespace worker {

// Each gives the answer to a message, or throws std::exception.
class Program {
 public:
  virtual ~Program() = default;
  virtual std::string load(uint32_t threads, std::string_view file) = 0;
  virtual std::string run(wire::Reader& in) = 0;
};

inline std::string refusal(uint32_t code, const std::string& words) {
  wire::Writer out;
  out.number(code);
  out.words(words.substr(0, 2000));
  return out.message();
}

inline std::string success() {
  wire::Writer out;
  out.number<uint32_t>(SKERRY_OK);
  return out.message();
}

// Of this process, in bytes.
inline uint64_t memory() {
  unsigned long pages = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%*u %lu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Of an answer to which so many tensors are added.
inline wire::Writer answer_head(uint32_t tensors) {
  wire::Writer out;
  out.number<uint32_t>(SKERRY_OK);
  out.number(memory());
  out.number(tensors);
  return out;
}

inline bool receive(int socket, std::string& message) {
  const auto all = [socket](char* at, uint64_t size) {
    while (size > 0) {
      const ssize_t got = ::read(socket, at, size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      at += got;
      size -= static_cast<uint64_t>(got);
    }
    return true;
  };
  uint64_t size = 0;
  if (!all(reinterpret_cast<char*>(&size), sizeof(size)) || size > wire::kMaxMessage) return false;
  message.resize(size);
  return all(message.data(), size);
}

inline int serve(int socket, Program& program) {
  std::string message;
  for (bool is_loaded = false; receive(socket, message);) {
    std::string answer;
    try {
      wire::Reader in(message);
      if (is_loaded) {
        answer = program.run(in);
      } else {
        const auto threads = in.number<uint32_t>();
        answer = program.load(threads, in.bytes());
        is_loaded = true;
      }
    } catch (const std::bad_alloc&) {
      answer = refusal(SKERRY_RESOURCE_EXHAUSTED, "there is no memory for it");
    } catch (const std::exception& e) {
      answer = refusal(is_loaded ? SKERRY_INTERNAL : SKERRY_CORRUPT, e.what());
    }
    if (!wire::send(socket, answer)) return 1;
  }
  return 0;
}

}  // namespace worker

#endif
