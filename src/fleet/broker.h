// The fleet's MQTT broker: mosquitto with our plugin, configured, started and kept running by the
// control plane. Whom it lets in: broker_registry.h.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/broker_home.h"
#include "io/env.h"
#include "io/task.h"
#include "net/tls.h"

namespace skerry::fleet {

struct BrokerOptions {
  std::string directory;  // created; holds configuration, sessions and registry
  std::string bind_address = "127.0.0.1";
  uint16_t port = 8883;  // 0: a free one
  net::TlsFiles tls;     // trust for clients, and the broker's own certificate
  std::string topics;  // which topics are open to things (docs/data/topic-policy.md); may be absent
  std::string program;  // "": where Debian's package puts mosquitto, or in PATH
  std::string plugin;   // "": next to this program, or in ../lib/skerry
};

// Where what is installed beside the programs is found from.
std::string directory_of_this_program();

class BrokerSupervisor {
 public:
  BrokerSupervisor(io::Env& env, BrokerOptions options);
  ~BrokerSupervisor();  // kills the broker where it still runs; stop() lets it save its sessions

  // Where the plugin expects the registry; it must be written before start().
  std::string registry_path() const { return options_.directory + "/active-certificates"; }
  // Makes its home ready (broker_home.h), ends a broker that a killed control plane left behind,
  // starts a new one. Done when it accepts connections. From then on it is started again whenever
  // it ends.
  io::Task<Result<void>> start();
  uint16_t port() const { return port_; }  // valid after start()
  // From now on a broker that is there and leaves pings unanswered for 8 s is killed, and so
  // started again. `ping` calls `done` when the broker has answered (true) or cannot be asked
  // (false).
  using Ping = std::function<void(std::function<void(bool answered)> done)>;
  void watch(Ping ping);
  pid_t pid() const { return process_ ? process_->pid() : 0; }
  // Asks the broker to save and end, and waits for it; kills it after 10 s.
  io::Task<void> stop();

 private:
  enum class Phase { kIdle, kStarting, kRunning, kWaiting, kStopping };

  io::Task<Result<void>> launch(uint16_t port);
  Result<void> write_configuration(uint16_t port);
  void on_line(std::string_view line);
  void on_exit(io::ExitStatus status);
  void follow_topics();
  void restart_later();
  void look();
  std::string last_lines() const;

  io::Env& env_;
  BrokerOptions options_;
  BrokerHome home_;
  uint16_t port_ = 0;
  Phase phase_ = Phase::kIdle;
  int64_t restart_delay_ms_ = 0;
  int64_t started_ms_ = 0;
  std::deque<std::string> recent_lines_;  // what to show when it ends
  std::unique_ptr<io::Process> process_;
  io::Completion<Result<void>> ready_;  // of the launch in progress
  io::Completion<bool> ended_;          // of the broker, for the stop in progress
  io::Timer restart_timer_;
  Ping ping_;
  bool waits_for_answer_ = false;
  bool answered_ = false;       // since the last look
  bool answered_once_ = false;  // since its start: only then does silence mean something
  int silent_looks_ = 0;
  io::Timer look_timer_, topics_timer_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
