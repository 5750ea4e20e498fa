// Exporter: brings messages of a stream to one destination. To add a kind of destination, write one
// of these and name it in exporters.cc.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/message_log.h"
#include "io/task.h"
#include "net/http_client.h"
#include "streams/export/export_config.h"
#include "streams/export/uplink.h"

namespace skerry::streams {

using Message = io::LogMessage;

struct ExportBatch {
  std::string stream;
  std::string stream_id;          // of this stream and none before it of the same name
  std::vector<Message> messages;  // at least one, in order

  // The same for the same message however often it goes, and for no other: what a receiver tells
  // repetitions by.
  std::string message_id(const Message& message) const {
    return stream_id + "-" + std::to_string(message.sequence);
  }
};

class Exporter {
 public:
  virtual ~Exporter() = default;
  // How many of the first messages have arrived, at least one. An error with kInvalidArgument says
  // that the destination does not want what it was sent; a single message is left out then, a
  // batch is tried in smaller ones. After any other error the same messages come again later. May
  // be destroyed while it waits; what had arrived comes again then.
  virtual io::Task<Result<size_t>> send(const ExportBatch& batch, Uplink::Transfer& line) = 0;
};

// --- What exporters over HTTP share -------------------------------------------------------------

// A request whose body goes at the pace of the uplink.
io::Task<Result<net::HttpResponse>> fetch_paced(net::HttpClient& http, std::string url,
                                                net::HttpRequest request, Uplink::Transfer& line);
// An error unless the status is 2xx: kInvalidArgument where the content was refused, kUnavailable
// where it may go better later, else kFailedPrecondition: somebody has to do something.
Result<void> check_answer(const net::HttpResponse& response, const std::string& who);

}  // namespace skerry::streams
