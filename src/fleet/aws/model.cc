// Judging values by their shapes.
#include "fleet/aws/model.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/utf8.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

std::unexpected<Error> wrong(const std::string& place, const std::string& message) {
  return fail(Code::kInvalidArgument, place + ": " + message);
}

std::string within(const std::string& place, std::string_view name) {
  return place.empty() ? std::string(name) : place + "." + std::string(name);
}

std::string bounds(const Shape& shape) {
  if (!shape.max) return "at least " + std::to_string(shape.min.value_or(0));
  if (!shape.min) return "at most " + std::to_string(*shape.max);
  return std::to_string(*shape.min) + " to " + std::to_string(*shape.max);
}

Result<void> check_count(const Shape& shape, size_t count, std::string_view unit,
                         const std::string& place) {
  const auto number = static_cast<int64_t>(count);
  if ((shape.min && number < *shape.min) || (shape.max && number > *shape.max)) {
    return wrong(place, "must have " + bounds(shape) + " " + std::string(unit) + ", has " +
                            std::to_string(count));
  }
  return {};
}

Result<void> check_text(const Shape& shape, const std::string& text, const std::string& place) {
  SKERRY_TRY(check_count(shape, utf8_length(text), "characters", place));
  if (shape.pattern && !shape.pattern->matches(text)) {
    return wrong(place, "must match " + std::string(shape.pattern->expression));
  }
  if (shape.values.empty() || std::ranges::find(shape.values, text) != shape.values.end())
    return {};
  std::string choices;
  for (std::string_view value : shape.values) {
    choices += (choices.empty() ? "" : ", ") + std::string(value);
  }
  return wrong(place, "'" + text.substr(0, 64) + "' is none of " + choices);
}

Result<void> check_string(const Shape& shape, json& value, const std::string& place) {
  if (!value.is_string()) return wrong(place, "must be a string");
  return check_text(shape, value.get_ref<const std::string&>(), place);
}

Result<void> check_blob(const Shape&, json& value, const std::string& place) {
  if (!value.is_string()) return wrong(place, "must be base64 in a string");
  auto bytes = base64_decode(value.get_ref<const std::string&>());
  if (!bytes) return wrong(place, bytes.error().message());
  return {};
}

Result<void> check_integer(const Shape& shape, json& value, const std::string& place) {
  const bool fits =
      value.is_number_integer() &&
      (!value.is_number_unsigned() || value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  if (!fits) return wrong(place, "must be a whole number");
  const int64_t number = value.get<int64_t>();
  const bool is_long = shape.type == Type::kLong;
  if (!is_long && (number > INT32_MAX || number < INT32_MIN)) {
    return wrong(place, "must be a number of 32 bits");
  }
  if ((shape.min && number < *shape.min) || (shape.max && number > *shape.max)) {
    return wrong(place, "must be a number: " + bounds(shape));
  }
  return {};
}

Result<void> check_double(const Shape& shape, json& value, const std::string& place) {
  if (!value.is_number()) return wrong(place, "must be a number");
  const double number = value.get<double>();
  if ((shape.min && number < static_cast<double>(*shape.min)) ||
      (shape.max && number > static_cast<double>(*shape.max))) {
    return wrong(place, "must be a number: " + bounds(shape));
  }
  return {};
}

Result<void> check_list(const Shape& shape, json& value, const std::string& place) {
  if (!value.is_array()) return wrong(place, "must be a list");
  SKERRY_TRY(check_count(shape, value.size(), "elements", place));
  for (size_t i = 0; i < value.size(); ++i) {
    SKERRY_TRY(check(*shape.element, value[i], place + "[" + std::to_string(i) + "]"));
  }
  return {};
}

void drop_nulls(json& object) {
  for (auto member = object.begin(); member != object.end();) {
    member = member->is_null() ? object.erase(member) : std::next(member);
  }
}

Result<void> check_map(const Shape& shape, json& value, const std::string& place) {
  if (!value.is_object()) return wrong(place, "must be an object");
  drop_nulls(value);
  SKERRY_TRY(check_count(shape, value.size(), "members", place));
  for (auto member = value.begin(); member != value.end(); ++member) {
    const std::string& key = member.key();
    SKERRY_TRY(check_text(*shape.key, key, place + ": the name '" + key.substr(0, 64) + "'"));
    if (shape.element == nullptr) continue;  // a document with a parser of its own
    SKERRY_TRY(check(*shape.element, *member, within(place, key)));
  }
  return {};
}

Result<void> check_structure(const Shape& shape, json& value, const std::string& place) {
  if (!value.is_object()) return wrong(place, "must be an object");
  json known = json::object();
  for (const Member& member : shape.members) {
    auto found = value.find(std::string(member.name));
    if (found == value.end() || found->is_null()) {
      if (member.required) return wrong(within(place, member.name), "is required");
      continue;
    }
    SKERRY_TRY(check(*member.shape, *found, within(place, member.name)));
    known[std::string(member.name)] = std::move(*found);
  }
  value = std::move(known);
  return {};
}

std::string_view name_of(Type type) {
  constexpr std::string_view kNames[] = {"string",  "blob", "integer", "long",     "double",
                                         "boolean", "list", "map",     "structure"};
  return kNames[static_cast<size_t>(type)];
}

}  // namespace

Result<void> check(const Shape& shape, json& value, const std::string& place) {
  switch (shape.type) {
    case Type::kString:
      return check_string(shape, value, place);
    case Type::kBlob:
      return check_blob(shape, value, place);
    case Type::kInteger:
    case Type::kLong:
      return check_integer(shape, value, place);
    case Type::kDouble:
      return check_double(shape, value, place);
    case Type::kBoolean:
      if (!value.is_boolean()) return wrong(place, "must be true or false");
      return {};
    case Type::kList:
      return check_list(shape, value, place);
    case Type::kMap:
      return check_map(shape, value, place);
    case Type::kStructure:
      return check_structure(shape, value, place);
  }
  return wrong(place, "has no known shape");
}

Result<json> from_text(const Shape& shape, const std::string& text, const std::string& place) {
  if (!is_utf8(text)) return wrong(place, "must be UTF-8");
  json value = text;
  if (shape.type == Type::kInteger || shape.type == Type::kLong) {
    int64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) {
      return wrong(place, "must be a whole number");
    }
    value = number;
  } else if (shape.type == Type::kBoolean) {
    // botocore writes true, Python's urlencode True.
    const bool is_true = text == "true" || text == "True";
    if (!is_true && text != "false" && text != "False")
      return wrong(place, "must be true or false");
    value = is_true;
  }
  SKERRY_TRY(check(shape, value, place));
  return value;
}

json describe(const Shape& shape) {
  json text = {{"type", std::string(name_of(shape.type))}};
  if (shape.min) text["min"] = *shape.min;
  if (shape.max) text["max"] = *shape.max;
  if (shape.pattern) text["pattern"] = std::string(shape.pattern->expression);
  for (std::string_view value : shape.values) text["enum"].push_back(std::string(value));
  if (shape.key) text["key"] = describe(*shape.key);
  if (shape.element) text["element"] = describe(*shape.element);
  for (const Member& member : shape.members) {
    json described = describe(*member.shape);
    described["required"] = member.required;
    text["members"][std::string(member.name)] = std::move(described);
  }
  return text;
}

}  // namespace skerry::fleet::aws
