// Requests: one pass over the JSON. Only a tensor whose "data" stands before its type or shape is
// looked at twice.
#include <fmt/format.h>
#include <simdjson.h>

#include <array>
#include <cstring>
#include <utility>

#include "formats/limits.h"
#include "serve/json_cursor.h"
#include "serve/numeric.h"
#include "serve/tensor_codec.h"

namespace skerry::serve {
namespace {

using tensor::DataType;

constexpr size_t kMaxTensors = 256;

std::unexpected<Error> invalid_request(std::string message) {
  return fail(Code::kInvalidArgument, std::move(message));
}

std::unexpected<Error> must_be(std::string_view key, std::string_view what) {
  return invalid_request(fmt::format("'{}' must be {}", key, what));
}

// Members as a parser sees them: `read(key)` takes the value, says that it does not know the key
// (false), or what is wrong. A grammar error ends the loop and is reported by whoever owns the
// cursor.
template <class Read>
Result<void> read_members(JsonCursor& json, Read&& read) {
  std::string key;
  for (bool more = json.first_member(key); more; more = json.next_member(key)) {
    if (json.read_null()) continue;  // as if it were absent
    SKERRY_ASSIGN(const bool known, read(key));
    if (!known) json.skip();
  }
  return {};
}

// Writes the elements of a flat or nested JSON array one behind the other. Nesting is not compared
// with the shape: the protocol allows any as long as the count is right.
class ElementWriter {
 public:
  ElementWriter(JsonCursor& json, DataType type, size_t count, tensor::Bytes& out)
      : json_(json), type_(type), count_(count), out_(out) {
    if (type_ != DataType::kBytes) out_.resize(count * tensor::size_of(type));
  }

  Result<void> write() {
    SKERRY_TRY(write_level(0));
    if (json_.ok() && written_ != count_) {
      return invalid_request(
          fmt::format("'data' has {} elements, its shape says {}", written_, count_));
    }
    return {};
  }

 private:
  Result<void> write_level(size_t depth) {
    if (depth == formats::kMaxTensorRank) return invalid_request("'data' is nested too deep");
    for (bool more = json_.first_element(); more; more = json_.next_element()) {
      if (json_.peek() == JsonCursor::Kind::kArray) {
        SKERRY_TRY(write_level(depth + 1));
        continue;
      }
      if (written_ == count_) {
        return invalid_request(
            fmt::format("'data' has more elements than the {} of its shape", count_));
      }
      SKERRY_TRY(write_element());
      ++written_;
    }
    return {};
  }

  Result<void> write_element() {
    if (type_ == DataType::kBytes) {
      if (!json_.read_string(text_)) return wrong("a string");
      tensor::append_bytes(out_, text_);
      return {};
    }
    if (type_ == DataType::kBool) {
      const auto value = json_.read_bool();
      if (!value) return wrong("true or false");
      out_[written_] = static_cast<std::byte>(*value);
      return {};
    }
    return visit_numeric(type_, [&]<class T>(T) -> Result<void> { return write_number<T>(); });
  }

  template <class T>
  Result<void> write_number() {
    T value{};
    if constexpr (std::floating_point<T>) {
      const auto number = json_.read_double();
      if (!number) return wrong("a number");
      const auto narrowed = narrow<T>(*number);
      if (!narrowed) return wrong("in its range");
      value = *narrowed;
    } else if constexpr (std::signed_integral<T>) {
      const auto number = json_.read_int();
      if (!number || !std::in_range<T>(*number)) return wrong("an integer in its range");
      value = static_cast<T>(*number);
    } else {
      const auto number = json_.read_uint();
      if (!number || !std::in_range<T>(*number)) return wrong("an integer in its range");
      value = static_cast<T>(*number);
    }
    std::memcpy(out_.data() + written_ * sizeof value, &value, sizeof value);
    return {};
  }

  std::unexpected<Error> wrong(std::string_view expected) const {
    return invalid_request(fmt::format("element {} of 'data' must be {} for {}", written_, expected,
                                       tensor::name_of(type_)));
  }

  JsonCursor& json_;
  DataType type_;
  size_t count_;
  tensor::Bytes& out_;
  size_t written_ = 0;
  std::string text_;
};

class RequestReader {
 public:
  RequestReader(std::string_view body, size_t json_bytes)
      : body_(body), json_(body.substr(0, json_bytes)), binary_at_(json_bytes) {}

  Result<DecodedRequest> read() {
    if (!simdjson::validate_utf8(body_.substr(0, binary_at_))) {
      return invalid_request("the request is not a JSON object: it is not UTF-8");
    }
    if (json_.peek() != JsonCursor::Kind::kObject) {
      return invalid_request("the request is not a JSON object");
    }
    auto done = read_members(json_, [this](std::string_view key) { return read_root(key); });
    if (json_.ok() && done && !json_.at_end())
      return invalid_request("something follows the JSON object");
    // What a broken grammar makes of the rest is of no interest.
    if (!json_.ok()) return invalid_request("the request is not a JSON object: " + json_.problem());
    if (!done) return fail(std::move(done.error()));
    if (!has_inputs_) return invalid_request("'inputs' is missing; it must be an array");
    if (binary_at_ != body_.size()) {
      return invalid_request(
          fmt::format("{} bytes of the body belong to no input", body_.size() - binary_at_));
    }
    return std::move(request_);
  }

 private:
  struct Parameters {
    std::optional<uint64_t> binary_data_size;
    std::optional<bool> binary_data;
    uint64_t classes = 0;
    SharedRange shared;
    bool has_shared_size = false;
  };

  struct Input {
    tensor::Tensor tensor;
    bool has_name = false;
    bool has_type = false;
    bool has_shape = false;
    std::optional<size_t> data_at;  // where 'data' stands, when it could not be read yet
    bool has_data = false;
    Parameters parameters;
  };

  Result<bool> read_root(std::string_view key) {
    if (key == "id") {
      if (!json_.read_string(request_.form.id)) return must_be(key, "a string");
    } else if (key == "parameters") {
      SKERRY_TRY(read_request_parameters());
    } else if (key == "inputs") {
      if (std::exchange(has_inputs_, true)) return invalid_request("'inputs' stands there twice");
      SKERRY_TRY(read_objects(key, [this] { return read_input(); }));
    } else if (key == "outputs") {
      SKERRY_TRY(read_objects(key, [this] { return read_output(); }));
    } else {
      return false;
    }
    return true;
  }

  template <class Read>
  Result<void> read_objects(std::string_view key, Read&& read) {
    if (json_.peek() != JsonCursor::Kind::kArray) return must_be(key, "an array");
    size_t count = 0;
    for (bool more = json_.first_element(); more; more = json_.next_element()) {
      if (json_.peek() != JsonCursor::Kind::kObject) return must_be(key, "an array of objects");
      if (++count > kMaxTensors) return invalid_request(fmt::format("too many {}", key));
      SKERRY_TRY(read());
    }
    return {};
  }

  Result<void> read_request_parameters() {
    if (json_.peek() != JsonCursor::Kind::kObject) return must_be("parameters", "an object");
    return read_members(json_, [this](std::string_view key) -> Result<bool> {
      if (key == "binary_data_output") {
        const auto value = json_.read_bool();
        if (!value) return must_be(key, "true or false");
        request_.form.binary_output = *value;
        return true;
      }
      if (key == "timeout") {
        // Microseconds; 0 is none.
        const auto value = json_.read_uint();
        if (!value) return must_be(key, "a number of microseconds");
        if (*value > 0) {
          const uint64_t ms = std::min<uint64_t>(*value / 1000 + 1, 86'400'000);
          request_.inference.timeout_ms = static_cast<int64_t>(ms);
        }
        return true;
      }
      if (key == "priority") {
        const auto value = json_.read_uint();
        if (!value) return must_be(key, "a number, 1 for the highest");
        request_.inference.priority = *value;
        return true;
      }
      return refuse_reserved(key);
    });
  }

  // The protocol's own parameters that are not honoured here must not look as if they were. Values
  // that mean "not used" are fine; other names are the caller's own.
  Result<bool> refuse_reserved(std::string_view key) {
    constexpr std::array<std::string_view, 4> kReserved = {"sequence_id", "sequence_start",
                                                           "sequence_end", "headers"};
    if (std::ranges::find(kReserved, key) == kReserved.end()) return false;
    if (json_.read_uint() == 0u || json_.read_bool() == false) return true;
    if (key == "headers") {
      return fail(Code::kUnsupported, "parameter 'headers' is not supported");
    }
    return fail(Code::kUnsupported,
                fmt::format("parameter '{}' is not supported: models keep no state between "
                            "requests; give a model its state as an input",
                            key));
  }

  Result<Parameters> read_tensor_parameters() {
    Parameters result;
    if (json_.peek() != JsonCursor::Kind::kObject) return must_be("parameters", "an object");
    SKERRY_TRY(read_members(
        json_, [&](std::string_view key) { return read_tensor_parameter(key, result); }));
    const bool has_region = !result.shared.region.empty();
    if (has_region != result.has_shared_size || (!has_region && result.shared.offset != 0)) {
      return invalid_request(
          "'shared_memory_region' and 'shared_memory_byte_size' belong together");
    }
    return result;
  }

  Result<bool> read_tensor_parameter(std::string_view key, Parameters& out) {
    const auto number = [&](uint64_t& value, std::string_view what) -> Result<bool> {
      const auto read = json_.read_uint();
      if (!read) return must_be(key, what);
      value = *read;
      return true;
    };
    if (key == "binary_data_size") {
      return number(out.binary_data_size.emplace(), "a number of bytes");
    }
    if (key == "binary_data") {
      out.binary_data = json_.read_bool();
      if (!out.binary_data) return must_be(key, "true or false");
      return true;
    }
    if (key == "classification") return number(out.classes, "a number of classes");
    if (key == "shared_memory_byte_size") {
      out.has_shared_size = true;
      return number(out.shared.size_bytes, "a number of bytes");
    }
    if (key == "shared_memory_offset") return number(out.shared.offset, "a number of bytes");
    if (key == "shared_memory_region") {
      if (!json_.read_string(out.shared.region) || out.shared.region.empty()) {
        return must_be(key, "a region's name");
      }
      return true;
    }
    return false;
  }

  Result<void> read_output() {
    std::string name;
    Parameters parameters;
    const auto read = [&](std::string_view key) -> Result<bool> {
      if (key == "name") {
        if (!json_.read_string(name)) return must_be(key, "a string");
        return true;
      }
      if (key != "parameters") return false;
      SKERRY_ASSIGN(parameters, read_tensor_parameters());
      return true;
    };
    auto done = read_members(json_, read);
    if (!done) return fail(done.error().with_context(fmt::format("output '{}'", name)));
    if (name.empty()) return invalid_request("'name' is missing; it must be a string");
    AnswerForm::Output& form = request_.form.outputs.emplace_back();
    form.binary = parameters.binary_data;
    form.classes = parameters.classes;
    if (parameters.has_shared_size) {
      if (form.classes > 0) {
        return invalid_request(
            fmt::format("output '{}': a classification goes into the answer, not into "
                        "shared memory",
                        name));
      }
      form.shared = std::move(parameters.shared);
    }
    request_.inference.outputs.push_back(std::move(name));
    return {};
  }

  Result<void> read_input() {
    Input input;
    auto done =
        read_members(json_, [&](std::string_view key) { return read_input_member(key, input); });
    if (done && json_.ok()) done = complete_input(input);
    if (!done && input.has_name) {
      return fail(done.error().with_context(fmt::format("input '{}'", input.tensor.name)));
    }
    SKERRY_TRY(done);
    request_.inference.inputs.push_back(std::move(input.tensor));
    return {};
  }

  Result<bool> read_input_member(std::string_view key, Input& input) {
    if (key == "name") {
      if (!json_.read_string(input.tensor.name)) return must_be(key, "a string");
      input.has_name = true;
    } else if (key == "datatype") {
      std::string name;
      if (!json_.read_string(name)) return must_be(key, "a string");
      SKERRY_ASSIGN(input.tensor.type, tensor::parse_data_type(name));
      input.has_type = true;
    } else if (key == "shape") {
      SKERRY_TRY(read_shape(input.tensor.shape));
      input.has_shape = true;
    } else if (key == "parameters") {
      SKERRY_ASSIGN(input.parameters, read_tensor_parameters());
    } else if (key == "data") {
      if (std::exchange(input.has_data, true)) return invalid_request("'data' stands there twice");
      if (json_.peek() != JsonCursor::Kind::kArray) return must_be(key, "an array");
      if (input.has_type && input.has_shape) {
        SKERRY_TRY(read_data(input.tensor));
      } else {
        input.data_at = json_.position();
        json_.skip();
      }
    } else {
      return false;
    }
    return true;
  }

  Result<void> read_shape(std::vector<int64_t>& shape) {
    shape.clear();
    if (json_.peek() != JsonCursor::Kind::kArray) return must_be("shape", "an array");
    for (bool more = json_.first_element(); more; more = json_.next_element()) {
      const auto dimension = json_.read_int();
      if (json_.ok() && (!dimension || *dimension < 0)) {
        return invalid_request("'shape' must hold integers of 0 or more");
      }
      if (shape.size() == formats::kMaxTensorRank) {
        return invalid_request(
            fmt::format("'shape' has more than {} dimensions", formats::kMaxTensorRank));
      }
      shape.push_back(dimension.value_or(0));
    }
    return {};
  }

  Result<void> read_data(tensor::Tensor& out) {
    if (out.type == DataType::kFp16) {
      return invalid_request("FP16 has no JSON form; send it as binary data");
    }
    SKERRY_ASSIGN(const size_t count, tensor::element_count(out.shape));
    // An element takes two bytes of JSON at least: an absurd shape costs no memory.
    if (count > body_.size()) {
      return invalid_request(fmt::format("its shape says {} elements, 'data' has fewer", count));
    }
    return ElementWriter(json_, out.type, count, out.bytes).write();
  }

  Result<void> complete_input(Input& input) {
    if (!input.has_name) return invalid_request("'name' is missing; it must be a string");
    if (!input.has_type) return invalid_request("'datatype' is missing; it must be a string");
    if (!input.has_shape) return invalid_request("'shape' is missing; it must be an array");
    if (input.parameters.has_shared_size) return take_shared(input);
    if (input.parameters.binary_data_size) return take_binary(input);
    if (!input.has_data) {
      return invalid_request(
          "it has no 'data'; binary tensors need parameter 'binary_data_size' and the header "
          "Inference-Header-Content-Length");
    }
    if (!input.data_at) return {};
    const size_t resume = json_.position();
    json_.seek(*input.data_at);
    SKERRY_TRY(read_data(input.tensor));
    json_.seek(resume);
    return {};
  }

  Result<void> take_binary(Input& input) {
    if (input.has_data) return invalid_request("it has both 'data' and 'binary_data_size'");
    SKERRY_TRY(tensor::element_count(input.tensor.shape));
    const uint64_t size = *input.parameters.binary_data_size;
    if (size > body_.size() - binary_at_) {
      return invalid_request(fmt::format("'binary_data_size' is {}, {} bytes are left in the body",
                                         size, body_.size() - binary_at_));
    }
    // Copied, as it follows text of any length: see tensor::kAlignment.
    const auto bytes = std::as_bytes(std::span(body_)).subspan(binary_at_, size);
    input.tensor.bytes.assign(bytes.begin(), bytes.end());
    binary_at_ += size;
    return {};
  }

  Result<void> take_shared(Input& input) {
    if (input.has_data || input.parameters.binary_data_size) {
      return invalid_request("it has both 'shared_memory_region' and data of its own");
    }
    SKERRY_TRY(tensor::element_count(input.tensor.shape));
    request_.shared_inputs.push_back(
        {request_.inference.inputs.size(), std::move(input.parameters.shared)});
    return {};
  }

  std::string_view body_;
  JsonCursor json_;
  size_t binary_at_;  // where the next binary tensor starts
  bool has_inputs_ = false;
  DecodedRequest request_;
};

}  // namespace

Result<DecodedRequest> decode_request(std::string_view body, std::optional<size_t> json_bytes) {
  const size_t json_size = json_bytes.value_or(body.size());
  if (json_size > body.size()) {
    return invalid_request(fmt::format(
        "Inference-Header-Content-Length is {}, the body has {} bytes", json_size, body.size()));
  }
  return RequestReader(body, json_size).read();
}

Result<DecodedRequest> decode_raw_request(std::string_view body,
                                          std::span<const tensor::TensorSpec> inputs) {
  if (inputs.size() != 1) {
    return invalid_request(
        fmt::format("a raw binary request (Inference-Header-Content-Length: 0) needs a "
                    "model of one input, this one has {}",
                    inputs.size()));
  }
  tensor::Tensor input{inputs[0].name, inputs[0].type, inputs[0].shape, {}};
  const bool is_bytes = input.type == DataType::kBytes;
  if (is_bytes) {
    tensor::append_bytes(input.bytes, body);
  } else {
    const auto bytes = std::as_bytes(std::span(body));
    input.bytes.assign(bytes.begin(), bytes.end());
  }
  const size_t elements = is_bytes ? 1 : body.size() / tensor::size_of(input.type);
  size_t known = 1;
  size_t free = 0;
  for (const int64_t dimension : input.shape) {
    if (dimension == -1) ++free;
    if (dimension > 0) known *= static_cast<size_t>(dimension);
  }
  // A batch of one where more than one dimension is free.
  if (free > 1 && input.shape[0] == -1) {
    input.shape[0] = 1;
    --free;
  }
  if (free > 1 || known == 0 || elements % known != 0) {
    return invalid_request(
        fmt::format("the shape of input '{}', {}, does not follow from {} bytes; send "
                    "the request with its JSON header",
                    input.name, tensor::describe(inputs[0].type, inputs[0].shape), body.size()));
  }
  std::ranges::replace(input.shape, -1, static_cast<int64_t>(elements / known));
  DecodedRequest request;
  request.inference.inputs.push_back(std::move(input));
  request.form.binary_output = true;
  return request;
}

}  // namespace skerry::serve
