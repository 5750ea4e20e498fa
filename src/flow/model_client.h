// One model of the inference service, asked over its Unix socket or HTTP: named tensors in, named
// tensors out.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/task.h"
#include "net/http_client.h"
#include "tensor/tensor.h"

namespace skerry::flow {

class ModelClient {
 public:
  struct Answer {
    std::string version;
    std::vector<tensor::Tensor> outputs;
    const tensor::Tensor* find(std::string_view name) const;
  };

  // `base`: "unix:/run/infer.sock:" or "http://host:port". `http` outlives it.
  ModelClient(net::HttpClient& http, std::string base, std::string model, std::string version)
      : http_(http),
        base_(std::move(base)),
        model_(std::move(model)),
        version_(std::move(version)) {}

  // Asks what the model takes. kUnavailable while it is not served.
  io::Task<Result<void>> look();
  const std::vector<tensor::TensorSpec>& inputs() const { return inputs_; }
  // kInvalidArgument names the inputs that there are.
  Result<const tensor::TensorSpec*> input(std::string_view name) const;
  // kUnavailable where the service is away or sheds load, kResourceExhausted where it limits this
  // client: the same may succeed later. kPermissionDenied: nothing will before somebody acts.
  io::Task<Result<Answer>> infer(std::vector<tensor::Tensor> inputs);

 private:
  std::string target(std::string_view rest) const;

  net::HttpClient& http_;
  const std::string base_;
  const std::string model_;
  const std::string version_;
  std::vector<tensor::TensorSpec> inputs_;
};

}  // namespace skerry::flow
