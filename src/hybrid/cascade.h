// Models in tiers behind one name: the smallest answers, and where it is not sure the next one is
// asked, if it may be and is there. Tiers are models of Open Inference Protocol servers: of this
// machine's skerry-infer, of a gateway, of anybody's. Belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hybrid/budget.h"
#include "hybrid/cascade_config.h"
#include "io/env.h"
#include "io/task.h"
#include "net/bearer_token.h"
#include "net/http_client.h"

namespace skerry::hybrid {

// Why a bigger tier was not asked, or did not answer, though a smaller one was not sure.
enum class Fallback { kNone, kBudget, kBreaker, kOffline };
std::string_view name_of(Fallback fallback);

struct TierCounts {
  uint64_t asked = 0, failed = 0;
  uint64_t answered = 0;                          // whose answer the caller got
  uint64_t shadowed = 0, shadow_agreed = 0;       // sure answers compared with the next tier's
  uint64_t budget = 0, breaker = 0, offline = 0;  // times it could not be asked
};

class Cascade {
 public:
  // All references outlive it. Fails where a tier's token cannot be read.
  static Result<std::unique_ptr<Cascade>> make(io::Env& env, net::HttpClient& http,
                                               CascadeConfig config);

  // Answers one inference request, whose body is forwarded as it is. The answer is the tier's own,
  // under this model's name, with the parameters tier, confidence, escalated and fallback.
  io::Task<net::HttpResponse> infer(net::HttpRequest request);
  // /v2 of the protocol, as far as a model of this kind has it: health, metadata, infer, and
  // /v2/models/NAME/cascade: what it has done.
  io::Task<net::HttpResponse> handle(net::HttpRequest request);

  const std::vector<TierCounts>& counts() const { return counts_; }
  std::string statistics() const;  // JSON

 private:
  Cascade(io::Env& env, net::HttpClient& http, CascadeConfig config)
      : env_(env), http_(http), config_(std::move(config)), counts_(config_.tiers.size()) {}

  struct Tier {
    TierConfig config;
    net::BearerToken token;
    TokenBucket budget;
    CircuitBreaker breaker;
  };
  struct Answer {
    net::HttpResponse response;
    std::string body;  // its JSON
    double confidence = 0;
    std::vector<size_t> winners;  // of each row
    bool sure = false;
  };
  struct Asked {
    Fallback fallback = Fallback::kNone;
    std::optional<Answer> answer;
    std::optional<net::HttpResponse> refusal;  // the caller's fault: of no use to ask others
  };
  io::Task<Asked> ask(size_t tier, const net::HttpRequest& request);
  Result<Answer> judge(const Tier& tier, net::HttpResponse response) const;
  net::HttpResponse finish(const Answer& answer, size_t tier, bool escalated, Fallback fallback);
  io::Task<void> shadow(size_t tier, net::HttpRequest request, std::vector<size_t> winners);
  bool is_shadowed();

  io::Env& env_;
  net::HttpClient& http_;
  const CascadeConfig config_;
  std::vector<Tier> tiers_;
  std::vector<TierCounts> counts_;
  uint64_t requests_ = 0, escalated_ = 0;
  io::TaskScope shadows_;
};

}  // namespace skerry::hybrid
