// Answers, straight into one string.
#include <fmt/compile.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <cstring>
#include <iterator>

#include "serve/numeric.h"
#include "serve/tensor_codec.h"

namespace skerry::serve {
namespace {

using tensor::DataType;

std::unexpected<Error> invalid(std::string message) {
  return fail(Code::kInvalidArgument, std::move(message));
}

// The bytes of the UTF-8 character that `text` begins with; 0 where it begins with none.
size_t character_bytes(std::string_view text) {
  for (size_t size = 1; size <= std::min<size_t>(text.size(), 4); ++size) {
    if (simdjson::validate_utf8(text.substr(0, size))) return size;
  }
  return 0;
}

void append_escaped(std::string& out, std::string_view text) {
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
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  if (simdjson::validate_utf8(text)) {
    append_escaped(out, text);
  } else {
    while (!text.empty()) {
      const size_t size = character_bytes(text);
      append_escaped(out, size == 0 ? "\uFFFD" : text.substr(0, size));
      text.remove_prefix(std::max<size_t>(size, 1));
    }
  }
  out += '"';
}

namespace {

template <class T>
Result<void> append_numbers(std::string& out, const tensor::Tensor& tensor) {
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

Result<void> append_elements(std::string& out, const tensor::Tensor& tensor) {
  switch (tensor.type) {
    case DataType::kFp16:
      return invalid("FP16 has no JSON form; ask for \"binary_data\"");
    case DataType::kBool:
      for (size_t i = 0; i < tensor.bytes.size(); ++i) {
        out.append(i > 0 ? "," : "").append(tensor.bytes[i] == std::byte{0} ? "false" : "true");
      }
      return {};
    case DataType::kBytes: {
      SKERRY_ASSIGN(const size_t count, tensor::element_count(tensor.shape));
      SKERRY_ASSIGN(const auto elements, tensor::split_bytes(tensor.bytes, count));
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

// Triton's own clients want a binary_data_size wherever an output has parameters.
void append_range(std::string& out, const SharedRange& range, size_t used_bytes) {
  out += "],\"parameters\":{\"binary_data_size\":0,\"shared_memory_region\":";
  append_json_string(out, range.region);
  fmt::format_to(std::back_inserter(out), FMT_COMPILE(",\"shared_memory_byte_size\":{}"),
                 used_bytes);
  if (range.offset != 0) {
    fmt::format_to(std::back_inserter(out), FMT_COMPILE(",\"shared_memory_offset\":{}"),
                   range.offset);
  }
  out += "}}";
}

}  // namespace

const AnswerForm::Output* find_output(const AnswerForm& form, size_t output) {
  return output < form.outputs.size() ? &form.outputs[output] : nullptr;
}

bool wants_binary(const AnswerForm& form, size_t output) {
  const AnswerForm::Output* said = find_output(form, output);
  if (said == nullptr) return form.binary_output;
  return !said->shared && said->binary.value_or(form.binary_output);
}

Result<EncodedAnswer> encode_answer(std::string_view model, std::string_view version,
                                    const AnswerForm& form,
                                    std::span<const tensor::Tensor> outputs) {
  EncodedAnswer answer;
  std::string& out = answer.body;
  size_t binary_bytes = 0;
  out += "{\"model_name\":";
  append_json_string(out, model);
  out += ",\"model_version\":";
  append_json_string(out, version);
  if (!form.id.empty()) {
    out += ",\"id\":";
    append_json_string(out, form.id);
  }
  out += ",\"outputs\":[";
  for (size_t i = 0; i < outputs.size(); ++i) {
    const tensor::Tensor& tensor = outputs[i];
    out += i > 0 ? ",{\"name\":" : "{\"name\":";
    append_json_string(out, tensor.name);
    out.append(",\"datatype\":\"").append(name_of(tensor.type)).append("\",\"shape\":[");
    for (size_t d = 0; d < tensor.shape.size(); ++d) {
      fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}{}"), d > 0 ? "," : "",
                     tensor.shape[d]);
    }
    if (const auto* said = find_output(form, i); said != nullptr && said->shared) {
      append_range(out, *said->shared, tensor.bytes.size());
      continue;
    }
    if (wants_binary(form, i)) {
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
    if (!wants_binary(form, i)) continue;
    out.append(reinterpret_cast<const char*>(outputs[i].bytes.data()), outputs[i].bytes.size());
  }
  return answer;
}

}  // namespace skerry::serve
