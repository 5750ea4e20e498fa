// Inference over topics: requests come as messages, answers go to the topic that each names
// (docs/streams.md). The nucleus says who may send and hear what, the inference service what a
// request may ask.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "flow/flow_config.h"
#include "flow/queue.h"
#include "flow/source.h"
#include "io/pool.h"
#include "net/bearer_token.h"
#include "net/http_client.h"

namespace skerry::flow {

struct TopicServiceReport {
  uint64_t requests = 0;
  uint64_t answered = 0;
  uint64_t refused = 0;  // answered with an error
  uint64_t ignored = 0;  // that are no requests, or name no topic to answer to
  uint64_t dropped = 0;  // requests for which there was no time
  uint64_t untold = 0;   // answers that the nucleus refused, or that there was no time for
  std::string to_json() const;
};

class TopicService {
 public:
  // `service`: "unix:/run/infer.sock:" or "http://host:port".
  TopicService(io::Loop& loop, TopicServiceConfig config, std::string service,
               net::BearerToken token, rpc::NucleusAddress nucleus);

  // Until the nucleus refuses the subscription.
  io::Task<Result<void>> run();
  TopicServiceReport report() const;

 private:
  struct Letter {
    std::string topic;
    std::string text;
    std::string correlation_data;  // a property of the message, where the request's was one
  };

  io::Task<void> feed();
  io::Task<void> answer(Item item);
  io::Task<Result<std::string>> infer(std::string model, std::string version, std::string body);
  io::Task<Result<void>> send(const Letter& letter);
  io::Task<void> send_letters();
  void ignore(std::string_view why);

  io::Loop& loop_;
  const TopicServiceConfig config_;
  const std::string service_;
  const rpc::NucleusAddress nucleus_;
  io::InlinePool no_files_;
  std::unique_ptr<net::HttpClient> http_;
  std::unique_ptr<rpc::NucleusClient> publisher_;
  std::unique_ptr<Source> source_;
  Queue<Item> requests_;
  Queue<Letter> letters_;
  TopicServiceReport counts_;
  Result<void> source_ended_;
  size_t running_ = 0;
  std::optional<io::Completion<bool>> room_;
  io::TaskScope tasks_;
};

}  // namespace skerry::flow
