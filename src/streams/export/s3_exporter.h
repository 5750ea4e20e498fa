// S3: each message names a file (S3ExportTaskDefinition), which is uploaded, in parts where it is
// large; what comes of it is told to a status stream.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/env.h"
#include "streams/export/aws_session.h"
#include "streams/export/exporter.h"
#include "streams/export/s3_task.h"

namespace skerry::streams {

class S3Exporter : public Exporter {
 public:
  // Appends to a stream.
  using Append = std::function<io::Task<Result<int64_t>>(std::string stream, std::string payload)>;
  // The references outlive it.
  S3Exporter(const io::Env& env, AwsSession& session, ExportConfig config, Append append);
  ~S3Exporter() override;
  io::Task<Result<size_t>> send(const ExportBatch& batch, Uplink::Transfer& line) override;

 private:
  class Source;
  struct Upload;  // one in parts that has begun: after an error it goes on where it was
  io::Task<Result<void>> upload(int64_t sequence, const S3Task& task, Uplink::Transfer& line);
  io::Task<Result<void>> put_whole(const S3Task& task, std::shared_ptr<Source> source,
                                   Uplink::Transfer& line);
  io::Task<Result<void>> put_parts(const S3Task& task, std::shared_ptr<Source> source,
                                   Uplink::Transfer& line);
  io::Task<Result<std::string>> put_part(const std::string& target, std::shared_ptr<Source> source,
                                         uint64_t offset, uint64_t bytes, Uplink::Transfer& line);
  io::Task<Result<net::HttpResponse>> call(net::HttpRequest request, Uplink::Transfer& line,
                                           RequestBody body = {});
  RequestBody body_of(std::shared_ptr<Source> source, uint64_t offset, uint64_t bytes,
                      Uplink::Transfer& line);
  static io::Task<Result<std::string>> read_paced(const io::Env& env,
                                                  std::shared_ptr<Source> source, uint64_t offset,
                                                  size_t size, Uplink::Transfer& line);
  io::Task<void> report(const ExportBatch& batch, TaskStatus status, std::string text);

  const io::Env& env_;
  AwsSession& session_;
  const ExportConfig config_;
  const Append append_;
  std::unique_ptr<Upload> upload_;
  std::string told_;  // the last warning: said once
};

}  // namespace skerry::streams
