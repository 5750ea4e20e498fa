// Updates as files of training.
#include "federated/update.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "train/checkpoint.h"

namespace skerry::federated {

using nlohmann::json;

std::string encode(const Update& update) {
  train::Checkpoint file;
  file.document = json{
      {"round", update.round},
      {"examples", update.examples},
      {"steps", update.steps},
      {"loss",
       update.loss}}.dump();
  tensor::Tensor delta{.name = "delta",
                       .type = tensor::DataType::kFp32,
                       .shape = {static_cast<int64_t>(update.delta.size())}};
  delta.bytes.resize(update.delta.size() * sizeof(float));
  if (!update.delta.empty()) {
    std::memcpy(delta.bytes.data(), update.delta.data(), delta.bytes.size());
  }
  file.tensors.push_back(std::move(delta));
  return encode(file);
}

Result<Update> decode_update(std::string_view bytes, size_t size) {
  SKERRY_ASSIGN(const train::Checkpoint file, train::decode_checkpoint(bytes));
  const json document = json::parse(file.document, nullptr, false);
  const auto number = [&](const char* name, double& into) {
    const bool there = document.is_object() && document.contains(name);
    if (!there || !document[name].is_number()) return false;
    document[name].get_to(into);
    return std::isfinite(into) && into >= 0;
  };
  Update update;
  double round = 0;
  const bool whole = number("round", round) && number("examples", update.examples) &&
                     number("steps", update.steps) && number("loss", update.loss) && round < 1e15;
  if (!whole || file.tensors.size() != 1 || file.tensors[0].name != "delta" ||
      file.tensors[0].type != tensor::DataType::kFp32) {
    return fail(Code::kCorrupt, "this is no update of a model");
  }
  update.round = static_cast<size_t>(round);
  update.delta.resize(file.tensors[0].bytes.size() / sizeof(float));
  if (update.delta.size() != size) {
    return fail(Code::kInvalidArgument, "the update has " + std::to_string(update.delta.size()) +
                                            " numbers, the model " + std::to_string(size));
  }
  if (size > 0)
    std::memcpy(update.delta.data(), file.tensors[0].bytes.data(), size * sizeof(float));
  if (!std::ranges::all_of(update.delta, [](float value) { return std::isfinite(value); })) {
    return fail(Code::kInvalidArgument, "the update has a number that is not finite");
  }
  return update;
}

double length_of(const Vector& vector) {
  double squares = 0;
  for (const float value : vector)
    squares += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(squares);
}

double clip(Vector& vector, double limit) {
  const double length = length_of(vector);
  if (limit <= 0 || length <= limit) return length;
  // A little below, so that rounding does not leave it above.
  const double factor = limit / length * (1 - 1e-6);
  for (float& value : vector) value = static_cast<float>(static_cast<double>(value) * factor);
  return length;
}

}  // namespace skerry::federated
