// ExportService: a task for each export of each stream, which sends what is new, remembers how far
// it has come, and tries again where it fails. Each message goes at least once, in order.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/env.h"
#include "io/task.h"
#include "streams/export/exporter.h"
#include "streams/service.h"

namespace skerry::streams {

struct ExportOptions {
  int64_t backoff_min_ms = 500;  // after the first failure; twice as long after each further one
  int64_t backoff_max_ms = 60'000;
  size_t batch_bytes = 1 << 20;  // of payloads, unless one message is larger
};

class ExportService {
 public:
  using MakeExporter = std::function<std::unique_ptr<Exporter>(const ExportConfig&)>;

  // All of them outlive it. It hears of streams from `service`.
  ExportService(const io::Env& env, StreamService& service, Uplink& uplink, MakeExporter make,
                ExportOptions options = {});
  ~ExportService();
  // Takes up the exports of the streams that are there.
  io::Task<void> start();

 private:
  class Runner;
  void on_change(const std::string& stream, StreamService::Change change);
  io::Task<void> refresh(std::string stream);

  const io::Env& env_;
  StreamService& service_;
  Uplink& uplink_;
  const MakeExporter make_;
  const ExportOptions options_;
  // By stream and identifier.
  std::map<std::string, std::map<std::string, std::unique_ptr<Runner>>> runners_;
  io::TaskScope tasks_;
};

}  // namespace skerry::streams
