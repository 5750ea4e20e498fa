// Each operation: the disk's work, then what is told of it.
#include "nucleus/local_shadows.h"

namespace skerry::nucleus {

using formats::Shadow;
using formats::ShadowError;
using formats::ShadowResult;

void LocalShadows::tell(const ShadowKey& key, std::string_view what,
                        const std::string& document) const {
  tell_(formats::shadow_topic(key.thing.str(), key.name) + std::string(what), document);
}

ShadowError LocalShadows::reject(const ShadowKey& key, std::string_view operation,
                                 ShadowError error, const formats::ClientToken& token) const {
  tell(key, "/" + std::string(operation) + "/rejected",
       formats::shadow_rejected(error, now_s(), token));
  return error;
}

void LocalShadows::note_change(const ShadowKey& key, Who who) const {
  if (who == Who::kComponent && changed_) changed_(key);
}

io::Task<ShadowResult<std::string>> LocalShadows::get(ShadowKey key) {
  const auto shadow = co_await on_disk([key](ShadowFiles& files) { return files.get(key); });
  if (!shadow) co_return std::unexpected(reject(key, "get", shadow.error(), {}));
  std::string document = formats::shadow_document(*shadow, now_s(), {});
  tell(key, "/get/accepted", document);
  co_return document;
}

io::Task<ShadowResult<std::string>> LocalShadows::update(ShadowKey key, std::string payload,
                                                         Who who) {
  const int64_t now = now_s();
  const auto token = formats::shadow_client_token(payload);
  const auto request = formats::parse_shadow_update(payload, files_.limits().document);
  if (!request) co_return std::unexpected(reject(key, "update", request.error(), token));
  const auto changed = co_await on_disk(
      [key, update = *request, now](ShadowFiles& files) { return files.update(key, update, now); });
  if (!changed) co_return std::unexpected(reject(key, "update", changed.error(), token));
  std::string accepted = formats::shadow_accepted(changed->after, *request, now);
  if (auto delta = formats::shadow_delta(changed->after, now, token)) {
    tell(key, "/update/delta", *delta);
  }
  tell(key, "/update/documents",
       formats::shadow_change(changed->before, changed->after, now, token));
  tell(key, "/update/accepted", accepted);
  note_change(key, who);
  co_return accepted;
}

io::Task<ShadowResult<std::string>> LocalShadows::remove(ShadowKey key, Who who,
                                                         std::optional<int64_t> version) {
  const auto deleted = co_await on_disk([key, version](ShadowFiles& files) -> ShadowResult<Shadow> {
    const auto present = files.get(key);
    if (present && version && present->version != *version) {
      return std::unexpected(ShadowError{409, "Version conflict"});
    }
    return files.remove(key);
  });
  if (!deleted) co_return std::unexpected(reject(key, "delete", deleted.error(), {}));
  std::string document = formats::shadow_deleted(*deleted, now_s(), {});
  tell(key, "/delete/accepted", document);
  note_change(key, who);
  co_return document;
}

}  // namespace skerry::nucleus
