// Starting and stopping a mosquitto process.
#include "net/test_broker.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "net/address.h"
#include "net/socket.h"

namespace skerry::net {

static uint16_t free_port() {
  Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return bound_port(fd.get());
}

TestBroker::TestBroker(const ScratchDirectory& directory, std::string settings)
    : config_file_(directory.path("mosquitto.conf")), port_(free_port()) {
  std::ofstream config(config_file_);
  config << "user root\n"
            "log_dest stderr\n"
            "log_type information\nlog_type error\n"
            "persistence true\n"
            "persistence_location "
         << directory.path() << "/\n"
         << "listener " << port_ << " 127.0.0.1\n"
         << settings;
}

TestBroker::~TestBroker() {
  stop();
}

void TestBroker::start() {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], 2);
  std::string program = "/usr/sbin/mosquitto", option = "-c";
  char* argv[] = {program.data(), option.data(), config_file_.data(), nullptr};
  ASSERT_EQ(::posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv, environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  log_ = io::Fd(pipe[0]);
  std::string log;
  char piece[512];
  while (log.find(" running") == std::string::npos) {
    ssize_t count = ::read(log_.get(), piece, sizeof piece);
    ASSERT_GT(count, 0) << "mosquitto did not start: " << log;
    log.append(piece, static_cast<size_t>(count));
  }
}

void TestBroker::stop() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
  log_.reset();
  pid_ = 0;
}

}  // namespace skerry::net
