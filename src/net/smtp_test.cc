// Mail as text, and the dialogue with a server that is scripted; tests/fleet/alerts_test.py has a
// real one.
#include "net/smtp.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/encoding.h"
#include "net/stream.h"
#include "net/test_support.h"

namespace skerry::net {
namespace {

TEST(Smtp, Urls) {
  const auto plain = parse_smtp_url("smtp://mail.example.com");
  EXPECT_EQ(plain->host, "mail.example.com");
  EXPECT_EQ(plain->port, 25);
  EXPECT_FALSE(plain->is_tls);
  const auto tls = parse_smtp_url("smtps://[::1]:1465");
  EXPECT_EQ(tls->host, "::1");
  EXPECT_EQ(tls->port, 1465);
  EXPECT_TRUE(tls->is_tls);
  EXPECT_EQ(parse_smtp_url("smtps://h")->port, 465);
  for (const char* wrong : {"http://h", "smtp://", "smtp://h:0", "smtp://h:70000", "smtp://h:x",
                            "smtp://u@h", "smtp://h/x"}) {
    EXPECT_FALSE(parse_smtp_url(wrong)) << wrong;
  }
}

TEST(Smtp, AMailIsSevenBitTextOfShortLines) {
  const Mail mail{.from = "a@b.c",
                  .to = {"x@y", "z@y"},
                  .subject = "Zu heiß\r\nBcc: evil@example.com " + std::string(300, 'x'),
                  .id = "id-1",
                  .date_ms = 1'767'225'600'000,
                  .text = "Grüße\n.\nline\n" + std::string(2'000, 'y')};
  const std::string text = mail_text(mail);
  std::istringstream lines(text);
  std::string line, body;
  bool in_body = false;
  while (std::getline(lines, line)) {
    ASSERT_TRUE(line.ends_with('\r')) << line;
    line.pop_back();
    EXPECT_LE(line.size(), 78u) << line;
    EXPECT_FALSE(line.starts_with('.'));
    EXPECT_FALSE(line.starts_with("Bcc"));
    for (const char c : line) EXPECT_TRUE(c >= ' ' && c < 127);
    if (in_body) body += line;
    in_body = in_body || line.empty();
  }
  EXPECT_EQ(base64_decode(body).value(), mail.text);
  EXPECT_NE(text.find("Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"), std::string::npos);
  EXPECT_NE(text.find("To: <x@y>,\r\n <z@y>\r\n"), std::string::npos);
  EXPECT_NE(text.find("Message-ID: <id-1@skerry>\r\n"), std::string::npos);
}

// Says one of `replies` for each line that it hears, and keeps them; in DATA for the final dot.
class ScriptedServer {
 public:
  ScriptedServer(io::Loop& loop, std::vector<std::string> replies) : replies_(std::move(replies)) {
    listener_ = listen_tcp(loop, "127.0.0.1", 0, nullptr, [this](std::unique_ptr<Stream> stream) {
                  tasks_.spawn(serve(std::move(stream)));
                }).value();
  }
  uint16_t port() const { return listener_->port(); }
  std::vector<std::string> heard;

 private:
  io::Task<void> serve(std::unique_ptr<Stream> stream) {
    std::string read;
    bool in_data = false;
    for (size_t next = 0;;) {
      // An empty reply: the server says nothing, a newline alone: it closes.
      if (next < replies_.size() && !in_data) {
        const std::string& reply = replies_[next];
        if (reply == "\n") co_return;
        (void)co_await stream->write_all(reply);
        in_data = reply.starts_with("354");
        ++next;
      }
      size_t end;
      while ((end = read.find("\r\n")) == std::string::npos) {
        char bytes[512];
        auto count = co_await stream->read_some(bytes, sizeof bytes);
        if (!count || *count == 0) co_return;
        read.append(bytes, *count);
      }
      const std::string line = read.substr(0, end);
      read.erase(0, end + 2);
      if (in_data && line != ".") continue;
      in_data = false;
      heard.push_back(line);
    }
  }

  std::vector<std::string> replies_;
  std::unique_ptr<Listener> listener_;
  io::TaskScope tasks_;
};

Result<void> send_to(io::RealLoop& loop, ScriptedServer& server, const std::string& user = "") {
  SmtpServer at{"127.0.0.1", server.port(), nullptr, user, user.empty() ? "" : "secret"};
  const Mail mail{"a@b", {"x@y"}, "s", "id", 0, "text"};
  std::optional<Result<void>> sent;
  io::TaskScope scope;
  scope.spawn([](io::RealLoop& on, SmtpServer to, Mail letter, auto& out) -> io::Task<void> {
    out = co_await send_mail(on, std::move(to), std::move(letter), 500);
  }(loop, at, mail, sent));
  for (int i = 0; i < 1'000 && !sent; ++i) loop.run_for(10);
  return *sent;
}

TEST(Smtp, AMailGoesThroughTheDialogue) {
  io::RealLoop loop;
  ScriptedServer server(loop,
                        {"220-hello\r\n220 there\r\n", "250-x\r\n250 AUTH PLAIN\r\n", "235 ok\r\n",
                         "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 taken\r\n", "221 bye\r\n"});
  const auto sent = send_to(loop, server, "user");
  ASSERT_TRUE(sent) << sent.error().message();
  EXPECT_EQ(server.heard, (std::vector<std::string>{
                              "EHLO skerry.invalid",
                              "AUTH PLAIN " + base64_encode(std::string("\0user\0secret", 12)),
                              "MAIL FROM:<a@b>", "RCPT TO:<x@y>", "DATA", ".", "QUIT"}));
}

TEST(Smtp, RefusalsSayWhatAndWhy) {
  io::RealLoop loop;
  ScriptedServer later(loop,
                       {"220 x\r\n", "250 x\r\n", "250 ok\r\n", "450-full\r\n450 try later\r\n"});
  const auto busy = send_to(loop, later);
  EXPECT_EQ(busy.error().code(), Code::kUnavailable);
  EXPECT_NE(busy.error().message().find("the recipient x@y: 450-full 450 try later"),
            std::string::npos)
      << busy.error().message();
  ScriptedServer never(loop, {"220 x\r\n", "250 x\r\n", "535 wrong\r\n"});
  const auto wrong = send_to(loop, never, "user");
  EXPECT_EQ(wrong.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(wrong.error().message().find("secret"), std::string::npos);
}

TEST(Smtp, ServersThatCloseSayNothingOrTooMuchEndTheDialogue) {
  io::RealLoop loop;
  ScriptedServer closes(loop, {"220 x\r\n", "\n"});
  EXPECT_EQ(send_to(loop, closes).error().code(), Code::kUnavailable);
  ScriptedServer talks(loop, {"220-" + std::string(40'000, 'x')});
  EXPECT_EQ(send_to(loop, talks).error().code(), Code::kUnavailable);
  ScriptedServer silent(loop, {""});
  EXPECT_EQ(send_to(loop, silent).error().code(), Code::kTimeout);
}

}  // namespace
}  // namespace skerry::net
