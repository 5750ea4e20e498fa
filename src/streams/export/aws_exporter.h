// Kinesis data streams (PutRecords), AWS IoT SiteWise (BatchPutAssetPropertyValue) and AWS IoT
// Analytics (BatchPutMessage), in the shapes of their public models.
#pragma once

#include <string>

#include "streams/export/aws_session.h"
#include "streams/export/exporter.h"

namespace skerry::streams {

class AwsExporter : public Exporter {
 public:
  // `session` outlives it. `config.kind` is one of the three.
  AwsExporter(AwsSession& session, ExportConfig config)
      : session_(session), config_(std::move(config)) {}
  io::Task<Result<size_t>> send(const ExportBatch& batch, Uplink::Transfer& line) override;

 private:
  AwsSession& session_;
  const ExportConfig config_;
};

}  // namespace skerry::streams
