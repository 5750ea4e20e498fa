// From a message to the service and back to a topic.
#include "flow/topic_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/log_limit.h"
#include "formats/inference_refusal.h"
#include "formats/json_ptr.h"

namespace skerry::flow {
namespace {

using nlohmann::json;

constexpr std::string_view kTopicModule = "topics";
constexpr size_t kRequestsAtOnce = 8;  // at the service; batching puts them together there
constexpr int64_t kLetterRetryMs = 200;
constexpr int64_t kLongestLetterRetryMs = 5'000;

// What of a message is not the request itself.
struct Envelope {
  std::string response_topic;
  json correlation;  // any value; null: none
  std::string model;
  std::string version;
};

// Takes the envelope off `request`. Nothing where a member has another type.
std::optional<Envelope> open_envelope(json& request) {
  Envelope envelope;
  for (const auto& [key, target] :
       {std::pair{"responseTopic", &envelope.response_topic}, std::pair{"model", &envelope.model},
        std::pair{"version", &envelope.version}}) {
    const auto found = request.find(key);
    if (found == request.end()) continue;
    if (!found->is_string()) return std::nullopt;
    *target = found->get<std::string>();
    request.erase(found);
  }
  if (const auto found = request.find("correlationData"); found != request.end()) {
    envelope.correlation = std::move(*found);
    request.erase(found);
  }
  return envelope;
}

json refusal_letter(const Error& error) {
  return {{"error", error.message()}, {"code", code_name(error.code())}};
}

}  // namespace

std::string TopicServiceReport::to_json() const {
  return json{{"requests", requests}, {"answered", answered}, {"refused", refused},
              {"ignored", ignored},   {"dropped", dropped},   {"untold", untold}}
      .dump();
}

TopicService::TopicService(io::Loop& loop, TopicServiceConfig config, std::string service,
                           net::BearerToken token, rpc::NucleusAddress nucleus)
    : loop_(loop),
      config_(std::move(config)),
      service_(std::move(service)),
      nucleus_(std::move(nucleus)),
      http_(net::with_token(net::make_http_client(loop, nullptr), std::move(token))),
      source_(make_source(loop, no_files_, nucleus_, FlowConfig{.source = config_.source})),
      requests_(loop, config_.queue, Drop::kOldest),
      letters_(loop, config_.queue, Drop::kOldest) {}

io::Task<Result<void>> TopicService::run() {
  tasks_.spawn(feed());
  tasks_.spawn(send_letters());
  while (auto item = co_await requests_.pop()) {
    while (running_ >= kRequestsAtOnce) {
      room_.emplace(loop_);
      co_await *room_;
    }
    ++counts_.requests;
    ++running_;
    tasks_.spawn(answer(std::move(*item)));
  }
  co_return source_ended_;
}

io::Task<void> TopicService::feed() {
  source_ended_ = co_await source_->run(requests_);
  requests_.close();
}

void TopicService::ignore(std::string_view why) {
  if (counts_.ignored++ > 0) return;
  log::warn(kTopicModule, "a message is ignored; later ones are counted only",
            {{"topic", config_.source.topic}, {"why", std::string(why)}});
}

io::Task<void> TopicService::answer(Item item) {
  struct Leave {
    TopicService& service;
    ~Leave() {
      --service.running_;
      if (service.room_) service.room_->complete(true);
    }
  } leave{*this};
  const auto elements = tensor::split_bytes(item.content.bytes, 1);
  auto request = elements ? formats::parse_json((*elements)[0]) : fail(elements.error());
  if (!request || !request->is_object()) co_return ignore("it is no JSON object");
  // Answers may come here, too, where filters and topics overlap: two services would go on for
  // ever.
  if (request->contains("outputs") && !request->contains("inputs")) co_return ignore("an answer");
  if (request->contains("error")) co_return ignore("an answer");
  auto envelope = open_envelope(*request);
  if (envelope && envelope->response_topic.empty()) envelope->response_topic = item.response_topic;
  if (!envelope) co_return ignore("responseTopic, model and version are texts");
  const std::string& topic =
      envelope->response_topic.empty() ? config_.answers : envelope->response_topic;
  if (topic.empty()) co_return ignore("it has no responseTopic");
  if (topic == config_.source.topic) co_return ignore("its responseTopic is the one of requests");

  const std::string& model = config_.model.empty() ? envelope->model : config_.model;
  const std::string& version = config_.model.empty() ? envelope->version : config_.version;
  Result<std::string> answered =
      model.empty() ? Result<std::string>(fail(Code::kInvalidArgument, "'model' is missing"))
                    : co_await infer(model, version, formats::json_text(*request));
  json letter =
      answered ? json::parse(*answered, nullptr, false) : refusal_letter(answered.error());
  ++(answered ? counts_.answered : counts_.refused);
  if (!envelope->correlation.is_null()) letter["correlationData"] = envelope->correlation;
  letters_.offer({topic, formats::json_text(letter), item.correlation_data});
}

// The answer's document. An error is the caller's to see, also where it may pass: it waits.
io::Task<Result<std::string>> TopicService::infer(std::string model, std::string version,
                                                  std::string body) {
  std::string target = "/v2/models/" + net::percent_encode(model);
  if (!version.empty()) target += "/versions/" + net::percent_encode(version);
  target += "/infer";
  net::HttpRequest request{.method = "POST", .target = target, .body = std::move(body)};
  request.headers.add("Content-Type", "application/json");
  SKERRY_CO_ASSIGN(auto response, co_await http_->fetch(service_ + target, std::move(request)));
  if (response.status != 200) {
    co_return fail(formats::inference_refusal(response.status, response.body));
  }
  if (!json::accept(response.body)) {
    co_return fail(Code::kInvalidArgument, "answers are JSON here: ask for no binary data");
  }
  co_return std::move(response.body);
}

// One connection for all topics, made again after an error.
io::Task<Result<void>> TopicService::send(const Letter& letter) {
  if (!publisher_) {
    SKERRY_CO_ASSIGN(publisher_, co_await rpc::NucleusClient::connect(loop_, nucleus_));
  }
  auto sent = config_.source.kind == SourceConfig::Kind::kTopic
                  ? co_await publisher_->publish_to_topic(letter.topic, letter.text)
                  : co_await publisher_->publish_to_iot_core(letter.topic, letter.text,
                                                             letter.correlation_data);
  if (!sent && sent.error().retryable()) publisher_.reset();
  co_return sent;
}

io::Task<void> TopicService::send_letters() {
  log::Limit limit;
  while (const auto letter = co_await letters_.pop()) {
    for (int64_t wait_ms = kLetterRetryMs;;
         wait_ms = std::min(2 * wait_ms, kLongestLetterRetryMs)) {
      auto sent = co_await send(*letter);
      if (sent) break;
      limit.write(log::Level::kWarn, kTopicModule, "an answer is not taken",
                  {{"topic", letter->topic}, {"error", sent.error().message()}});
      if (!sent.error().retryable()) {
        ++counts_.untold;
        break;
      }
      co_await io::sleep(loop_, wait_ms);
    }
  }
}

TopicServiceReport TopicService::report() const {
  TopicServiceReport report = counts_;
  report.dropped = requests_.dropped();
  report.untold += letters_.dropped();
  return report;
}

}  // namespace skerry::flow
