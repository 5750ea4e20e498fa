// For tests of components: a nucleus's socket with the operations that a test answers itself.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "net/stream.h"
#include "rpc/nucleus_client.h"
#include "rpc/server_connection.h"

namespace skerry::rpc {

class TestNucleus {
 public:
  // `path` of its socket. It knows one token, that of address().
  TestNucleus(io::Loop& loop, std::string path) : loop_(loop), path_(std::move(path)) {
    service_.authenticate = [](const Frame& connect) -> Result<std::string> {
      const bool known = connect.payload.find("the-token") != std::string::npos;
      return known ? Result<std::string>("component") : fail(Code::kPermissionDenied, "token");
    };
  }
  void answer(const std::string& operation, Service::Handler handler) {
    service_.operations["aws.greengrass#" + operation] = std::move(handler);
  }
  void start() {
    auto listener = net::listen_unix(loop_, path_, 0600, [this](auto stream) {
      ++connections_;
      tasks_.spawn(serve(*this, std::move(stream)));
    });
    ASSERT_TRUE(listener) << listener.error().message();
    listener_ = std::move(*listener);
  }
  void stop() {
    listener_.reset();
    tasks_.cancel_all();
  }
  NucleusAddress address() const { return {path_, "the-token", "press-1"}; }
  size_t connections() const { return connections_; }  // that there ever were

 private:
  static io::Task<void> serve(TestNucleus& nucleus, std::unique_ptr<net::Stream> stream) {
    ServerConnection connection(nucleus.service_, {}, [] {});
    std::string buffer(65536, '\0');
    for (;;) {
      auto size = co_await stream->read_some(buffer.data(), buffer.size());
      if (!size || *size == 0) break;
      connection.receive(std::string_view(buffer.data(), *size));
      const std::string output = connection.take_output();
      if (!co_await stream->write_all(output) || connection.ended()) break;
    }
  }

  io::Loop& loop_;
  const std::string path_;
  Service service_;
  size_t connections_ = 0;
  std::unique_ptr<net::Listener> listener_;
  io::TaskScope tasks_;
};

}  // namespace skerry::rpc
