// Streams, listeners and TLS: what is refused, what is replaced, what a limit does.
#include "net/stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fstream>

#include "net/socket.h"
#include "net/test_support.h"

namespace skerry::net {
namespace {

io::Task<void> send_back(std::unique_ptr<Stream> stream) {
  char piece[4096];
  for (;;) {
    auto count = co_await stream->read_some(piece, sizeof piece);
    if (!count || *count == 0) co_return;
    if (!co_await stream->write_all(std::string_view(piece, *count))) co_return;
  }
}

io::Task<Result<std::string>> say_and_hear(Stream& stream, std::string bytes) {
  SKERRY_CO_TRY(co_await stream.write_all(bytes));
  std::string heard(bytes.size(), '\0');
  for (size_t done = 0; done < heard.size();) {
    SKERRY_CO_ASSIGN(size_t count,
                     co_await stream.read_some(heard.data() + done, heard.size() - done));
    if (count == 0) co_return fail(Code::kUnavailable, "closed");
    done += count;
  }
  co_return heard;
}

class Streams : public testing::Test {
 protected:
  uint16_t echo(std::shared_ptr<TlsContext> tls) {
    auto listener = listen_tcp(loop_, "127.0.0.1", 0, std::move(tls),
                               [this](auto stream) { scope_.spawn(send_back(std::move(stream))); });
    EXPECT_TRUE(listener) << listener.error().message();
    listener_ = std::move(*listener);
    return listener_->port();
  }
  Result<std::unique_ptr<Stream>> connect(uint16_t port, std::shared_ptr<TlsContext> tls,
                                          std::string host = "127.0.0.1") {
    return run_task(loop_, connect_tcp(loop_, std::move(host), port, std::move(tls)));
  }

  io::RealLoop loop_;
  ScratchDirectory scratch_;
  std::unique_ptr<Listener> listener_;
  io::TaskScope scope_;
};

TEST_F(Streams, CarryBytesBothWays) {
  auto stream = connect(echo(nullptr), nullptr, "localhost");
  ASSERT_TRUE(stream) << stream.error().message();
  EXPECT_EQ(*run_task(loop_, say_and_hear(**stream, "hello")), "hello");
  EXPECT_EQ((*stream)->bytes_moved(), 10u);
  EXPECT_FALSE((*stream)->is_stale());
}

TEST_F(Streams, TellThatNobodyListens) {
  uint16_t port = echo(nullptr);
  listener_.reset();
  auto stream = connect(port, nullptr);
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code(), Code::kUnavailable);
  EXPECT_NE(stream.error().message().find("127.0.0.1:" + std::to_string(port)), std::string::npos);
}

TEST_F(Streams, NamesThatDoNotExistAreUnavailable) {
  auto stream = connect(80, nullptr, "not..a..name");
  ASSERT_FALSE(stream);
  EXPECT_TRUE(stream.error().retryable()) << stream.error().message();
}

// A listener that accepts nothing and whose queue is full: the kernel then answers no SYN at all.
TEST_F(Streams, ConnectingHasALimit) {
  Fd listening(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listening.get(), 0), 0);
  ::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &size);
  std::vector<std::unique_ptr<Stream>> queued;
  for (int i = 0; i < 20; ++i) {
    auto stream =
        run_task(loop_, connect_tcp(loop_, "127.0.0.1", ntohs(address.sin_port), nullptr, 50));
    if (!stream) {
      EXPECT_EQ(stream.error().code(), Code::kTimeout) << stream.error().message();
      return;
    }
    queued.push_back(std::move(*stream));
  }
  FAIL() << "the queue of the listener never filled up";
}

io::Task<void> read_one(Stream& stream, std::string* out) {
  char byte;
  auto count = co_await stream.read_some(&byte, 1);
  *out = !count ? "error" : *count == 0 ? "end" : std::string(1, byte);
}

TEST_F(Streams, ACancelledReadLeavesTheStreamUsable) {
  auto stream = connect(echo(nullptr), nullptr);
  ASSERT_TRUE(stream);
  std::string cancelled, after;
  {
    io::TaskScope scope;
    scope.spawn(read_one(**stream, &cancelled));
  }
  io::TaskScope scope;
  scope.spawn(read_one(**stream, &after));
  ASSERT_TRUE(run_task(loop_, (*stream)->write_all("x")));
  EXPECT_TRUE(run_until(loop_, [&] { return !after.empty(); }));
  EXPECT_EQ(after, "x");
  EXPECT_EQ(cancelled, "");
}

TEST_F(Streams, AStreamMayGoBeforeItsReader) {
  auto stream = connect(echo(nullptr), nullptr);
  std::string never;
  io::TaskScope scope;
  scope.spawn(read_one(**stream, &never));
  stream->reset();
  loop_.run_for(1);
  EXPECT_EQ(never, "");
}

TEST_F(Streams, AbortWakesTheReader) {
  TestCa ca(scratch_, "ca");
  auto server = TlsContext::server(ca.issue({"s", "IP:127.0.0.1"}), false);
  auto client = TlsContext::client({ca.ca_file(), "", ""});
  for (bool secure : {false, true}) {
    auto stream = connect(echo(secure ? *server : nullptr), secure ? *client : nullptr);
    ASSERT_TRUE(stream) << stream.error().message();
    std::string result;
    io::TaskScope scope;
    scope.spawn(read_one(**stream, &result));
    (*stream)->abort();
    EXPECT_TRUE(run_until(loop_, [&] { return !result.empty(); }));
  }
}

TEST_F(Streams, ShutdownOfWritingIsTheEndForTheOtherSide) {
  TestCa ca(scratch_, "ca");
  auto server = TlsContext::server(ca.issue({"s", "IP:127.0.0.1"}), false);
  auto client = TlsContext::client({ca.ca_file(), "", ""});
  for (bool secure : {false, true}) {
    auto stream = connect(echo(secure ? *server : nullptr), secure ? *client : nullptr);
    ASSERT_TRUE(stream) << stream.error().message();
    EXPECT_EQ(*run_task(loop_, say_and_hear(**stream, "x")), "x");
    (*stream)->shutdown_write();
    std::string result;
    scope_.spawn(read_one(**stream, &result));
    EXPECT_TRUE(run_until(loop_, [&] { return !result.empty(); }));
    EXPECT_EQ(result, "end");
    EXPECT_TRUE((*stream)->is_stale());
  }
}

// --- Unix sockets -------------------------------------------------------------------------------

TEST_F(Streams, UnixSocketsHaveTheirModeAndLeaveNoFile) {
  std::string path = scratch_.path("s");
  auto listener = listen_unix(loop_, path, 0620, [](auto) {});
  ASSERT_TRUE(listener) << listener.error().message();
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0620u);
  auto stream = run_task(loop_, connect_unix(loop_, path));
  ASSERT_TRUE(stream) << stream.error().message();
  EXPECT_EQ((*stream)->peer().address, "unix");
  listener->reset();
  EXPECT_NE(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(run_task(loop_, connect_unix(loop_, path)).error().code(), Code::kUnavailable);
}

TEST_F(Streams, StaleUnixSocketsAreReplacedAndLiveOnesAreNot) {
  std::string path = scratch_.path("s");
  {
    // A program that was killed leaves its file behind.
    Fd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  auto first = listen_unix(loop_, path, 0600, [](auto) {});
  ASSERT_TRUE(first) << first.error().message();
  auto second = listen_unix(loop_, path, 0600, [](auto) {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kAlreadyExists);

  std::string file = scratch_.path("precious");
  std::ofstream(file) << "data";
  EXPECT_EQ(listen_unix(loop_, file, 0600, [](auto) {}).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(std::ifstream(file).rdbuf()), {}), "data");
}

TEST_F(Streams, ListeningNeedsAnAddress) {
  EXPECT_EQ(listen_tcp(loop_, "example.invalid", 0, nullptr, [](auto) {}).error().code(),
            Code::kInvalidArgument);
  EXPECT_FALSE(listen_unix(loop_, scratch_.path("absent/s"), 0600, [](auto) {}));
}

// --- TLS ----------------------------------------------------------------------------------------

class TlsStreams : public Streams {
 protected:
  uint16_t echo_tls(const CertificateSpec& spec, bool wants_certificate = false) {
    auto context = TlsContext::server(ca_.issue(spec), wants_certificate);
    EXPECT_TRUE(context) << context.error().message();
    return echo(*context);
  }
  std::shared_ptr<TlsContext> client(const TlsFiles& files) {
    auto context = TlsContext::client(files);
    EXPECT_TRUE(context) << context.error().message();
    return *context;
  }
  void expect_refused(Result<std::unique_ptr<Stream>> stream, const std::string& part) {
    ASSERT_FALSE(stream);
    EXPECT_EQ(stream.error().code(), Code::kPermissionDenied);
    EXPECT_NE(stream.error().message().find(part), std::string::npos) << stream.error().message();
  }
  TestCa ca_{scratch_, "ca"};
};

TEST_F(TlsStreams, CarryMoreThanTheSocketsHold) {
  uint16_t port = echo_tls({"server", "DNS:localhost"});
  auto stream = connect(port, client({ca_.ca_file(), "", ""}), "localhost");
  ASSERT_TRUE(stream) << stream.error().message();
  std::string large;
  for (int i = 0; i < 300'000; ++i) large += std::to_string(i);
  // The echo fills the way back while this side still writes: reading and writing go on together.
  std::string heard;
  io::TaskScope scope;
  scope.spawn([](Stream& from, std::string* out, size_t size) -> io::Task<void> {
    char piece[10'000];
    while (out->size() < size) {
      auto count = co_await from.read_some(piece, sizeof piece);
      if (!count || *count == 0) co_return;
      out->append(piece, *count);
    }
  }(**stream, &heard, large.size()));
  ASSERT_TRUE(run_task(loop_, (*stream)->write_all(large)));
  ASSERT_TRUE(run_until(loop_, [&] { return scope.size() == 0; }));
  EXPECT_TRUE(heard == large);
}

TEST_F(TlsStreams, RefuseServersThatAreNotWhomTheClientWants) {
  TlsFiles trusting{ca_.ca_file(), "", ""};
  uint16_t port = echo_tls({"server", "DNS:other.example"});
  expect_refused(connect(port, client(trusting)), "does not name 127.0.0.1");
  expect_refused(connect(port, client(trusting), "localhost"), "does not name localhost");
  TestCa other(scratch_, "other");
  expect_refused(connect(echo_tls({"server", "IP:127.0.0.1"}), client({other.ca_file(), "", ""})),
                 "the CA file does not hold its issuer");
  expect_refused(connect(echo_tls({"server", "IP:127.0.0.1", true}), client(trusting)), "expired");
}

TEST_F(TlsStreams, RefuseClientsWithoutAGoodCertificate) {
  uint16_t port = echo_tls({"server", "IP:127.0.0.1"}, true);
  TestCa other(scratch_, "other");
  TlsFiles foreign = other.issue({"pump-7", ""});
  foreign.ca_file = ca_.ca_file();
  struct Case {
    TlsFiles files;
    const char* part;
  };
  for (const Case& c :
       {Case{{ca_.ca_file(), "", ""}, "wants a certificate"},
        Case{ca_.issue({"pump-7", "", true}), "expired"}, Case{foreign, "does not trust the CA"}}) {
    // With TLS 1.3 the client learns it when it reads.
    auto stream = connect(port, client(c.files));
    ASSERT_TRUE(stream);
    auto heard = run_task(loop_, say_and_hear(**stream, "hello"));
    ASSERT_FALSE(heard);
    EXPECT_NE(heard.error().message().find(c.part), std::string::npos) << heard.error().message();
    EXPECT_EQ(heard.error().code(), Code::kPermissionDenied);
  }
  auto stream = connect(port, client(ca_.issue({"pump-7", ""})));
  EXPECT_EQ(*run_task(loop_, say_and_hear(**stream, "hello")), "hello");
}

TEST_F(TlsStreams, RefuseServersThatSpeakPlainText) {
  auto listener = listen_tcp(loop_, "127.0.0.1", 0, nullptr, [this](auto stream) {
    scope_.spawn([](std::unique_ptr<Stream> s) -> io::Task<void> {
      char piece[512];
      co_await s->read_some(piece, sizeof piece);
      co_await s->write_all("HTTP/1.1 400 Bad Request\r\n\r\n");
    }(std::move(stream)));
  });
  ASSERT_TRUE(listener);
  auto stream = connect((*listener)->port(), client({ca_.ca_file(), "", ""}));
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code(), Code::kUnavailable);
}

TEST_F(TlsStreams, ATruncatedStreamIsNoEnd) {
  uint16_t port = echo_tls({"server", "IP:127.0.0.1"});
  auto stream = connect(port, client({ca_.ca_file(), "", ""}));
  ASSERT_TRUE(stream);
  EXPECT_EQ(*run_task(loop_, say_and_hear(**stream, "x")), "x");
  std::string result;
  io::TaskScope scope;
  scope.spawn(read_one(**stream, &result));
  (*stream)->abort();  // the connection ends without close_notify
  EXPECT_TRUE(run_until(loop_, [&] { return !result.empty(); }));
  EXPECT_EQ(result, "error");
}

TEST_F(TlsStreams, ContextsNameTheFileThatIsWrong) {
  TlsFiles good = ca_.issue({"pump-7", ""});
  std::string junk = scratch_.path("junk");
  std::ofstream(junk) << "not PEM\n";
  std::string broken = scratch_.path("broken");
  std::ofstream(broken) << "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  std::string absent = scratch_.path("absent");
  std::string other_key = ca_.issue({"other", ""}).key_file;
  struct Case {
    TlsFiles files;
    std::string part;
  };
  for (const Case& c : {Case{{junk, good.certificate_file, good.key_file}, junk},
                        Case{{broken, good.certificate_file, good.key_file}, broken},
                        Case{{absent, good.certificate_file, good.key_file}, absent},
                        Case{{good.ca_file, junk, good.key_file}, junk},
                        Case{{good.ca_file, absent, good.key_file}, absent},
                        Case{{good.ca_file, good.certificate_file, junk}, junk},
                        Case{{good.ca_file, good.certificate_file, absent}, absent},
                        Case{{good.ca_file, good.certificate_file, other_key}, other_key},
                        Case{{good.ca_file, good.certificate_file, ""}, "key file"},
                        Case{{"", good.certificate_file, good.key_file}, "CA file"}}) {
    auto context = TlsContext::client(c.files);
    ASSERT_FALSE(context) << c.part;
    EXPECT_NE(context.error().message().find(c.part), std::string::npos)
        << context.error().message();
  }
  EXPECT_FALSE(TlsContext::server({good.ca_file, "", ""}, false));
  EXPECT_FALSE(TlsContext::server({"", good.certificate_file, good.key_file}, true));
}

}  // namespace
}  // namespace skerry::net
