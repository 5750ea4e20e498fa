// Server-sent events for open consoles: which kinds of things changed, at most once a second.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "fleet/store_pool.h"
#include "io/env.h"
#include "net/http.h"

namespace skerry::fleet {

class ConsoleEvents : public EffectListener {
 public:
  ConsoleEvents(io::Env& env, StorePool& stores);
  ~ConsoleEvents() override;

  // An endless body of text/event-stream: `data: {"changed": ["devices", "deployments"]}`, and a
  // comment now and then, which keeps the connection. It ends where `may_hear`, asked before each
  // of them, says no.
  using Permission = std::function<io::Task<bool>()>;
  std::shared_ptr<net::BodySource> open(Permission may_hear);
  void committed(const Effects& effects) override;

 private:
  class Stream;
  struct Counts {
    uint64_t devices = 0;
    uint64_t deployments = 0;
    bool operator==(const Counts&) const = default;
  };
  io::Env& env_;
  StorePool& stores_;
  std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();  // streams may outlive us
};

}  // namespace skerry::fleet
