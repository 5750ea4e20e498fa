// From the parts of a request to the members of its struct.
#include "fleet/aws/fields.h"

#include "base/check.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

// Null where the field was not given.
Result<json> given(const Field& field, RawRequest& raw) {
  const std::string name(field.name);
  if (field.in == In::kPayload) return raw.payload.empty() ? json() : json(raw.payload);
  if (field.in == In::kBody) {
    auto found = raw.body.find(name);
    if (found == raw.body.end() || found->is_null()) return json();
    json value = std::move(*found);
    SKERRY_TRY(check(*field.shape, value, name));
    return value;
  }
  if (field.in == In::kQuery && field.shape->type == Type::kList) {
    json list = json::array();
    auto [first, last] = raw.query.equal_range(name);
    if (first == last) return json();
    for (; first != last; ++first) {
      SKERRY_ASSIGN(json element, from_text(*field.shape->element, first->second, name));
      list.push_back(std::move(element));
    }
    SKERRY_TRY(check(*field.shape, list, name));
    return list;
  }
  const std::string* text = nullptr;
  if (field.in == In::kQuery) {
    if (auto found = raw.query.find(name); found != raw.query.end()) text = &found->second;
  } else {
    const auto& values = field.in == In::kPath ? raw.path : raw.headers;
    if (auto found = values.find(name); found != values.end()) text = &found->second;
  }
  return text ? from_text(*field.shape, *text, name) : Result<json>(json());
}

}  // namespace

Result<json> bind_request(std::span<const Field> fields, RawRequest raw, void* request) {
  json all = json::object();
  for (const Field& field : fields) {
    SKERRY_ASSIGN(json value, given(field, raw));
    if (value.is_null()) {
      if (!field.required) continue;
      return fail(Code::kInvalidArgument, std::string(field.name) + ": is required");
    }
    field.store(request, value);
    all[std::string(field.name)] = std::move(value);
  }
  return all;
}

void read_into(std::string& member, const json& value) {
  SKERRY_CHECK(value.is_string(), "the field's shape is no string");
  member = value.get<std::string>();
}
void read_into(std::optional<std::string>& member, const json& value) {
  read_into(member.emplace(), value);
}
void read_into(std::optional<int64_t>& member, const json& value) {
  SKERRY_CHECK(value.is_number_integer(), "the field's shape is no whole number");
  member = value.get<int64_t>();
}
void read_into(bool& member, const json& value) {
  SKERRY_CHECK(value.is_boolean(), "the field's shape is no boolean");
  member = value.get<bool>();
}
void read_into(std::optional<bool>& member, const json& value) {
  read_into(member.emplace(), value);
}
void read_into(json& member, const json& value) {
  member = value;
}
void read_into(std::optional<json>& member, const json& value) {
  member = value;
}
void read_into(std::vector<std::string>& member, const json& value) {
  SKERRY_CHECK(value.is_array(), "the field's shape is no list");
  for (const json& element : value) read_into(member.emplace_back(), element);
}

}  // namespace skerry::fleet::aws
