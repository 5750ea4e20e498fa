// HTTP and HTTPS: one POST a message, or a JSON list of them. Idempotency-Key tells repetitions.
#pragma once

#include <string>

#include "streams/export/exporter.h"

namespace skerry::streams {

class HttpExporter : public Exporter {
 public:
  // `http` outlives it.
  HttpExporter(net::HttpClient& http, ExportConfig config)
      : http_(http), config_(std::move(config)) {}
  io::Task<Result<size_t>> send(const ExportBatch& batch, Uplink::Transfer& line) override;

 private:
  io::Task<Result<void>> post(std::string type, std::string key, std::string body,
                              Uplink::Transfer& line);

  net::HttpClient& http_;
  const ExportConfig config_;
};

}  // namespace skerry::streams
