// Device shadows in the store (formats/shadow.h has their rules). One request, one unit of work:
// what is to be said of a change goes into the session's effects, whoever asked for it, and is
// published when the change is on the disk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/records.h"
#include "formats/shadow.h"

namespace skerry::fleet {

class Store;

inline constexpr size_t kShadowsOfThing = 1'000;  // deleted ones make room for new ones
// So long the version of a deleted shadow goes on where it is made again; then it begins anew.
inline constexpr int64_t kDeletedShadowMs = int64_t{48} * 3'600'000;

// The document that answers, or why there is none; an Error where the store is the reason. Only a
// thing of the registry has shadows. `payload` is the request's, of which get and delete take the
// client token.
using ShadowAnswer = formats::ShadowResult<std::string>;
Result<ShadowAnswer> get_shadow(Store& store, const formats::ShadowKey& key,
                                std::string_view payload, int64_t now_ms);
Result<ShadowAnswer> update_shadow(Store& store, const formats::ShadowKey& key,
                                   std::string_view payload, int64_t now_ms);
Result<ShadowAnswer> delete_shadow(Store& store, const formats::ShadowKey& key,
                                   std::string_view payload, int64_t now_ms);
// Named ones, by name.
Result<Slice<std::string>> list_named_shadows(Store& store, const ThingName& thing,
                                              const Page& page);
// Forgets deleted ones whose time is over, at most `limit`; how many.
Result<int64_t> prune_shadows(Store& store, int64_t now_ms, int64_t limit);

}  // namespace skerry::fleet
