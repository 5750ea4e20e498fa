// Between gRPC's messages and the service's HTTP: an inference as a JSON head with binary tensors
// behind it, everything else as the JSON that has the same members. No I/O.
#pragma once

#include <string>

#include "base/error.h"
#include "net/http.h"

namespace inference {
class ModelInferRequest;
class ModelInferResponse;
class TraceSettingRequest;
class LogSettingsRequest;
}  // namespace inference

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace skerry::gateway {

// Untrusted. kInvalidArgument names the input whose contents are missing or of another type.
Result<net::HttpRequest> http_of(const inference::ModelInferRequest& request);

// Every output has one entry of raw contents, empty where it lies in shared memory.
Result<void> read_answer(const net::HttpResponse& response, inference::ModelInferResponse& out);

// The JSON of an answer into a message of the same members; `wrapped_in`: the member that it is.
Result<void> read_json(const std::string& body, const std::string& wrapped_in,
                       google::protobuf::Message& out);
// A list of objects with "name" into the map `regions`.
Result<void> read_regions(const std::string& body, google::protobuf::Message& out);
// An object of settings into the map `settings`; lists of texts where `as_lists`, else one value.
Result<void> read_settings(const std::string& body, bool as_lists, google::protobuf::Message& out);

std::string json_of(const inference::TraceSettingRequest& request);
std::string json_of(const inference::LogSettingsRequest& request);

// What an answer that is no success says.
Error error_of(const net::HttpResponse& response);

}  // namespace skerry::gateway
