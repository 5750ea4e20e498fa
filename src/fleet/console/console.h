// The console at /console: its files, the session of an operator, and the API as the operator may
// use it. Nothing it serves loads anything from elsewhere.
//
//   GET    /console/…                   files
//   POST   /console/session             {"name", "password"} → a cookie, and {"name", "role",
//   "csrf"} GET    /console/session             who is logged in, the same DELETE /console/session
//   logs out GET    /console/events              server-sent events (events.h) ANY
//   /console/api/SERVICE/PATH    an operation of the API, with the operator's role
//
// What changes something needs the header X-CSRF-Token with the session's "csrf".
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "fleet/aws/router.h"
#include "fleet/console/events.h"
#include "fleet/console/login.h"
#include "io/env.h"
#include "net/http.h"

namespace skerry::fleet {

class Console {
 public:
  struct Options {
    std::string files;    // "": where the program is installed (find_console_files)
    bool secure = false;  // over TLS: so is the cookie
  };
  Console(io::Env& env, StorePool& stores, aws::Router& router, Options options);

  static bool is_for(std::string_view target);
  // For HttpServer: what another site made a browser send, or what is too large, is not read.
  std::expected<net::BodyRoute, net::HttpResponse> route_body(const net::HttpRequest& head) const;
  io::Task<net::HttpResponse> handle(net::HttpRequest request);

 private:
  io::Task<bool> is_open(std::string token);
  net::HttpResponse file(std::string_view path) const;
  io::Task<net::HttpResponse> answer(net::HttpRequest request);
  io::Task<net::HttpResponse> log_in(const net::HttpRequest& request);
  io::Task<net::HttpResponse> log_out(const net::HttpRequest& request);
  io::Task<net::HttpResponse> call(net::HttpRequest request);
  std::string cookie(const std::string& token, int64_t life_s) const;

  io::Env& env_;
  aws::Router& router_;
  const Options options_;
  ConsoleLogin login_;
  ConsoleEvents events_;
};

// The console's files beside this program: ../share/skerry/console; "" where there are none.
std::string find_console_files(io::Files& files);

}  // namespace skerry::fleet
