// Reading a token, and a client that sends it.
#include "net/bearer_token.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "io/files.h"

namespace skerry::net {
namespace {

constexpr uint64_t kMaxTokenBytes = 8 << 10;  // what a header's line may hold

// Another text for another content: tokens are replaced, not written into while they are read.
std::string version_of(const std::string& file) {
  struct stat found = {};
  if (::stat(file.c_str(), &found) != 0) return "";
  std::string version;
  for (const auto part :
       {static_cast<uint64_t>(found.st_dev), static_cast<uint64_t>(found.st_ino),
        static_cast<uint64_t>(found.st_size), static_cast<uint64_t>(found.st_mtim.tv_sec),
        static_cast<uint64_t>(found.st_mtim.tv_nsec)}) {
    version += std::to_string(part) + " ";
  }
  return version;
}

Result<std::string> checked(std::string token, const std::string& origin) {
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  const bool is_token =
      !token.empty() && std::ranges::all_of(token, [](char c) { return c > ' ' && c < '\x7f'; });
  if (is_token) return token;
  return fail(Code::kInvalidArgument,
              origin + " holds no token: it is one line of printable ASCII without blanks");
}

Result<std::string> read_token(const std::string& file) {
  io::RealFiles files;
  auto text = io::read_file(files, file, kMaxTokenBytes);
  if (!text) return fail(text.error().with_context("the token"));
  return checked(std::move(*text), file);
}

class TokenClient : public HttpClient {
 public:
  TokenClient(std::unique_ptr<HttpClient> http, BearerToken token)
      : http_(std::move(http)), token_(std::move(token)) {}

  io::Task<Result<HttpResponse>> fetch(std::string url, HttpRequest request,
                                       FetchOptions options) override {
    token_.authorize(request);
    return http_->fetch(std::move(url), std::move(request), std::move(options));
  }

 private:
  std::unique_ptr<HttpClient> http_;
  BearerToken token_;
};

}  // namespace

Result<BearerToken> BearerToken::open(const std::string& file, const char* variable) {
  BearerToken opened;
  if (file.empty()) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') return opened;
    SKERRY_ASSIGN(opened.token_, checked(value, variable));
    return opened;
  }
  opened.file_ = file;
  opened.version_ = version_of(file);
  SKERRY_ASSIGN(opened.token_, read_token(file));
  return opened;
}

void BearerToken::authorize(HttpRequest& request) {
  if (!file_.empty()) {
    std::string version = version_of(file_);
    if (version != version_) {
      if (auto token = read_token(file_)) {
        token_ = std::move(*token);
        version_ = std::move(version);
      }
    }
  }
  if (!token_.empty()) request.headers.set("Authorization", "Bearer " + token_);
}

std::unique_ptr<HttpClient> with_token(std::unique_ptr<HttpClient> http, BearerToken token) {
  return std::make_unique<TokenClient>(std::move(http), std::move(token));
}

}  // namespace skerry::net
