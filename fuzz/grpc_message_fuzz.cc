// What gRPC's clients send, and what the service answers, between its messages and HTTP: any bytes
// are translated or refused, and a translated request says truly how long its parts are.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "gateway/inference.pb.h"
#include "gateway/translate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skerry;
  inference::ModelInferRequest request;
  if (request.ParseFromArray(data, static_cast<int>(size))) {
    if (const auto http = gateway::http_of(request)) {
      const size_t head = std::strtoull(
          std::string(http->headers.get("Inference-Header-Content-Length")).c_str(), nullptr, 10);
      if (head > http->body.size()) std::abort();
      size_t binary = 0;
      const auto document = nlohmann::json::parse(http->body.substr(0, head));
      for (const auto& input : document.at("inputs")) {
        const auto& parameters = input.at("parameters");
        if (parameters.contains("shared_memory_region")) continue;
        binary += parameters.at("binary_data_size").get<size_t>();
      }
      if (head + binary != http->body.size()) std::abort();
    }
  }
  net::HttpResponse response{.status = 200};
  response.body.assign(reinterpret_cast<const char*>(data), size);
  response.headers.add("Inference-Header-Content-Length", std::to_string(size / 2));
  inference::ModelInferResponse answer;
  (void)gateway::read_answer(response, answer);
  inference::ModelStatisticsResponse statistics;
  (void)gateway::read_json(response.body, "", statistics);
  inference::SystemSharedMemoryStatusResponse regions;
  (void)gateway::read_regions(response.body, regions);
  inference::TraceSettingResponse settings;
  (void)gateway::read_settings(response.body, true, settings);
  (void)gateway::error_of(response);
  return 0;
}
