// MQTT: each message to a topic of the broker that the nucleus is connected to (PublishToIoTCore,
// QoS 1). The component's recipe has to allow the topic.
#pragma once

#include <memory>
#include <string>

#include "io/loop.h"
#include "rpc/nucleus_client.h"
#include "streams/export/exporter.h"

namespace skerry::streams {

class MqttExporter : public Exporter {
 public:
  MqttExporter(io::Loop& loop, rpc::NucleusAddress nucleus, std::string topic)
      : loop_(loop), nucleus_(std::move(nucleus)), topic_(std::move(topic)) {}
  io::Task<Result<size_t>> send(const ExportBatch& batch, Uplink::Transfer& line) override;

 private:
  io::Loop& loop_;
  const rpc::NucleusAddress nucleus_;
  const std::string topic_;
  std::unique_ptr<rpc::NucleusClient> client_;
};

}  // namespace skerry::streams
