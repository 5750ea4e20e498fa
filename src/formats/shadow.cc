// Merging, metadata and differences are three walks over the same shape; the rest is framing.
#include "formats/shadow.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "formats/limits.h"
#include "formats/names.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr size_t kMaxNameBytes = 64;
constexpr const char* kParts[] = {"desired", "reported"};

std::unexpected<ShadowError> reject(int code, std::string message) {
  return std::unexpected(ShadowError{code, std::move(message)});
}

// Levels of objects and lists; a plain value has none.
int depth_of(const json& value) {
  int deepest = 0;
  if (!value.is_structured()) return deepest;
  for (const json& child : value) deepest = std::max(deepest, depth_of(child));
  return deepest + 1;
}

// {"timestamp": now} for each leaf of `value`.
json stamped(const json& value, int64_t now_s) {
  if (value.is_array()) {
    json list = json::array();
    for (const json& item : value) list.push_back(stamped(item, now_s));
    return list;
  }
  if (!value.is_object()) return {{"timestamp", now_s}};
  json object = json::object();
  for (const auto& [key, child] : value.items()) object[key] = stamped(child, now_s);
  return object;
}

// Keys with null say that there is to be nothing, also inside of what is new.
json without_nulls(const json& value) {
  if (!value.is_object()) return value;
  json object = json::object();
  for (const auto& [key, child] : value.items()) {
    if (!child.is_null()) object[key] = without_nulls(child);
  }
  return object;
}

void merge(json& state, json& metadata, const json& patch, int64_t now_s) {
  if (!state.is_object()) state = json::object();
  if (!metadata.is_object()) metadata = json::object();
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null()) {
      state.erase(key);
      metadata.erase(key);
    } else if (value.is_object() && state.contains(key) && state[key].is_object()) {
      merge(state[key], metadata[key], value, now_s);
    } else {
      state[key] = without_nulls(value);
      metadata[key] = stamped(state[key], now_s);
    }
  }
}

// What of `desired` is not so in `reported`, with its metadata; null where all is.
json difference(const json& desired, const json& reported, const json& metadata,
                json& difference_metadata) {
  if (!desired.is_object() || !reported.is_object()) {
    if (desired == reported) return nullptr;
    difference_metadata = metadata;
    return desired;
  }
  json result = json::object();
  for (const auto& [key, value] : desired.items()) {
    const auto other = reported.find(key);
    const json of_key = metadata.is_object() && metadata.contains(key) ? metadata[key] : json();
    if (other == reported.end()) {
      result[key] = value;
      difference_metadata[key] = of_key;
      continue;
    }
    json below_metadata;
    json below = difference(value, *other, of_key, below_metadata);
    if (below.is_null()) continue;
    result[key] = std::move(below);
    difference_metadata[key] = std::move(below_metadata);
  }
  return result.empty() ? json() : result;
}

// The metadata that the keys of `patch` have; of removed ones nothing.
json metadata_of(const json& patch, const json& metadata) {
  if (!patch.is_object() || !metadata.is_object()) return metadata;
  json result = json::object();
  for (const auto& [key, value] : patch.items()) {
    if (!value.is_null() && metadata.contains(key)) {
      result[key] = metadata_of(value, metadata[key]);
    }
  }
  return result;
}

const ShadowPart& part_of(const Shadow& shadow, std::string_view name) {
  return name == "desired" ? shadow.desired : shadow.reported;
}

ShadowPart& part_of(Shadow& shadow, std::string_view name) {
  return name == "desired" ? shadow.desired : shadow.reported;
}

json value_of(const JsonPtr& pointer) {
  return pointer ? *pointer : json();
}

size_t bytes_of(const ShadowPart& part) {
  return part.state ? json_text(*part.state).size() : 0;
}

// "state" and "metadata" as every document has them.
json framed(const Shadow& shadow) {
  json frame = {{"state", json::object()}, {"metadata", json::object()}};
  for (const char* name : kParts) {
    const ShadowPart& part = part_of(shadow, name);
    if (!part.state) continue;
    frame["state"][name] = *part.state;
    frame["metadata"][name] = value_of(part.metadata);
  }
  frame["version"] = shadow.version;
  return frame;
}

json delta_of(const Shadow& shadow, json& metadata) {
  if (!shadow.desired.state) return nullptr;
  const json reported = shadow.reported.state ? *shadow.reported.state : json::object();
  return difference(*shadow.desired.state, reported, value_of(shadow.desired.metadata), metadata);
}

std::string finished(json document, int64_t now_s, const ClientToken& token) {
  document["timestamp"] = now_s;
  if (token) document["clientToken"] = *token;
  return json_text(document);
}

}  // namespace

std::optional<std::string> shadow_client_token(std::string_view payload) {
  const auto request = parse_json(payload);
  if (!request || !request->is_object()) return std::nullopt;
  const auto token = request->find("clientToken");
  if (token == request->end() || !token->is_string()) return std::nullopt;
  std::string text = token->get<std::string>();
  if (text.size() > kMaxClientTokenBytes) return std::nullopt;
  return text;
}

ShadowResult<ShadowUpdate> parse_shadow_update(std::string_view payload,
                                               const ShadowLimits& limits) {
  // What surrounds the state is small; more than this cannot come to a state within the limit but
  // by removing keys one by one.
  if (payload.size() > 16 * limits.state_bytes) {
    return reject(413, "The payload exceeds the maximum size allowed");
  }
  const auto parsed = parse_json(payload);
  if (!parsed && parsed.error().code() == Code::kResourceExhausted) {
    return reject(400, "JSON contains too many levels of nesting; maximum is " +
                           std::to_string(limits.depth));
  }
  if (!parsed || !parsed->is_object()) return reject(400, "Invalid JSON");
  const json& request = *parsed;
  const auto state = request.find("state");
  if (state == request.end()) return reject(400, "Missing required node: state");
  if (!state->is_object()) return reject(400, "State node must be an object");
  for (const auto& [key, value] : state->items()) {
    if (key != "desired" && key != "reported") {
      return reject(400, "State contains an invalid node: '" + key + "'");
    }
    if (!value.is_object() && !value.is_null()) {
      return reject(400, (key == "desired" ? "Desired" : "Reported") +
                             std::string(" node must be an object"));
    }
    if (depth_of(value) > limits.depth) {
      return reject(400, "JSON contains too many levels of nesting; maximum is " +
                             std::to_string(limits.depth));
    }
  }
  if (state->empty()) return reject(400, "State node must contain desired, reported or both");
  ShadowUpdate update;
  update.state = share(*state);
  if (const auto version = request.find("version");
      version != request.end() && !version->is_null()) {
    if (!version->is_number_integer() || *version < 0 || *version > INT64_MAX) {
      return reject(400, "Invalid version");
    }
    update.version = version->get<int64_t>();
  }
  if (const auto token = request.find("clientToken"); token != request.end() && !token->is_null()) {
    if (!token->is_string() || token->get_ref<const std::string&>().size() > kMaxClientTokenBytes) {
      return reject(400, "Invalid clientToken");
    }
    update.client_token = token->get<std::string>();
  }
  return update;
}

ShadowResult<Shadow> apply_shadow_update(const Shadow& before, const ShadowUpdate& update,
                                         int64_t now_s, const ShadowLimits& limits) {
  if (update.version) {
    if (!before.exists() && *update.version != 0) return reject(400, "Invalid version");
    if (before.exists() && *update.version != before.version)
      return reject(409, "Version conflict");
  }
  Shadow after;
  after.version = before.version + 1;
  if (before.exists()) {
    after.desired = before.desired;
    after.reported = before.reported;
  }
  for (const auto& [name, patch] : update.state->items()) {
    ShadowPart& part = part_of(after, name);
    if (patch.is_null()) {
      part = {};
      continue;
    }
    json state = value_of(part.state), metadata = value_of(part.metadata);
    merge(state, metadata, patch, now_s);
    part = state.empty() ? ShadowPart() : ShadowPart{share(std::move(state)), share(metadata)};
  }
  if (bytes_of(after.desired) + bytes_of(after.reported) > limits.state_bytes) {
    return reject(413, "The payload exceeds the maximum size allowed");
  }
  return after;
}

ShadowResult<void> check_shadow_name(std::string_view name) {
  const bool plain = std::ranges::all_of(name, [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c)) || c == '-' || c == '_' || c == ':' || c == '$';
  });
  if (plain && name.size() <= kMaxNameBytes) return {};
  return reject(400, "a shadow's name has 1 to 64 of a-z A-Z 0-9 - _ : $");
}

std::string shadow_topic(std::string_view thing, std::string_view name) {
  std::string topic = "$aws/things/" + std::string(thing) + "/shadow";
  return name.empty() ? topic : topic + "/name/" + std::string(name);
}

std::optional<ShadowTopic> parse_shadow_topic(std::string_view topic) {
  constexpr std::string_view kThings = "$aws/things/", kShadow = "/shadow/", kNamed = "name/";
  if (!topic.starts_with(kThings)) return std::nullopt;
  topic.remove_prefix(kThings.size());
  const std::string_view thing = topic.substr(0, topic.find('/'));
  topic.remove_prefix(thing.size());
  auto checked = parse_thing_name(thing);
  if (!checked || !topic.starts_with(kShadow)) return std::nullopt;
  topic.remove_prefix(kShadow.size());
  ShadowTopic parsed{{*std::move(checked), ""}, ""};
  if (topic.starts_with(kNamed)) {
    topic.remove_prefix(kNamed.size());
    parsed.key.name = topic.substr(0, topic.find('/'));
    if (parsed.key.name.empty() || !check_shadow_name(parsed.key.name)) return std::nullopt;
    if (topic.size() == parsed.key.name.size()) return std::nullopt;
    topic.remove_prefix(parsed.key.name.size() + 1);
  }
  parsed.below = topic;
  return parsed;
}

std::string shadow_document(const Shadow& shadow, int64_t now_s, const ClientToken& token) {
  json document = framed(shadow);
  json metadata;
  if (json delta = delta_of(shadow, metadata); !delta.is_null()) {
    document["state"]["delta"] = std::move(delta);
  }
  return finished(std::move(document), now_s, token);
}

std::string shadow_accepted(const Shadow& after, const ShadowUpdate& update, int64_t now_s) {
  json document = {{"state", *update.state}, {"version", after.version}};
  json& metadata = document["metadata"] = json::object();
  for (const auto& [name, patch] : update.state->items()) {
    const ShadowPart& part = part_of(after, name);
    if (!patch.is_null() && part.metadata) metadata[name] = metadata_of(patch, *part.metadata);
  }
  return finished(std::move(document), now_s, update.client_token);
}

std::optional<std::string> shadow_delta(const Shadow& shadow, int64_t now_s,
                                        const ClientToken& token) {
  json metadata;
  json delta = delta_of(shadow, metadata);
  if (delta.is_null()) return std::nullopt;
  return finished(
      {{"state", std::move(delta)}, {"metadata", metadata}, {"version", shadow.version}}, now_s,
      token);
}

std::string shadow_change(const Shadow& before, const Shadow& after, int64_t now_s,
                          const ClientToken& token) {
  json change = {{"current", framed(after)}};
  change["previous"] = before.exists() ? framed(before) : json();
  return finished(std::move(change), now_s, token);
}

std::string shadow_deleted(const Shadow& shadow, int64_t now_s, const ClientToken& token) {
  return finished({{"version", shadow.version}}, now_s, token);
}

std::string shadow_rejected(const ShadowError& error, int64_t now_s, const ClientToken& token) {
  return finished({{"code", error.code}, {"message", error.message}}, now_s, token);
}

ShadowError no_shadow(std::string_view name) {
  return {404, "No shadow exists with name: " +
                   (name.empty() ? std::string("Unnamed Shadow") : std::string(name))};
}

std::string shadow_record(const Shadow& shadow) {
  json record = {{"version", shadow.version}};
  if (shadow.deleted) record["deleted"] = true;
  for (const char* name : kParts) {
    const ShadowPart& part = part_of(shadow, name);
    if (part.state) record[name] = {{"state", *part.state}, {"metadata", value_of(part.metadata)}};
  }
  return json_text(record);
}

Result<Shadow> parse_shadow_record(std::string_view text) {
  SKERRY_ASSIGN(const json record, parse_json(text));
  Shadow shadow;
  const auto version = record.is_object() ? record.find("version") : record.end();
  if (version == record.end() || !version->is_number_integer() || *version < 1) {
    return fail(Code::kCorrupt, "a shadow's record has no version");
  }
  shadow.version = version->get<int64_t>();
  shadow.deleted = record.contains("deleted") && record["deleted"] == true;
  for (const char* name : kParts) {
    const auto part = record.find(name);
    if (part == record.end()) continue;
    if (!part->is_object() || !part->contains("state") || !(*part)["state"].is_object()) {
      return fail(Code::kCorrupt, "a shadow's record has no state in " + std::string(name));
    }
    part_of(shadow, name) = {share((*part)["state"]), share(part->value("metadata", json()))};
  }
  return shadow;
}

}  // namespace skerry::formats
