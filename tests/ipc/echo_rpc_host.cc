// Serves the public SDKs' echo service with the library that serves Greengrass's IPC, so that their
// own suites can be run against it:
//
//   echo-rpc-host [PORT]        on 127.0.0.1, where those suites look for port 8033 (default; 0:
//   any)
//
// prints "ready PORT" when it listens; ends with its standard input.
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <list>
#include <memory>
#include <string>

#include "io/loop.h"
#include "net/stream.h"
#include "rpc/test_echo_service.h"

namespace skerry {
namespace {

constexpr uint16_t kSuitesPort = 8033;
constexpr int64_t kLingerMs = 1'000;

// One client, until either side ends. What the service says it says in answer to bytes.
io::Task<void> serve(io::Loop* loop, std::unique_ptr<net::Stream> stream,
                     const rpc::Service* service) {
  rpc::ServerConnection connection(*service, {}, [] {});
  std::array<char, 16 << 10> buffer;
  while (!connection.ended()) {
    const auto got = co_await stream->read_some(buffer.data(), buffer.size());
    if (!got || *got == 0) co_return;
    connection.receive(std::string_view(buffer.data(), *got));
    const std::string answer = connection.take_output();
    if (!answer.empty() && !co_await stream->write_all(answer)) co_return;
  }
  // Clients take the end before what was said last: they are to close, or have a second for it.
  const io::Timer end = loop->after(kLingerMs, [&stream] { stream->abort(); });
  for (;;) {
    const auto got = co_await stream->read_some(buffer.data(), buffer.size());
    if (!got || *got == 0) co_return;
  }
}

void end_with_input(io::RealLoop& loop, io::FdWatch& input) {
  input.when_readable([&] {
    char bytes[64];
    if (::read(STDIN_FILENO, bytes, sizeof bytes) <= 0) return loop.stop();
    end_with_input(loop, input);
  });
}

int run(uint16_t port) {
  io::RealLoop loop;
  const rpc::Service service = rpc::echo_service();
  io::TaskScope clients;
  const auto listener =
      net::listen_tcp(loop, "127.0.0.1", port, nullptr, [&](std::unique_ptr<net::Stream> stream) {
        clients.spawn(serve(&loop, std::move(stream), &service));
      });
  if (!listener) {
    std::fprintf(stderr, "echo-rpc-host: %s\n", listener.error().message().c_str());
    return 1;
  }
  std::printf("ready %u\n", static_cast<unsigned>((*listener)->port()));
  std::fflush(stdout);
  const auto input = loop.watch(STDIN_FILENO);
  end_with_input(loop, *input);
  loop.run();
  return 0;
}

}  // namespace
}  // namespace skerry

int main(int argc, char** argv) {
  uint16_t port = skerry::kSuitesPort;
  const std::string given = argc > 1 ? argv[1] : "";
  if (!given.empty() &&
      std::from_chars(given.data(), given.data() + given.size(), port).ec != std::errc()) {
    std::fprintf(stderr, "usage: echo-rpc-host [PORT]\n");
    return 2;
  }
  return skerry::run(port);
}
