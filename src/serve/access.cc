// From a request to the rule that holds for it, and what is left of its limits.
#include "serve/access.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/sha256.h"
#include "serve/http_api.h"

namespace skerry::serve {
namespace {

constexpr size_t kMaxSources = 4096;  // whose limits are counted apart; further ones share

// "Bearer TOKEN" → TOKEN; nothing where the header is missing or says something else.
std::string_view bearer_token(const net::HttpRequest& request) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view text = request.headers.get("Authorization");
  if (text.size() <= kScheme.size()) return {};
  const bool is_bearer =
      std::ranges::equal(text.substr(0, kScheme.size()), kScheme,
                         [](char a, char b) { return (a | 0x20) == (b | 0x20); });
  return is_bearer ? text.substr(kScheme.size()) : std::string_view();
}

// The address in `Forwarded: for="…"` (RFC 7239), as a gateway of ours writes it.
std::string_view forwarded_for(const net::HttpRequest& request) {
  constexpr std::string_view kBegin = "for=\"";
  const std::string_view text = request.headers.get("Forwarded");
  if (!text.starts_with(kBegin)) return {};
  const std::string_view rest = text.substr(kBegin.size());
  return rest.substr(0, rest.find('"'));
}

AccessRule owner_rule() {
  return {.name = "owner", .rights = Rights::all()};
}

AccessRule tcp_rule(bool may_change) {
  AccessRule rule{.name = "anonymous"};
  for (const Right right : {Right::kRead, Right::kInfer, Right::kMetrics, Right::kSharedMemory}) {
    rule.rights.add(right);
  }
  if (!may_change) return rule;
  rule.rights.add(Right::kRepository);
  rule.rights.add(Right::kSettings);
  return rule;
}

// Why nobody may do it over TCP where there are no rules.
std::string by_socket_only(Right right) {
  if (right == Right::kRuntimes) return "runtimes are managed through the Unix socket alone";
  return fmt::format(
      "{} through the Unix socket; start skerry-infer with --repository-over-tcp to "
      "allow it here",
      right == Right::kSettings ? "settings are changed" : "models are loaded and unloaded");
}

}  // namespace

double Allowance::tokens_at(int64_t now_ms) const {
  return std::min(limit_.burst, tokens_ + static_cast<double>(now_ms - filled_ms_) *
                                              limit_.requests_per_s / 1000);
}

int64_t Allowance::take(int64_t now_ms) {
  if (limit_.concurrent > 0 && running_ >= limit_.concurrent) return 1;
  if (limit_.requests_per_s > 0) {
    const double tokens = tokens_at(now_ms);
    if (tokens < 1) {
      return std::max<int64_t>(
          1, static_cast<int64_t>(std::ceil((1 - tokens) / limit_.requests_per_s)));
    }
    tokens_ = tokens - 1;
    filled_ms_ = now_ms;
  }
  ++running_;
  return 0;
}

bool Allowance::is_untouched(int64_t now_ms) const {
  return running_ == 0 && tokens_at(now_ms) >= limit_.burst;
}

Access::Access(io::Clock& clock, bool repository_over_tcp)
    : clock_(clock),
      owner_(client_of(owner_rule())),
      anonymous_(client_of(tcp_rule(repository_over_tcp))) {}

Access::Client Access::client_of(AccessRule rule) {
  Client client;
  if (rule.limit.is_set()) {
    client.allowance = std::make_shared<Allowance>(rule.limit, clock_.monotonic_ms());
  }
  client.rule = std::make_shared<const AccessRule>(std::move(rule));
  return client;
}

void Access::set_rules(AccessRules rules) {
  has_rules_ = true;
  clients_.clear();
  for (AccessRule& rule : rules.clients) clients_.push_back(client_of(std::move(rule)));
  tokens_ = std::move(rules.tokens);
  users_ = std::move(rules.users);
  anonymous_ = client_of(std::move(rules.anonymous));
  anonymous_allowances_.clear();
}

const Access::Client* Access::of_peer(const net::Peer& peer) const {
  if (peer.address != "unix") return &anonymous_;
  if (const auto found = users_.find(peer.uid); found != users_.end()) {
    return &clients_[found->second];
  }
  const bool is_owner = peer.uid == 0 || peer.uid == static_cast<int64_t>(::geteuid());
  return !has_rules_ || is_owner ? &owner_ : &anonymous_;
}

std::expected<const Access::Client*, net::HttpResponse> Access::identify(
    net::HttpRequest& request) {
  const Client* client = of_peer(request.peer);
  // Who speaks for others has none of its own rights meanwhile: they are strangers.
  const std::string_view other = forwarded_for(request);
  if (!other.empty() && request.peer.address == "unix" &&
      client->rule->rights.has(Right::kForward)) {
    request.peer = net::Peer{.address = std::string(other), .source = std::string(other)};
    client = &anonymous_;
  }
  const std::string_view token = bearer_token(request);
  if (token.empty() || !has_rules_) return client;
  if (const auto found = tokens_.find(sha256(token)); found != tokens_.end()) {
    return &clients_[found->second];
  }
  ++refusals_.unauthenticated;
  log_limit_.write(log::Level::kWarn, "access", "a token that nobody has",
                   {{"source", request.peer.source}});
  net::HttpResponse response = error_response(401, "the token is not one of this server's");
  response.headers.add("WWW-Authenticate", "Bearer error=\"invalid_token\"");
  return std::unexpected(std::move(response));
}

net::HttpResponse Access::deny(const net::HttpRequest& request, const Client& client, Right right,
                               std::string_view model) {
  if (!has_rules_) {
    ++refusals_.denied;
    return error_response(Error(Code::kPermissionDenied, by_socket_only(right)));
  }
  log_limit_.write(log::Level::kWarn, "access", "refused",
                   {{"client", client.rule->name},
                    {"source", request.peer.source},
                    {"right", std::string(right_name(right))},
                    {"model", std::string(model)}});
  if (&client == &anonymous_) {
    ++refusals_.unauthenticated;
    net::HttpResponse response = error_response(
        401,
        fmt::format("'{}' needs a token: send Authorization: Bearer TOKEN", right_name(right)));
    response.headers.add("WWW-Authenticate", "Bearer");
    return response;
  }
  ++refusals_.denied;
  std::string what = fmt::format("do what needs '{}'", right_name(right));
  if (client.rule->rights.has(right)) {
    what = model.empty() ? "see what is of all models" : fmt::format("use model '{}'", model);
  }
  return error_response(
      Error(Code::kPermissionDenied, fmt::format("'{}' may not {}", client.rule->name, what)));
}

std::shared_ptr<Allowance> Access::allowance_of(const Client& client, const std::string& source) {
  if (&client != &anonymous_ || !client.allowance) return client.allowance;
  if (const auto found = anonymous_allowances_.find(source); found != anonymous_allowances_.end()) {
    return found->second;
  }
  const int64_t now_ms = clock_.monotonic_ms();
  if (anonymous_allowances_.size() >= kMaxSources) {
    std::erase_if(anonymous_allowances_,
                  [now_ms](const auto& each) { return each.second->is_untouched(now_ms); });
  }
  if (anonymous_allowances_.size() >= kMaxSources) return client.allowance;
  auto made = std::make_shared<Allowance>(client.rule->limit, now_ms);
  anonymous_allowances_.emplace(source, made);
  return made;
}

std::expected<Grant, net::HttpResponse> Access::admit(net::HttpRequest& request, Right right,
                                                      std::string_view model) {
  if (right == Right::kHealth) return Grant();
  auto identified = identify(request);
  if (!identified) return std::unexpected(std::move(identified.error()));
  const Client& client = **identified;
  // What is about all models is for who may use all, but for lists, which are cut.
  const bool about_all = right == Right::kMetrics && !client.rule->models.empty();
  if (!client.rule->rights.has(right) || about_all ||
      (!model.empty() && !client.rule->may_use(model))) {
    return std::unexpected(deny(request, client, right, model));
  }
  auto allowance = allowance_of(client, request.peer.source);
  const int64_t wait_s = allowance ? allowance->take(clock_.monotonic_ms()) : 0;
  if (wait_s > 0) {
    ++refusals_.limited;
    net::HttpResponse response = error_response(
        429,
        fmt::format("'{}' asks more than it may: try again in {} s", client.rule->name, wait_s));
    response.headers.add("Skerry-Error", std::string(code_name(Code::kResourceExhausted)));
    response.headers.add("Retry-After", std::to_string(wait_s));
    return std::unexpected(std::move(response));
  }
  return Grant(client.rule->models.empty() ? nullptr : client.rule, std::move(allowance));
}

std::string to_prometheus(const Refusals& refusals) {
  return fmt::format(
      "# HELP skerry_refused_requests_total Requests that access rules and rate limits refused.\n"
      "# TYPE skerry_refused_requests_total counter\n"
      "skerry_refused_requests_total{{cause=\"unauthenticated\"}} {}\n"
      "skerry_refused_requests_total{{cause=\"denied\"}} {}\n"
      "skerry_refused_requests_total{{cause=\"limited\"}} {}\n",
      refusals.unauthenticated, refusals.denied, refusals.limited);
}

}  // namespace skerry::serve
