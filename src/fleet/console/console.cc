// Files, cookies and forgery checks; the operations themselves are the router's.
#include "fleet/console/console.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "fleet/broker.h"
#include "formats/json_ptr.h"
#include "io/files.h"

namespace skerry::fleet {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using nlohmann::json;

constexpr std::string_view kPrefix = "/console";
constexpr std::string_view kApi = "/console/api/";
constexpr std::string_view kCookie = "skerry_session";
constexpr uint64_t kMostBodyBytes = 1 << 20;
// Own scripts and styles only, no frame around us, no form that leaves.
constexpr const char* kPolicy =
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'; "
    "base-uri 'none'; object-src 'none'";

constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".woff2", "font/woff2"},
    {".png", "image/png"}};

HttpResponse refusal(int status, std::string_view message) {
  return net::json_response(status, json{{"message", message}}.dump());
}

HttpResponse refusal(const Error& error) {
  switch (error.code()) {
    case Code::kPermissionDenied:
      return refusal(401, error.message());
    case Code::kResourceExhausted:
      return refusal(429, error.message());
    case Code::kUnavailable:
      return refusal(503, error.message());
    default:
      return refusal(500, "the control plane could not do this; its log says why");
  }
}

std::string token_of(const HttpRequest& request) {
  std::string_view cookies = request.headers.get("Cookie");
  while (!cookies.empty()) {
    std::string_view one = cookies.substr(0, cookies.find(';'));
    cookies.remove_prefix(std::min(cookies.size(), one.size() + 1));
    one.remove_prefix(std::min(one.size(), one.find_first_not_of(' ')));
    if (one.starts_with(kCookie) && one.substr(kCookie.size()).starts_with('=')) {
      return std::string(one.substr(kCookie.size() + 1));
    }
  }
  return {};
}

// A page of another site that makes a browser ask us. Browsers say where a request comes from.
bool is_from_elsewhere(const HttpRequest& request) {
  std::string_view origin = request.headers.get("Origin");
  if (origin.empty()) return false;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme))
      return origin.substr(scheme.size()) != request.headers.get("Host");
  }
  return true;
}

bool is_json(const HttpRequest& request) {
  const std::string_view type = request.headers.get("Content-Type");
  return type.substr(0, type.find(';')) == "application/json";
}

bool changes_something(const HttpRequest& request) {
  return net::routed_method(request) != "GET";
}

json described(const OpenSession& session) {
  return {{"name", session.who.name},
          {"role", std::string(to_string(session.who.role))},
          {"csrf", session.csrf_token}};
}

bool is_plain_file_name(std::string_view path) {
  return std::ranges::all_of(path,
                             [](char c) {
                               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                      (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
                                      c == '/';
                             }) &&
         path.find("..") == std::string_view::npos;
}

std::string_view path_of(const HttpRequest& request) {
  return net::split_target(request.target).first;
}

}  // namespace

std::string find_console_files(io::Files& files) {
  const std::string directory = directory_of_this_program() + "/../share/skerry/console";
  return io::exists(files, directory + "/index.html") ? directory : "";
}

Console::Console(io::Env& env, StorePool& stores, aws::Router& router, Options options)
    : env_(env),
      router_(router),
      options_(std::move(options)),
      login_(env, stores),
      events_(env, stores) {}

bool Console::is_for(std::string_view target) {
  const std::string_view path = net::split_target(target).first;
  return path == kPrefix || (path.starts_with(kPrefix) && path[kPrefix.size()] == '/');
}

std::expected<net::BodyRoute, HttpResponse> Console::route_body(const HttpRequest& head) const {
  if (is_from_elsewhere(head)) {
    return std::unexpected(refusal(403, "this request comes from another site"));
  }
  const std::string_view length = head.headers.get("Content-Length");
  uint64_t bytes = 0;
  std::from_chars(length.data(), length.data() + length.size(), bytes);
  if (bytes > kMostBodyBytes)
    return std::unexpected(
        refusal(413, "the console takes at most 1 MiB: use the command line for more"));
  return net::BodyRoute{.sink = nullptr, .max_bytes = kMostBodyBytes};  // of one in chunks, too
}

io::Task<HttpResponse> Console::handle(HttpRequest request) {
  HttpResponse response = co_await answer(std::move(request));
  response.headers.set("Content-Security-Policy", kPolicy);
  response.headers.set("X-Content-Type-Options", "nosniff");
  response.headers.set("Referrer-Policy", "no-referrer");
  response.headers.set("Cross-Origin-Opener-Policy", "same-origin");
  response.headers.set("Cross-Origin-Resource-Policy", "same-origin");
  if (!response.headers.has("Cache-Control")) response.headers.set("Cache-Control", "no-store");
  co_return response;
}

io::Task<HttpResponse> Console::answer(HttpRequest request) {
  const std::string path(path_of(request));
  const std::string method(net::routed_method(request));
  if (path == "/console/session") {
    if (method == "POST") co_return co_await log_in(request);
    if (method == "DELETE") co_return co_await log_out(request);
    if (method != "GET") co_return refusal(405, "POST, GET and DELETE");
    auto session = co_await login_.find(token_of(request));
    if (!session) co_return refusal(session.error());
    co_return net::json_response(200, described(*session).dump());
  }
  if (path == "/console/events") {
    auto session = co_await login_.find(token_of(request));
    if (!session) co_return refusal(session.error());
    HttpResponse response;
    response.headers.set("Content-Type", "text/event-stream");
    response.stream = events_.open([this, token = session->token]() { return is_open(token); });
    co_return response;
  }
  if (path.starts_with(kApi)) co_return co_await call(std::move(request));
  if (method != "GET") co_return refusal(405, "files can only be read");
  co_return file(path);
}

io::Task<bool> Console::is_open(std::string token) {
  const auto session = co_await login_.find(std::move(token));
  co_return session.has_value();
}

HttpResponse Console::file(std::string_view path) const {
  if (options_.files.empty()) {
    return net::text_response(404,
                              "The console is not installed beside this program: ./dev setup and "
                              "./dev build make it, in share/skerry/console.\n");
  }
  if (path == kPrefix) {
    HttpResponse response = net::text_response(308, "");
    response.headers.set("Location", "/console/");
    return response;
  }
  path.remove_prefix(kPrefix.size());
  if (path == "/") path = "/index.html";
  const std::string name = options_.files + std::string(path);
  if (!is_plain_file_name(path)) return net::text_response(404, "no such file\n");
  const auto info = env_.files.stat(name);
  if (!info || !info->is_regular) return net::text_response(404, "no such file\n");
  HttpResponse response;
  response.file_path = name;
  response.file_size = info->size_bytes;
  for (const auto& [ending, type] : kTypes) {
    if (path.ends_with(ending)) response.headers.set("Content-Type", std::string(type));
  }
  // Names of assets change with their content.
  if (path.starts_with("/assets/")) {
    response.headers.set("Cache-Control", "public, max-age=31536000, immutable");
  }
  return response;
}

std::string Console::cookie(const std::string& token, int64_t life_s) const {
  return fmt::format("{}={}; Path=/console; HttpOnly; SameSite=Strict; Max-Age={}{}", kCookie,
                     token, life_s, options_.secure ? "; Secure" : "");
}

io::Task<HttpResponse> Console::log_in(const HttpRequest& request) {
  if (!is_json(request)) co_return refusal(415, "Content-Type must be application/json");
  auto body = formats::parse_json(request.body, {.size_bytes = 4096, .depth = 4});
  const auto text = [&](const char* name) -> std::string {
    if (!body || !body->is_object() || !body->contains(name)) return {};
    const json& value = (*body)[name];
    return value.is_string() ? value.get<std::string>() : std::string();
  };
  const std::string name = text("name"), password = text("password");
  if (name.empty() || password.empty()) {
    co_return refusal(400, "name and password are needed, each a text");
  }
  auto session = co_await login_.log_in(name, password, request.peer.source);
  if (!session) co_return refusal(session.error());
  HttpResponse response = net::json_response(200, described(*session).dump());
  response.headers.add("Set-Cookie", cookie(session->token, ConsoleLogin::kSessionMs / 1000));
  co_return response;
}

io::Task<HttpResponse> Console::log_out(const HttpRequest& request) {
  auto session = co_await login_.find(token_of(request));
  if (session && !equals_secretly(request.headers.get("X-CSRF-Token"), session->csrf_token)) {
    co_return refusal(403, "X-CSRF-Token is not the session's");
  }
  if (session) {
    auto ended = co_await login_.log_out(session->token, request.peer.source);
    if (!ended) co_return refusal(ended.error());
  }
  HttpResponse response = net::json_response(200, "{}");
  response.headers.add("Set-Cookie", cookie("", 0));
  co_return response;
}

// /console/api/SERVICE/PATH is PATH of SERVICE.
io::Task<HttpResponse> Console::call(HttpRequest request) {
  auto session = co_await login_.find(token_of(request));
  if (!session) co_return refusal(session.error());
  if (changes_something(request)) {
    if (!equals_secretly(request.headers.get("X-CSRF-Token"), session->csrf_token)) {
      co_return refusal(403, "X-CSRF-Token is not the session's: load the page again");
    }
    if (!request.body.empty() && !is_json(request)) {
      co_return refusal(415, "Content-Type must be application/json");
    }
  }
  std::string rest = request.target.substr(kApi.size());
  const size_t slash = rest.find('/');
  if (slash == std::string::npos) co_return refusal(404, "no such operation");
  const std::string service = rest.substr(0, slash);
  request.target = rest.substr(slash);
  co_return co_await router_.handle_for(session->who, service, std::move(request));
}

}  // namespace skerry::fleet
