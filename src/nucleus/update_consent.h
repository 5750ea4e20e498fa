// What components may say about a deployment before it touches them: whether their new
// configuration is good (SubscribeToValidateConfigurationUpdates), and whether now is a good time
// (SubscribeToComponentUpdates). Between the deployment engine and the IPC operations. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/named_type.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/task.h"

namespace skerry::nucleus {

class UpdateConsent {
 public:
  UpdateConsent(io::Loop& loop, io::Clock& clock) : loop_(loop), clock_(clock) {}
  UpdateConsent(const UpdateConsent&) = delete;
  UpdateConsent& operator=(const UpdateConsent&) = delete;

  // --- Components
  // ---------------------------------------------------------------------------------

  enum class Topic { kUpdates, kValidation };
  using Send = std::function<void(const std::string& event_json)>;
  // Destroying it stops the events. Must not outlive the consent.
  class [[nodiscard]] Subscription {
   public:
    Subscription(Subscription&& other) noexcept
        : consent_(std::exchange(other.consent_, nullptr)), id_(other.id_) {}
    Subscription& operator=(Subscription&&) = delete;
    ~Subscription() {
      if (consent_) consent_->unsubscribe(id_);
    }

   private:
    friend class UpdateConsent;
    Subscription(UpdateConsent* consent, uint64_t id) : consent_(consent), id_(id) {}
    UpdateConsent* consent_;
    uint64_t id_;
  };
  Subscription subscribe(Topic topic, ComponentName component, Send send);
  // In answer to a question: go on (0), or ask again after `recheck_ms`. kFailedPrecondition where
  // the component was not asked, or too long ago.
  Result<void> defer(const ComponentName& component, const std::string& deployment,
                     int64_t recheck_ms, const std::string& why);
  // In answer to validate(); nothing: it is good. kFailedPrecondition as above.
  Result<void> report(const ComponentName& component, const std::string& deployment,
                      std::optional<std::string> rejection);

  // --- The deployment engine; one call at a time
  // --------------------------------------------------

  // Component → its whole new configuration as JSON. Fails as soon as one rejects it, and with
  // kTimeout where one that listens does not answer in time. The others are not asked.
  io::Task<Result<void>> validate(std::string deployment,
                                  std::map<ComponentName, std::string> configurations,
                                  int64_t timeout_ms);
  // Returns when nobody who listens objects any more. Who does not answer in time does not object.
  io::Task<void> ask(std::string deployment, int64_t timeout_ms);
  // Tells everybody who listens, where ask() was called for this deployment.
  void tell_done(const std::string& deployment);

 private:
  struct Listener {
    Topic topic;
    ComponentName component;
    Send send;
  };
  // A question to some components, open while it lives.
  struct Question {
    Question(UpdateConsent& consent, Topic topic, std::string deployment);
    ~Question() { consent.questions_.erase(topic); }
    Question(const Question&) = delete;
    Question& operator=(const Question&) = delete;

    // Until all have answered, somebody has rejected, or `deadline_ms` is reached.
    io::Task<void> wait(int64_t deadline_ms);
    void changed();

    UpdateConsent& consent;
    const Topic topic;
    const std::string deployment;
    std::set<ComponentName> open;          // have not answered
    int64_t ask_again_at_ms = 0;           // monotonic
    std::optional<std::string> rejection;  // why
    std::optional<io::Completion<bool>> wake;
  };
  void unsubscribe(uint64_t id);
  std::set<ComponentName> listeners(Topic topic) const;
  // To every listener of the topic that belongs to `component` (nothing: to all of them).
  void send(Topic topic, const std::optional<ComponentName>& component, const std::string& event);
  Result<Question*> question_for(Topic topic, const ComponentName& component,
                                 const std::string& deployment);

  io::Loop& loop_;
  io::Clock& clock_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Listener> listeners_;
  std::map<Topic, Question*> questions_;
  std::string asked_;  // the last deployment that ask() was called for
};

}  // namespace skerry::nucleus
