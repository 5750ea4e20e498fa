// The fleet that this device belongs to, exactly once: the fleet answers each batch with the number
// below which it has everything, and keeps that with the messages. Over the nucleus's connection to
// the broker; the component's recipe has to allow both topics (formats/stream_batch.h).
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "io/loop.h"
#include "rpc/nucleus_client.h"
#include "streams/export/exporter.h"

namespace skerry::streams {

class FleetExporter : public Exporter {
 public:
  FleetExporter(io::Loop& loop, rpc::NucleusAddress nucleus)
      : loop_(loop), nucleus_(std::move(nucleus)) {}
  io::Task<Result<size_t>> send(const ExportBatch& batch, Uplink::Transfer& line) override;

 private:
  io::Task<Result<size_t>> talk(const ExportBatch& batch, Uplink::Transfer& line);
  io::Task<Result<void>> connect();

  io::Loop& loop_;
  const rpc::NucleusAddress nucleus_;
  std::deque<std::string> answers_;  // that nobody has read
  std::unique_ptr<rpc::NucleusClient> client_;
};

}  // namespace skerry::streams
