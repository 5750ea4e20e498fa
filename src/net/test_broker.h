// A real mosquitto for tests, on a port of its own, with files in a scratch directory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "io/fd.h"
#include "net/test_support.h"

namespace skerry::net {

class TestBroker {
 public:
  // `settings`: more lines for its configuration file (TLS, access control).
  TestBroker(const ScratchDirectory& directory, std::string settings);
  ~TestBroker();  // stops it
  TestBroker(const TestBroker&) = delete;
  TestBroker& operator=(const TestBroker&) = delete;

  void start();  // returns when it accepts connections
  void stop();   // returns when it has ended; sessions are saved
  uint16_t port() const { return port_; }

 private:
  std::string config_file_;
  uint16_t port_ = 0;
  pid_t pid_ = 0;
  io::Fd log_;
};

}  // namespace skerry::net
