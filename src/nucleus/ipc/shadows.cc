// GetThingShadow, UpdateThingShadow, DeleteThingShadow, ListNamedShadowsForThing: the device's own
// shadows (nucleus/local_shadows.h).
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "formats/json_ptr.h"
#include "formats/names.h"
#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

using formats::ShadowError;
using formats::ShadowResult;
using nlohmann::json;

constexpr size_t kDefaultPage = 25;
constexpr size_t kMaxPage = 100;

// What outlives the call, for the coroutine that answers it.
struct Pending {
  LocalShadows& shadows;
  rpc::ServerStream stream;
  ShadowKey key;
};

std::expected<ThingName, IpcError> thing_of(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const std::string text, call.text("thingName"));
  auto thing = formats::parse_thing_name(text);
  if (!thing) return call.invalid(thing.error().message());
  return *std::move(thing);
}

// The named shadow, checked and allowed.
std::expected<Pending, IpcError> begin(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(ThingName thing, thing_of(call));
  std::string name;
  const auto found = call.request.find("shadowName");
  if (found != call.request.end() && !found->is_null()) {
    SKERRY_IPC_ASSIGN(name, call.text("shadowName"));
  }
  if (auto checked = formats::check_shadow_name(name); !checked) {
    return call.invalid(checked.error().message);
  }
  SKERRY_IPC_TRY(call.authorize(kShadowService, formats::shadow_topic(thing.str(), name)));
  return Pending{call.context.shadows, call.stream, {std::move(thing), std::move(name)}};
}

void answer(const Pending& pending, std::string_view shape,
            const ShadowResult<std::string>& document) {
  if (document) {
    return pending.stream.respond(shape, R"({"payload":")" + base64_encode(*document) + R"("})");
  }
  const ShadowError& error = document.error();
  const std::string_view error_shape = error.code == 404   ? kResourceNotFound
                                       : error.code == 409 ? kConflict
                                       : error.code == 500 ? kServiceError
                                                           : kInvalidArguments;
  send_error(pending.stream, {error_shape, error.message, "Shadow",
                              formats::shadow_topic(pending.key.thing.str(), pending.key.name)});
}

io::Task<void> get(Pending pending) {
  answer(pending, "aws.greengrass#GetThingShadowResponse",
         co_await pending.shadows.get(pending.key));
}

io::Task<void> update(Pending pending, std::string payload) {
  answer(pending, "aws.greengrass#UpdateThingShadowResponse",
         co_await pending.shadows.update(pending.key, std::move(payload)));
}

io::Task<void> remove(Pending pending) {
  answer(pending, "aws.greengrass#DeleteThingShadowResponse",
         co_await pending.shadows.remove(pending.key));
}

struct Page {
  size_t size;
  std::string after;  // the last name of the page before
};

io::Task<void> list(Pending pending, Page page) {
  const auto all = co_await pending.shadows.on_disk(
      [thing = pending.key.thing](ShadowFiles& files) { return files.names(thing); });
  if (!all) co_return send_error(pending.stream, {kServiceError, all.error().message(), {}, {}});
  const auto first = std::ranges::upper_bound(*all, page.after);
  const size_t count = std::min<size_t>(page.size, static_cast<size_t>(all->end() - first));
  json response = {{"results", std::vector(first, first + static_cast<ptrdiff_t>(count))},
                   {"timestamp", pending.shadows.now_s()}};
  if (first + static_cast<ptrdiff_t>(count) != all->end() && count > 0) {
    response["nextToken"] = base64_encode(*(first + static_cast<ptrdiff_t>(count) - 1));
  }
  pending.stream.respond("aws.greengrass#ListNamedShadowsForThingResponse",
                         formats::json_text(response));
}

}  // namespace

IpcOutcome get_thing_shadow(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(Pending pending, begin(call));
  call.context.tasks.spawn(get(std::move(pending)));
  return {};
}

IpcOutcome update_thing_shadow(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(Pending pending, begin(call));
  SKERRY_IPC_ASSIGN(const std::string encoded, call.text("payload"));
  auto payload = base64_decode(encoded);
  if (!payload) return call.invalid("payload must be base64");
  call.context.tasks.spawn(update(std::move(pending), *std::move(payload)));
  return {};
}

IpcOutcome delete_thing_shadow(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(Pending pending, begin(call));
  call.context.tasks.spawn(remove(std::move(pending)));
  return {};
}

IpcOutcome list_named_shadows_for_thing(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(ThingName thing, thing_of(call));
  SKERRY_IPC_TRY(call.authorize(kShadowService, formats::shadow_topic(thing.str(), "")));
  Page page{kDefaultPage, ""};
  const auto size = call.request.find("pageSize");
  if (size != call.request.end() && !size->is_null()) {
    if (!size->is_number_integer() || *size < 1 || *size > kMaxPage) {
      return call.invalid("pageSize must be a number from 1 to 100");
    }
    page.size = size->get<size_t>();
  }
  const auto token = call.request.find("nextToken");
  if (token != call.request.end() && !token->is_null()) {
    SKERRY_IPC_ASSIGN(const std::string encoded, call.text("nextToken"));
    auto after = base64_decode(encoded);
    if (!after || after->empty() || !formats::check_shadow_name(*after)) {
      return call.invalid("nextToken is none of ours");
    }
    page.after = *std::move(after);
  }
  Pending pending{call.context.shadows, call.stream, {std::move(thing), ""}};
  call.context.tasks.spawn(list(std::move(pending), std::move(page)));
  return {};
}

}  // namespace skerry::nucleus
