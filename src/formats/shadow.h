// Device shadows: a document of what a thing is wished to be (desired) and says it is (reported),
// as AWS IoT keeps it. The rules of updates and the documents that follow from them; where shadows
// are kept is their owner's business. Source: AWS IoT, "Device Shadow service documents".
//
//   update    {"state":{"desired":{…},"reported":{…}},"version":7,"clientToken":"…"}
//   document
//   {"state":{…,"delta":{…}},"metadata":{…},"version":8,"timestamp":1732…,"clientToken":"…"}
//
// Objects are merged key by key, null removes, everything else replaces. Metadata has the shape of
// the state with {"timestamp": seconds} at its leaves.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/named_type.h"
#include "formats/json_ptr.h"

namespace skerry::formats {

struct ShadowLimits {
  size_t state_bytes = 8 << 10;  // desired and reported together, as compact text
  int depth = 8;                 // levels of desired and of reported
};

// Why a request is rejected, with AWS's code and text.
struct ShadowError {
  int code = 0;  // 400, 404, 409, 413
  std::string message;
};
template <class T>
using ShadowResult = std::expected<T, ShadowError>;

struct ShadowKey {
  ThingName thing;
  std::string name;  // "": the classic shadow
  auto operator<=>(const ShadowKey&) const = default;
};

// The part "desired" or "reported": its state and metadata, both null where there is none.
struct ShadowPart {
  JsonPtr state, metadata;
};

struct Shadow {
  int64_t version = 0;   // of the last change; 0: there never was one
  bool deleted = false;  // its version goes on when it is made again
  ShadowPart desired, reported;

  bool exists() const { return version > 0 && !deleted; }
};

struct ShadowUpdate {
  JsonPtr state;  // an object with desired, reported or both
  std::optional<int64_t> version;
  std::optional<std::string> client_token;
};

// 400 names what is wrong, 413 for a payload that no shadow could hold.
ShadowResult<ShadowUpdate> parse_shadow_update(std::string_view payload,
                                               const ShadowLimits& limits = {});
// The token of any request, where it has one: also of one that is to be rejected.
std::optional<std::string> shadow_client_token(std::string_view payload);

// `before` with the update. 409 where the update is of another version than `before`, 413 where the
// result is too large.
ShadowResult<Shadow> apply_shadow_update(const Shadow& before, const ShadowUpdate& update,
                                         int64_t now_s, const ShadowLimits& limits = {});

// 1 to 64 of a-z A-Z 0-9 - _ : $; the classic shadow is "". 400 where it is not one.
ShadowResult<void> check_shadow_name(std::string_view name);

// "$aws/things/T/shadow" or "$aws/things/T/shadow/name/N".
std::string shadow_topic(std::string_view thing, std::string_view name);
struct ShadowTopic {
  ShadowKey key;
  std::string below;  // "get", "update/accepted", …
};
// Nothing where it is no topic of a shadow, or one of a shadow that there cannot be.
std::optional<ShadowTopic> parse_shadow_topic(std::string_view topic);

using ClientToken = std::optional<std::string>;
// What get/accepted carries. The shadow exists.
std::string shadow_document(const Shadow& shadow, int64_t now_s, const ClientToken& token);
// What update/accepted carries: what was asked for, with the metadata that it got in `after`.
std::string shadow_accepted(const Shadow& after, const ShadowUpdate& update, int64_t now_s);
// What update/delta carries; nothing where desired and reported agree.
std::optional<std::string> shadow_delta(const Shadow& shadow, int64_t now_s,
                                        const ClientToken& token);
// What update/documents carries.
std::string shadow_change(const Shadow& before, const Shadow& after, int64_t now_s,
                          const ClientToken& token);
// What delete/accepted carries.
std::string shadow_deleted(const Shadow& shadow, int64_t now_s, const ClientToken& token);
// What …/rejected carries.
std::string shadow_rejected(const ShadowError& error, int64_t now_s, const ClientToken& token);
ShadowError no_shadow(std::string_view name);  // 404

// As kept on a disk: one line, {"version":…,"deleted":…,"desired":{"state","metadata"},…}.
std::string shadow_record(const Shadow& shadow);
Result<Shadow> parse_shadow_record(std::string_view text);

}  // namespace skerry::formats
