// Measures round trips of one request over keep-alive HTTP, with blocking sockets and no library in
// between, so that what it sees is the server.
//
//   infer_bench_client ADDRESS CONNECTIONS REQUESTS JSON_BYTES [REQUESTS_PER_S] < BODY
//
// ADDRESS: HOST:PORT or the path of a Unix socket. JSON_BYTES: 0 for a body of JSON only. Without
// REQUESTS_PER_S each connection asks as soon as it has its answer (closed loop); with it requests
// come at random (Poisson), whether the service keeps up or not, and wait from when they should
// have been sent (open loop). Prints one JSON object: p50_us, min_us, p99_us, requests_per_s,
// failures.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

int connect_to(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (address.starts_with('/') || colon == std::string::npos) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, address.c_str(), sizeof name.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return ::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0 ? fd : -1;
  }
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &name.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return ::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0 ? fd : -1;
}

// Sends the request and reads the whole answer. False unless its status is 200.
bool round_trip(int fd, const std::string& request, std::string& buffer) {
  for (size_t sent = 0; sent < request.size();) {
    const ssize_t count = ::send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  size_t size = 0;
  size_t wanted = std::string::npos;
  while (size < wanted) {
    if (buffer.size() < size + 65536) buffer.resize(size + 65536);
    const ssize_t count = ::recv(fd, buffer.data() + size, buffer.size() - size, 0);
    if (count <= 0) return false;
    size += static_cast<size_t>(count);
    if (wanted != std::string::npos) continue;
    const std::string_view so_far(buffer.data(), size);
    const size_t head = so_far.find("\r\n\r\n");
    if (head == std::string_view::npos) continue;
    const size_t length = so_far.find("Content-Length: ");
    if (length == std::string_view::npos) return false;
    wanted = head + 4 + std::stoul(std::string(so_far.substr(length + 16, 12)));
  }
  return std::string_view(buffer).starts_with("HTTP/1.1 200");
}

struct Measured {
  std::vector<double> micros;
  size_t failures = 0;
};

// `rate` of this connection; 0: closed loop.
Measured measure(const std::string& address, const std::string& request, size_t requests,
                 double rate, uint32_t seed) {
  Measured result;
  const int fd = connect_to(address);
  std::string buffer;
  const size_t warm_up = requests / 10;
  ::prctl(PR_SET_TIMERSLACK, 1);
  std::mt19937 random(seed);
  std::exponential_distribution<double> gap_s(rate > 0 ? rate : 1);
  auto due = Clock::now();
  for (size_t i = 0; i < warm_up + requests; ++i) {
    if (rate > 0) {
      due +=
          std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(gap_s(random)));
      std::this_thread::sleep_until(due);
    }
    const auto started = rate > 0 ? due : Clock::now();
    if (!round_trip(fd, request, buffer)) {
      ++result.failures;
      break;
    }
    const std::chrono::duration<double, std::micro> took = Clock::now() - started;
    if (i >= warm_up) result.micros.push_back(took.count());
  }
  ::close(fd);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) {
    std::cerr << "usage: infer_bench_client ADDRESS CONNECTIONS REQUESTS JSON_BYTES "
                 "[REQUESTS_PER_S] < BODY\n";
    return 2;
  }
  const std::string address = argv[1];
  const size_t connections = std::stoul(argv[2]);
  const size_t requests = std::stoul(argv[3]);
  const std::string body(std::istreambuf_iterator<char>(std::cin), {});
  std::string request = fmt::format(
      "POST /v2/models/bench/infer HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n", body.size());
  if (argv[4] != std::string("0")) {
    request += fmt::format("Inference-Header-Content-Length: {}\r\n", argv[4]);
  }
  request += "\r\n" + body;

  std::vector<Measured> parts(connections);
  std::vector<std::thread> threads;
  threads.reserve(parts.size());
  const auto started = Clock::now();
  const double rate = argc == 6 ? std::stod(argv[5]) / static_cast<double>(connections) : 0;
  for (Measured& part : parts) {
    const auto seed = static_cast<uint32_t>(threads.size());
    threads.emplace_back(
        [&, seed] { part = measure(address, request, requests / connections, rate, seed); });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> took = Clock::now() - started;

  std::vector<double> all;
  size_t failures = 0;
  for (const Measured& part : parts) {
    all.insert(all.end(), part.micros.begin(), part.micros.end());
    failures += part.failures;
  }
  std::ranges::sort(all);
  const auto at = [&](double q) {
    return all.empty() ? 0.0 : all[static_cast<size_t>(q * static_cast<double>(all.size() - 1))];
  };
  fmt::print(
      "{{\"p50_us\":{:.1f},\"min_us\":{:.1f},\"p99_us\":{:.1f},\"requests_per_s\":{:.0f},"
      "\"failures\":{}}}\n",
      at(0.5), at(0), at(0.99), static_cast<double>(all.size()) * 1.1 / took.count(), failures);
  return failures == 0 ? 0 : 1;
}
