// The device's shadows as everybody uses them, components over IPC and the synchronisation with the
// fleet: off the loop, and with what is told of each change on local topics, as AWS IoT tells it on
// its own ($aws/things/T/shadow/…/accepted, /rejected, /delta, /documents).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/env.h"
#include "io/pool.h"
#include "io/task.h"
#include "nucleus/shadow_files.h"

namespace skerry::nucleus {

class LocalShadows {
 public:
  // Publishes on the device; of the loop's thread.
  using Tell = std::function<void(const std::string& topic, const std::string& document)>;
  using Changed = std::function<void(const ShadowKey& key)>;
  enum class Who { kComponent, kFleet };

  // `env` and `files` must outlive it.
  LocalShadows(io::Env& env, ShadowFiles& files, Tell tell)
      : env_(env), files_(files), tell_(std::move(tell)) {}
  // `changed` hears of what components have changed, once it is on the disk.
  void on_change(Changed changed) { changed_ = std::move(changed); }

  // The document that answers. Names are checked by the caller.
  io::Task<formats::ShadowResult<std::string>> get(ShadowKey key);
  io::Task<formats::ShadowResult<std::string>> update(ShadowKey key, std::string payload,
                                                      Who who = Who::kComponent);
  // With `version` only the shadow of that version: 409 otherwise.
  io::Task<formats::ShadowResult<std::string>> remove(ShadowKey key, Who who = Who::kComponent,
                                                      std::optional<int64_t> version = {});
  int64_t now_s() const { return env_.clock.wall_ms() / 1000; }

  // What `work(files)` returns, from the pool for records: one after the other.
  template <class Work>
  auto on_disk(Work work) {
    return io::run_on(env_.records, env_.loop,
                      [&files = files_, work = std::move(work)]() mutable { return work(files); });
  }

 private:
  void tell(const ShadowKey& key, std::string_view what, const std::string& document) const;
  formats::ShadowError reject(const ShadowKey& key, std::string_view operation,
                              formats::ShadowError error, const formats::ClientToken& token) const;
  void note_change(const ShadowKey& key, Who who) const;

  io::Env& env_;
  ShadowFiles& files_;
  Tell tell_;
  Changed changed_;
};

}  // namespace skerry::nucleus
