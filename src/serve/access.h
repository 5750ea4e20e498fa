// Whether a request is admitted: who sends it, what that one may do, and how much of it is enough.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log_limit.h"
#include "io/clock.h"
#include "net/http.h"
#include "serve/access_rules.h"

namespace skerry::serve {

// What a client has left of its limits.
class Allowance {
 public:
  Allowance(const RateLimit& limit, int64_t now_ms)
      : limit_(limit), tokens_(limit.burst), filled_ms_(now_ms) {}

  // Takes one request's part; 0, or the seconds after which to try again.
  int64_t take(int64_t now_ms);
  void give_back() { --running_; }
  // Whether forgetting it would change nothing.
  bool is_untouched(int64_t now_ms) const;

 private:
  double tokens_at(int64_t now_ms) const;

  RateLimit limit_;
  double tokens_;
  int64_t filled_ms_;
  uint32_t running_ = 0;
};

// A request that was admitted. It counts as running for as long as this lives.
class Grant {
 public:
  Grant() = default;
  Grant(std::shared_ptr<const AccessRule> rule, std::shared_ptr<Allowance> allowance)
      : rule_(std::move(rule)), allowance_(std::move(allowance)) {}
  Grant(Grant&&) noexcept = default;
  Grant& operator=(Grant&& other) noexcept {
    std::swap(rule_, other.rule_);
    std::swap(allowance_, other.allowance_);
    return *this;
  }
  ~Grant() {
    if (allowance_) allowance_->give_back();
  }

  // For answers about all models: whether this one is for the client to see.
  bool may_use(std::string_view model) const { return !rule_ || rule_->may_use(model); }

 private:
  std::shared_ptr<const AccessRule> rule_;  // null: may use all models
  std::shared_ptr<Allowance> allowance_;    // shared: rules may be replaced meanwhile
};

struct Refusals {
  uint64_t unauthenticated = 0;
  uint64_t denied = 0;
  uint64_t limited = 0;
};

// Belongs to the loop's thread. Until rules are set, what can open the Unix socket may do
// everything, and what comes by TCP may not change the server.
class Access {
 public:
  Access(io::Clock& clock, bool repository_over_tcp);

  // From here on only what they allow is; but whoever runs as the server's own user, or as root,
  // may do everything through the Unix socket unless the rules name that user. Limits begin anew.
  void set_rules(AccessRules rules);

  // `model`: "" where the request is not about one. A refusal is 401, 403 or 429 with its headers.
  // Makes `request.peer` the one for whom a gateway speaks.
  std::expected<Grant, net::HttpResponse> admit(net::HttpRequest& request, Right right,
                                                std::string_view model);

  const Refusals& refusals() const { return refusals_; }

 private:
  struct Client {
    std::shared_ptr<const AccessRule> rule;
    std::shared_ptr<Allowance> allowance;  // null: no limit
  };

  std::expected<const Client*, net::HttpResponse> identify(net::HttpRequest& request);
  const Client* of_peer(const net::Peer& peer) const;
  std::shared_ptr<Allowance> allowance_of(const Client& client, const std::string& source);
  net::HttpResponse deny(const net::HttpRequest& request, const Client& client, Right right,
                         std::string_view model);
  Client client_of(AccessRule rule);

  io::Clock& clock_;
  bool has_rules_ = false;
  std::vector<Client> clients_;
  std::map<std::string, size_t, std::less<>> tokens_;
  std::map<int64_t, size_t> users_;
  Client owner_;  // through the Unix socket, as the server's own user or root
  Client anonymous_;
  std::unordered_map<std::string, std::shared_ptr<Allowance>> anonymous_allowances_;  // by source
  Refusals refusals_;
  log::Limit log_limit_;
};

// In Prometheus's text format.
std::string to_prometheus(const Refusals& refusals);

}  // namespace skerry::serve
