// Updates as files of training.
#include "federated/update.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "formats/checkpoint.h"

namespace skerry::federated {

using nlohmann::json;
using tensor::DataType;
using tensor::Tensor;

namespace {

constexpr size_t kBlock = 1024;  // numbers with one scale

template <class T>
Tensor tensor_of(const char* name, DataType type, const std::vector<T>& values) {
  Tensor tensor{.name = name, .type = type, .shape = {static_cast<int64_t>(values.size())}};
  tensor.bytes.resize(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

template <class T>
std::vector<T> values_of(const Tensor& tensor) {
  std::vector<T> values(tensor.bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

const Tensor* find(const formats::Checkpoint& file, std::string_view name, DataType type) {
  const auto found = std::ranges::find(file.tensors, name, &Tensor::name);
  return found != file.tensors.end() && found->type == type ? &*found : nullptr;
}

// Up or down, so that the mean of many is the number itself.
int8_t rounded(float value, float scale, io::Random& random) {
  if (scale <= 0) return 0;
  const double exact = static_cast<double>(value) / static_cast<double>(scale);
  const double below = std::floor(exact);
  const double up = random.uniform() < exact - below ? 1 : 0;
  return static_cast<int8_t>(std::clamp(below + up, -127.0, 127.0));
}

void add_bytes(const Vector& values, io::Random& random, std::vector<Tensor>& tensors) {
  std::vector<int8_t> stored;
  Vector scales;
  for (size_t at = 0; at < values.size(); at += kBlock) {
    const size_t end = std::min(at + kBlock, values.size());
    float largest = 0;
    for (size_t i = at; i < end; ++i) largest = std::max(largest, std::abs(values[i]));
    scales.push_back(largest / 127);
    for (size_t i = at; i < end; ++i) stored.push_back(rounded(values[i], scales.back(), random));
  }
  tensors.push_back(tensor_of("bytes", DataType::kInt8, stored));
  tensors.push_back(tensor_of("scales", DataType::kFp32, scales));
}

// Places of the largest, in order.
std::vector<int32_t> largest_of(const Vector& values, double share) {
  std::vector<int32_t> places(values.size());
  std::iota(places.begin(), places.end(), 0);
  const auto count =
      static_cast<std::ptrdiff_t>(std::ceil(share * static_cast<double>(values.size())));
  const auto before = [&](int32_t a, int32_t b) {
    const float x = std::abs(values[static_cast<size_t>(a)]);
    const float y = std::abs(values[static_cast<size_t>(b)]);
    return x != y ? x > y : a < b;
  };
  std::nth_element(places.begin(),
                   places.begin() + std::min<std::ptrdiff_t>(
                                        count, static_cast<std::ptrdiff_t>(places.size()) - 1),
                   places.end(), before);
  places.resize(static_cast<size_t>(count));
  std::ranges::sort(places);
  return places;
}

std::string document_of(const Update& update) {
  return json{{"round", update.round},
              {"examples", update.examples},
              {"steps", update.steps},
              {"loss", update.loss},
              {"within", update.within}}
      .dump();
}

// The numbers that were sent; absent where the parts do not go together.
std::optional<Vector> sent_numbers(const formats::Checkpoint& file) {
  if (const Tensor* whole = find(file, "delta", DataType::kFp32)) return values_of<float>(*whole);
  const Tensor* bytes = find(file, "bytes", DataType::kInt8);
  const Tensor* scales = find(file, "scales", DataType::kFp32);
  if (bytes == nullptr || scales == nullptr) return {};
  const auto stored = values_of<int8_t>(*bytes);
  const auto factors = values_of<float>(*scales);
  if (factors.size() != (stored.size() + kBlock - 1) / kBlock) return {};
  Vector values;
  for (size_t i = 0; i < stored.size(); ++i) {
    values.push_back(static_cast<float>(stored[i]) * factors[i / kBlock]);
  }
  return values;
}

// All of them, in their places.
std::optional<Vector> whole_vector(const formats::Checkpoint& file, size_t size) {
  auto values = sent_numbers(file);
  const Tensor* places = find(file, "places", DataType::kInt32);
  if (!values || places == nullptr) return values;
  const auto at = values_of<int32_t>(*places);
  if (at.size() != values->size()) return {};
  Vector whole(size, 0);
  int64_t last = -1;
  for (size_t i = 0; i < at.size(); ++i) {
    if (at[i] <= last || static_cast<size_t>(at[i]) >= size) return {};
    last = at[i];
    whole[static_cast<size_t>(at[i])] = (*values)[i];
  }
  return whole;
}

}  // namespace

Result<Coding> parse_coding(std::string_view text) {
  Coding coding;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (part == "none") continue;
    if (part == "int8") {
      coding.bytes = true;
      continue;
    }
    const std::string_view share = part.starts_with("top=") ? part.substr(4) : "";
    const auto parsed = std::from_chars(share.data(), share.data() + share.size(), coding.largest);
    if (parsed.ec != std::errc() || parsed.ptr != share.data() + share.size() ||
        !(coding.largest > 0 && coding.largest <= 1)) {
      return fail(Code::kInvalidArgument, "there is no coding '" + std::string(part) +
                                              "'; there are none, int8, top=0.05, and two of them");
    }
  }
  return coding;
}

std::string encode(const Update& update) {
  return formats::encode({.document = document_of(update),
                          .tensors = {tensor_of("delta", DataType::kFp32, update.delta)}});
}

std::string encode(const Update& update, const Coding& coding, io::Random& random) {
  if (!coding.bytes && coding.largest >= 1) return encode(update);
  formats::Checkpoint file{.document = document_of(update), .tensors = {}};
  Vector values = update.delta;
  if (coding.largest < 1 && !values.empty()) {
    const auto places = largest_of(update.delta, coding.largest);
    values.clear();
    for (const int32_t place : places) values.push_back(update.delta[static_cast<size_t>(place)]);
    file.tensors.push_back(tensor_of("places", DataType::kInt32, places));
  }
  if (coding.bytes) {
    add_bytes(values, random, file.tensors);
  } else {
    file.tensors.push_back(tensor_of("delta", DataType::kFp32, values));
  }
  return formats::encode(file);
}

Result<Update> decode_update(std::string_view bytes, size_t size) {
  SKERRY_ASSIGN(const formats::Checkpoint file, formats::decode_checkpoint(bytes));
  const json document = json::parse(file.document, nullptr, false);
  const auto number = [&](const char* name, double& into) {
    const bool there = document.is_object() && document.contains(name);
    if (!there || !document[name].is_number()) return false;
    document[name].get_to(into);
    return std::isfinite(into) && into >= 0;
  };
  Update update;
  double round = 0;
  const json within = document.is_object() ? document.value("within", json(true)) : json();
  const bool whole = within.is_boolean() && number("round", round) &&
                     number("examples", update.examples) && number("steps", update.steps) &&
                     number("loss", update.loss) && round < 1e15;
  auto delta = whole ? whole_vector(file, size) : std::nullopt;
  if (!delta) return fail(Code::kCorrupt, "this is no update of a model");
  update.round = static_cast<size_t>(round);
  update.within = within.get<bool>();
  update.delta = std::move(*delta);
  if (update.delta.size() != size) {
    return fail(Code::kInvalidArgument, "the update has " + std::to_string(update.delta.size()) +
                                            " numbers, the model " + std::to_string(size));
  }
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
