// Inferences through shared memory, for clients on this machine: a connection to the Unix socket
// becomes a ring (docs/data/ring.md), and what is asked there goes the way of all inferences.
//
// Who waits: after an answer the server looks for the next request for some time before it sleeps,
// where that has paid before. Between two looks the loop does what else there is.
#pragma once

#include <cstdint>
#include <expected>
#include <list>
#include <memory>
#include <string>

#include "io/loop.h"
#include "io/pool.h"
#include "io/task.h"
#include "net/http.h"
#include "serve/access.h"
#include "serve/model_repository.h"
#include "serve/request_record.h"
#include "serve/ring_memory.h"
#include "serve/scheduler.h"

namespace skerry::serve {

// When it pays to look for the next request instead of sleeping. A wait in vain is not repeated at
// once, several of them ever more seldom.
class SpinRule {
 public:
  // After an answer. `can_pay`: a client can run while this thread looks.
  void answered(int64_t now_ns, bool can_pay);
  // A request has come.
  void found();
  // Whether to look again; otherwise to sleep.
  bool goes_on(int64_t now_ns);

 private:
  static constexpr int64_t kSpinNs = 50'000;  // some times what waking up costs
  static constexpr uint32_t kMaxPenalty = 1023;

  int64_t until_ns_ = 0;  // 0: it does not look
  uint32_t penalty_ = 0;
  uint32_t skip_ = 0;  // so many answers without looking
};

// Belongs to the loop's thread.
class Rings {
 public:
  struct Parts {  // all outlive it
    io::Loop& loop;
    io::Pool& codec;  // large tensors are copied there
    ModelRepository& repository;
    Scheduler& scheduler;
    Access& access;
    const Ledger& ledger;
  };
  // `max_bytes`: of all rings together; those of one user have half of it.
  Rings(const Parts& parts, uint64_t max_bytes) : parts_(parts), max_bytes_(max_bytes) {}
  ~Rings();

  // Makes a ring of the connection that `request` came by, which may ask models already: the
  // answer's take_over. Who asks is what the request says for as long as the connection lasts;
  // what that one may do, and how often, is looked up for each inference.
  Result<net::HttpResponse> open(const net::HttpRequest& request);

  // Answers what is under way, then ends; requests that come meanwhile are refused.
  void stop();
  size_t size() const { return sessions_.size(); }

 private:
  struct Session;
  using SessionPtr = std::unique_ptr<Session>;
  using Answered = std::expected<void, RingRefusal>;

  io::Task<void> serve(SessionPtr session);
  bool look(Session& session);
  io::Task<void> answer(Session& session, size_t slot, Result<std::string> head);
  io::Task<Answered> ask(Session& session, size_t slot, std::string head);
  template <class Work>
  auto where_it_fits(uint64_t bytes, Work work) -> io::Task<decltype(work())>;
  Result<void> check_room(const std::string& source, uint64_t bytes) const;

  Parts parts_;
  uint64_t max_bytes_;
  bool stopping_ = false;
  std::list<Session*> sessions_;
  io::TaskScope tasks_;
};

}  // namespace skerry::serve
