// Decoding with simdjson's DOM (it checks the whole text before anything is used), encoding
// straight into one string.
#include "serve/tensor_codec.h"

#include <fmt/compile.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <cstring>
#include <iterator>

#include "runtime/tensor.h"
#include "serve/numeric.h"

namespace skerry::serve {
namespace {

using runtime::DataType;
namespace dom = simdjson::dom;

constexpr size_t kMaxTensors = 256;
constexpr size_t kMaxRank = 16;
constexpr size_t kKeptParserBytes = 1 << 20;  // a parser that grew beyond is replaced

std::unexpected<Error> invalid(std::string message) {
  return fail(Code::kInvalidArgument, std::move(message));
}

// The member of `object`, or nothing where it is absent; an error where it has another type.
template <class T>
Result<std::optional<T>> optional_member(dom::object object, std::string_view key,
                                         std::string_view type_name) {
  dom::element element;
  if (object[key].get(element) != simdjson::SUCCESS || element.is_null()) return std::nullopt;
  T value;
  if (element.get(value) != simdjson::SUCCESS) {
    return invalid(fmt::format("'{}' must be {}", key, type_name));
  }
  return value;
}

template <class T>
Result<T> member(dom::object object, std::string_view key, std::string_view type_name) {
  SKERRY_ASSIGN(auto value, optional_member<T>(object, key, type_name));
  if (!value) return invalid(fmt::format("'{}' is missing; it must be {}", key, type_name));
  return *value;
}

// Writes the elements of a flat or nested JSON array one behind the other. Nesting is not compared
// with the shape: the protocol allows any as long as the count is right.
class ElementWriter {
 public:
  ElementWriter(DataType type, size_t count, std::vector<std::byte>& out)
      : type_(type), count_(count), out_(out) {
    if (type_ != DataType::kBytes) out_.resize(count * runtime::size_of(type));
  }

  Result<void> write(dom::array array) {
    SKERRY_TRY(write_level(array, 0));
    if (written_ != count_) {
      return invalid(fmt::format("'data' has {} elements, its shape says {}", written_, count_));
    }
    return {};
  }

 private:
  Result<void> write_level(dom::array array, size_t depth) {
    if (depth == kMaxRank) return invalid("'data' is nested too deep");
    for (const dom::element element : array) {
      if (element.is_array()) {
        SKERRY_TRY(write_level(element.get_array().value_unsafe(), depth + 1));
        continue;
      }
      if (written_ == count_) {
        return invalid(fmt::format("'data' has more elements than the {} of its shape", count_));
      }
      SKERRY_TRY(write_element(element));
      ++written_;
    }
    return {};
  }

  Result<void> write_element(dom::element element) {
    if (type_ == DataType::kBytes) {
      std::string_view text;
      if (element.get(text) != simdjson::SUCCESS) return wrong("a string");
      runtime::append_bytes(out_, text);
      return {};
    }
    if (type_ == DataType::kBool) {
      bool value = false;
      if (element.get(value) != simdjson::SUCCESS) return wrong("true or false");
      out_[written_] = static_cast<std::byte>(value);
      return {};
    }
    return visit_numeric(type_,
                         [&]<class T>(T) -> Result<void> { return write_number<T>(element); });
  }

  template <class T>
  Result<void> write_number(dom::element element) {
    T value{};
    if constexpr (std::floating_point<T>) {
      double number = 0;
      if (element.get(number) != simdjson::SUCCESS) return wrong("a number");
      const auto narrowed = narrow<T>(number);
      if (!narrowed) return wrong("in its range");
      value = *narrowed;
    } else {
      // Through the widest integers: a double has no room for all 64 bits.
      std::conditional_t<std::signed_integral<T>, int64_t, uint64_t> number = 0;
      if (element.get(number) != simdjson::SUCCESS || !std::in_range<T>(number)) {
        return wrong("an integer in its range");
      }
      value = static_cast<T>(number);
    }
    std::memcpy(out_.data() + written_ * sizeof value, &value, sizeof value);
    return {};
  }

  std::unexpected<Error> wrong(std::string_view expected) const {
    return invalid(fmt::format("element {} of 'data' must be {} for {}", written_, expected,
                               runtime::name_of(type_)));
  }

  DataType type_;
  size_t count_;
  std::vector<std::byte>& out_;
  size_t written_ = 0;
};

struct TensorParameters {
  std::optional<uint64_t> binary_data_size;
  std::optional<bool> binary_data;
};

Result<TensorParameters> read_parameters(dom::object tensor) {
  TensorParameters result;
  SKERRY_ASSIGN(auto parameters, optional_member<dom::object>(tensor, "parameters", "an object"));
  if (!parameters) return result;
  for (const std::string_view key : {"shared_memory_region", "classification"}) {
    if (parameters->at_key(key).error() == simdjson::SUCCESS) {
      return fail(Code::kUnsupported, fmt::format("parameter '{}' is not supported", key));
    }
  }
  SKERRY_ASSIGN(result.binary_data_size,
                optional_member<uint64_t>(*parameters, "binary_data_size", "a number of bytes"));
  SKERRY_ASSIGN(result.binary_data,
                optional_member<bool>(*parameters, "binary_data", "true or false"));
  return result;
}

Result<std::vector<int64_t>> read_shape(dom::object tensor) {
  SKERRY_ASSIGN(const dom::array array, member<dom::array>(tensor, "shape", "an array"));
  std::vector<int64_t> shape;
  for (const dom::element element : array) {
    int64_t dimension = 0;
    if (element.get(dimension) != simdjson::SUCCESS || dimension < 0) {
      return invalid("'shape' must hold integers of 0 or more");
    }
    if (shape.size() == kMaxRank) {
      return invalid(fmt::format("'shape' has more than {} dimensions", kMaxRank));
    }
    shape.push_back(dimension);
  }
  return shape;
}

// `binary_at`: where the next binary tensor starts in the body; moved on.
Result<void> read_data(dom::object tensor, size_t body_size, size_t& binary_at,
                       InferRequest::Input& input) {
  SKERRY_ASSIGN(const TensorParameters parameters, read_parameters(tensor));
  SKERRY_ASSIGN(const size_t count, runtime::element_count(input.shape));
  SKERRY_ASSIGN(auto data, optional_member<dom::array>(tensor, "data", "an array"));
  if (parameters.binary_data_size) {
    if (data) return invalid("it has both 'data' and 'binary_data_size'");
    const uint64_t size = *parameters.binary_data_size;
    if (size > body_size - binary_at) {
      return invalid(fmt::format("'binary_data_size' is {}, {} bytes are left in the body", size,
                                 body_size - binary_at));
    }
    input.is_in_body = true;
    input.body_offset = binary_at;
    input.body_size = size;
    binary_at += size;
    return {};
  }
  if (!data) {
    return invalid(
        "it has no 'data'; binary tensors need parameter 'binary_data_size' and the header "
        "Inference-Header-Content-Length");
  }
  if (input.type == DataType::kFp16) {
    return invalid("FP16 has no JSON form; send it as binary data");
  }
  // An element takes two bytes of JSON at least: an absurd shape costs no memory.
  if (count > body_size) {
    return invalid(fmt::format("its shape says {} elements, 'data' has fewer", count));
  }
  return ElementWriter(input.type, count, input.own_bytes).write(*data);
}

Result<InferRequest::Input> read_input(dom::object tensor, size_t body_size, size_t& binary_at) {
  InferRequest::Input input;
  SKERRY_ASSIGN(input.name, member<std::string_view>(tensor, "name", "a string"));
  const auto read = [&]() -> Result<void> {
    SKERRY_ASSIGN(const auto type, member<std::string_view>(tensor, "datatype", "a string"));
    SKERRY_ASSIGN(input.type, runtime::parse_data_type(type));
    SKERRY_ASSIGN(input.shape, read_shape(tensor));
    return read_data(tensor, body_size, binary_at, input);
  };
  auto done = read();
  if (!done) return fail(done.error().with_context(fmt::format("input '{}'", input.name)));
  return input;
}

Result<void> read_outputs(dom::object root, InferRequest& request) {
  SKERRY_ASSIGN(auto array, optional_member<dom::array>(root, "outputs", "an array"));
  if (!array) return {};
  for (const dom::element element : *array) {
    dom::object output;
    if (element.get(output) != simdjson::SUCCESS) return invalid("'outputs' must hold objects");
    if (request.outputs.size() == kMaxTensors) return invalid("too many outputs");
    RequestedOutput requested;
    SKERRY_ASSIGN(requested.name, member<std::string_view>(output, "name", "a string"));
    auto parameters = read_parameters(output);
    if (!parameters) {
      return fail(parameters.error().with_context(fmt::format("output '{}'", requested.name)));
    }
    requested.binary = parameters->binary_data;
    request.outputs.push_back(std::move(requested));
  }
  return {};
}

Result<void> read_request(dom::object root, size_t json_bytes, InferRequest& request) {
  const size_t body_size = request.body.size();
  SKERRY_ASSIGN(auto id, optional_member<std::string_view>(root, "id", "a string"));
  request.id = id.value_or("");
  SKERRY_ASSIGN(auto parameters, optional_member<dom::object>(root, "parameters", "an object"));
  if (parameters) {
    SKERRY_ASSIGN(auto binary,
                  optional_member<bool>(*parameters, "binary_data_output", "true or false"));
    request.binary_output = binary.value_or(false);
  }
  SKERRY_ASSIGN(const auto inputs, member<dom::array>(root, "inputs", "an array"));
  size_t binary_at = json_bytes;
  for (const dom::element element : inputs) {
    dom::object tensor;
    if (element.get(tensor) != simdjson::SUCCESS) return invalid("'inputs' must hold objects");
    if (request.inputs.size() == kMaxTensors) return invalid("too many inputs");
    SKERRY_ASSIGN(auto input, read_input(tensor, body_size, binary_at));
    request.inputs.push_back(std::move(input));
  }
  if (binary_at != body_size) {
    return invalid(fmt::format("{} bytes of the body belong to no input", body_size - binary_at));
  }
  return read_outputs(root, request);
}

}  // namespace

std::vector<runtime::TensorView> InferRequest::views() const {
  const auto body_bytes = std::as_bytes(std::span(body));
  std::vector<runtime::TensorView> views;
  views.reserve(inputs.size());
  for (const Input& input : inputs) {
    views.push_back({input.name, input.type, input.shape,
                     input.is_in_body ? body_bytes.subspan(input.body_offset, input.body_size)
                                      : std::span(input.own_bytes)});
  }
  return views;
}

struct RequestDecoder::Impl {
  dom::parser parser;
};

RequestDecoder::RequestDecoder() : impl_(std::make_unique<Impl>()) {}
RequestDecoder::~RequestDecoder() = default;

Result<InferRequest> RequestDecoder::decode(std::string body, std::optional<size_t> json_bytes) {
  InferRequest request;
  request.body = std::move(body);
  const size_t json_size = json_bytes.value_or(request.body.size());
  if (json_size > request.body.size()) {
    return invalid(fmt::format("Inference-Header-Content-Length is {}, the body has {} bytes",
                               json_size, request.body.size()));
  }
  if (impl_->parser.capacity() > kKeptParserBytes) impl_->parser = dom::parser();
  dom::object root;
  if (auto error = impl_->parser.parse(request.body.data(), json_size).get(root)) {
    return invalid(
        fmt::format("the request is not a JSON object: {}", simdjson::error_message(error)));
  }
  SKERRY_TRY(read_request(root, json_size, request));
  return request;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

namespace {

template <class T>
Result<void> append_numbers(std::string& out, const runtime::Tensor& tensor) {
  const size_t count = tensor.bytes.size() / sizeof(T);
  for (size_t i = 0; i < count; ++i) {
    T value{};
    std::memcpy(&value, tensor.bytes.data() + i * sizeof value, sizeof value);
    if constexpr (std::floating_point<T>) {
      if (!std::isfinite(value)) {
        return invalid(
            fmt::format("element {} is {}, which JSON does not have; ask for "
                        "\"binary_data\"",
                        i, value));
      }
    }
    if (i > 0) out += ',';
    if constexpr (std::floating_point<T>) {
      if (value == 0 && std::signbit(value)) {
        out += "-0.0";  // "-0" would be read as an integer, which has no sign at 0
        continue;
      }
    }
    // The shortest text that reads back as the same value.
    if constexpr (sizeof(T) == 1) {
      fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}"), static_cast<int>(value));
    } else {
      fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}"), value);
    }
  }
  return {};
}

Result<void> append_elements(std::string& out, const runtime::Tensor& tensor) {
  switch (tensor.type) {
    case DataType::kFp16:
      return invalid("FP16 has no JSON form; ask for \"binary_data\"");
    case DataType::kBool:
      for (size_t i = 0; i < tensor.bytes.size(); ++i) {
        out.append(i > 0 ? "," : "").append(tensor.bytes[i] == std::byte{0} ? "false" : "true");
      }
      return {};
    case DataType::kBytes: {
      SKERRY_ASSIGN(const size_t count, runtime::element_count(tensor.shape));
      SKERRY_ASSIGN(const auto elements, runtime::split_bytes(tensor.bytes, count));
      for (size_t i = 0; i < count; ++i) {
        if (!simdjson::validate_utf8(elements[i])) {
          return invalid(fmt::format("element {} is not UTF-8; ask for \"binary_data\"", i));
        }
        if (i > 0) out += ',';
        append_json_string(out, elements[i]);
      }
      return {};
    }
    default:
      return visit_numeric(tensor.type, [&]<class T>(T) { return append_numbers<T>(out, tensor); });
  }
}

bool wants_binary(const InferRequest& request, size_t output) {
  if (output < request.outputs.size()) {
    return request.outputs[output].binary.value_or(request.binary_output);
  }
  return request.binary_output;
}

}  // namespace

Result<EncodedAnswer> encode_answer(std::string_view model, std::string_view version,
                                    const InferRequest& request,
                                    std::span<const runtime::Tensor> outputs) {
  EncodedAnswer answer;
  std::string& out = answer.body;
  size_t binary_bytes = 0;
  out += "{\"model_name\":";
  append_json_string(out, model);
  out += ",\"model_version\":";
  append_json_string(out, version);
  if (!request.id.empty()) {
    out += ",\"id\":";
    append_json_string(out, request.id);
  }
  out += ",\"outputs\":[";
  for (size_t i = 0; i < outputs.size(); ++i) {
    const runtime::Tensor& tensor = outputs[i];
    out += i > 0 ? ",{\"name\":" : "{\"name\":";
    append_json_string(out, tensor.name);
    out.append(",\"datatype\":\"").append(name_of(tensor.type)).append("\",\"shape\":[");
    for (size_t d = 0; d < tensor.shape.size(); ++d) {
      fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}{}"), d > 0 ? "," : "",
                     tensor.shape[d]);
    }
    if (wants_binary(request, i)) {
      fmt::format_to(std::back_inserter(out),
                     FMT_COMPILE("],\"parameters\":{{\"binary_data_size\":{}}}}}"),
                     tensor.bytes.size());
      answer.json_bytes = 0;
      binary_bytes += tensor.bytes.size();
      continue;
    }
    out += "],\"data\":[";
    auto appended = append_elements(out, tensor);
    if (!appended) {
      return fail(appended.error().with_context(fmt::format("output '{}'", tensor.name)));
    }
    out += "]}";
  }
  out += "]}";
  if (!answer.json_bytes) return answer;
  answer.json_bytes = out.size();
  out.reserve(out.size() + binary_bytes);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!wants_binary(request, i)) continue;
    out.append(reinterpret_cast<const char*>(outputs[i].bytes.data()), outputs[i].bytes.size());
  }
  return answer;
}

}  // namespace skerry::serve
