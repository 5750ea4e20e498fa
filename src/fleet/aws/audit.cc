// Shortening a request for the audit log.
#include "fleet/aws/audit.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "net/http.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr size_t kMostText = 256;
constexpr size_t kMostElements = 32;
constexpr size_t kMostDetails = 4096;

bool is_secret(std::string_view name) {
  return name == "password" || name == "secretAccessKey";
}

json shortened(const json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() <= kMostText) return value;
    return fmt::format("({} bytes)", text.size());
  }
  if (value.is_array()) {
    json list = json::array();
    for (const json& element : value) {
      if (list.size() == kMostElements) {
        list.push_back(fmt::format("({} more)", value.size() - kMostElements));
        break;
      }
      list.push_back(shortened(element));
    }
    return list;
  }
  if (!value.is_object()) return value;
  json object = json::object();
  for (const auto& [name, member] : value.items()) {
    if (object.size() == kMostElements) {
      object["…"] = fmt::format("({} more)", value.size() - kMostElements);
      break;
    }
    object[name] = is_secret(name) ? json("(secret)") : shortened(member);
  }
  return object;
}

}  // namespace

AuditEntry audit_entry(const Identity& who, const Route& route, std::string_view target,
                       const json& body) {
  AuditEntry entry;
  entry.actor = who.name;
  entry.role = who.role;
  entry.via = who.via;
  entry.operation = fmt::format("{}:{}", route.service, route.name);
  const auto [path, query] = net::split_target(target);
  auto decoded = net::percent_decode(path);
  entry.resource = decoded ? *decoded : std::string(path);
  if (!query.empty()) entry.resource.append("?").append(query);
  entry.details_json = formats::json_text(shortened(body));
  if (entry.details_json.size() > kMostDetails) {
    entry.details_json = json{{"…", fmt::format("({} bytes)", entry.details_json.size())}}.dump();
  }
  return entry;
}

}  // namespace skerry::fleet::aws
