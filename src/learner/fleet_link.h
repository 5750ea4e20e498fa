// The control plane as a learning device sees it: HTTPS with the device's certificate.
#pragma once

#include <string>
#include <vector>

#include "federated/messages.h"
#include "net/http_client.h"

namespace skerry::learner {

// Errors: kUnavailable and kTimeout where the same may work later; kFailedPrecondition and
// kNotFound where the round has gone on without us.
class FleetLink {
 public:
  // `url`: "https://host:port" of the data plane.
  FleetLink(net::HttpClient& http, std::string url) : http_(http), url_(std::move(url)) {}

  io::Task<Result<federated::TaskMessage>> next_task(std::vector<std::string> data);
  // Whole files of at most `most_bytes`; goes on where a connection broke.
  io::Task<Result<std::string>> model(std::string training, uint64_t most_bytes);
  io::Task<Result<std::string>> parameters(std::string training, size_t round, uint64_t most_bytes);
  // Goes on where an earlier upload of the same bytes ended. Done once the server has them for
  // good.
  io::Task<Result<void>> upload(std::string training, size_t attempt, std::string bytes);
  io::Task<Result<void>> evaluated(std::string training, size_t attempt,
                                   federated::Evaluation evaluation);
  // Secure aggregation: what is wanted next, and what it is answered with.
  io::Task<Result<federated::secure::Step>> secure_step(std::string training, size_t attempt);
  io::Task<Result<void>> say(std::string training, size_t attempt, federated::secure::Said said);
  io::Task<Result<void>> refuse(std::string training, size_t attempt);

 private:
  io::Task<Result<std::string>> call(std::string method, std::string path, std::string body);
  io::Task<Result<std::string>> download(std::string path, uint64_t most_bytes);

  net::HttpClient& http_;
  const std::string url_;
};

}  // namespace skerry::learner
