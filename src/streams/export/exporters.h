// The exporter for each kind of destination.
#pragma once

#include <memory>

#include "io/env.h"
#include "rpc/nucleus_client.h"
#include "streams/export/aws_session.h"
#include "streams/export/export_service.h"

namespace skerry::streams {

// What exporters share. It outlives them.
struct ExportWorld {
  const io::Env& env;
  StreamService& streams;  // for status messages
  net::HttpClient& http;
  AwsSession& aws;
  rpc::NucleusAddress nucleus;
};

ExportService::MakeExporter exporters_of(ExportWorld& world);

}  // namespace skerry::streams
