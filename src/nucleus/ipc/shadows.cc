// GetThingShadow, UpdateThingShadow, DeleteThingShadow, ListNamedShadowsForThing: the device's own
// shadows. What happens to them is told on local topics, as AWS IoT tells it on its own
// ($aws/things/T/shadow/…/accepted, /rejected, /delta, /documents).
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "formats/json_ptr.h"
#include "formats/names.h"
#include "io/pool.h"
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
  IpcContext& context;
  rpc::ServerStream stream;
  ComponentName caller;
  ShadowKey key;
  std::string payload;
  int64_t now_s;
  std::optional<std::string> token;
  std::string topic() const { return formats::shadow_topic(key.thing.str(), key.name); }
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
  return Pending{call.context,
                 call.stream,
                 call.caller,
                 {std::move(thing), std::move(name)},
                 {},
                 call.context.host.env().clock.wall_ms() / 1000,
                 {}};
}

void tell(const Pending& pending, std::string_view what, const std::string& document) {
  publish_bytes(pending.context, pending.topic() + std::string(what), document);
}

void reject(const Pending& pending, std::string_view operation, const ShadowError& error) {
  tell(pending, "/" + std::string(operation) + "/rejected",
       formats::shadow_rejected(error, pending.now_s, pending.token));
  const std::string_view shape = error.code == 404   ? kResourceNotFound
                                 : error.code == 409 ? kConflict
                                 : error.code == 500 ? kServiceError
                                                     : kInvalidArguments;
  send_error(pending.stream, {shape, error.message, "Shadow", pending.topic()});
}

void respond(const Pending& pending, std::string_view shape, const std::string& document) {
  pending.stream.respond(shape, R"({"payload":")" + base64_encode(document) + R"("})");
}

// The disk's work, on its pool; what the shadows' files say.
template <class Work>
auto on_disk(IpcContext& context, Work work) {
  io::Env& env = context.host.env();
  return io::run_on(
      env.records, env.loop,
      [&files = context.host.shadows(), work = std::move(work)]() mutable { return work(files); });
}

io::Task<void> get(Pending pending) {
  const auto shadow = co_await on_disk(
      pending.context, [key = pending.key](ShadowFiles& files) { return files.get(key); });
  if (!shadow) co_return reject(pending, "get", shadow.error());
  const std::string document = formats::shadow_document(*shadow, pending.now_s, {});
  tell(pending, "/get/accepted", document);
  respond(pending, "aws.greengrass#GetThingShadowResponse", document);
}

io::Task<void> update(Pending pending) {
  const auto limits = pending.context.host.shadows().limits().document;
  pending.token = formats::shadow_client_token(pending.payload);
  auto request = formats::parse_shadow_update(pending.payload, limits);
  if (!request) co_return reject(pending, "update", request.error());
  const auto changed = co_await on_disk(
      pending.context, [key = pending.key, update = *request, now_s = pending.now_s](
                           ShadowFiles& files) { return files.update(key, update, now_s); });
  if (!changed) co_return reject(pending, "update", changed.error());
  const std::string accepted = formats::shadow_accepted(changed->after, *request, pending.now_s);
  if (auto delta = formats::shadow_delta(changed->after, pending.now_s, pending.token)) {
    tell(pending, "/update/delta", *delta);
  }
  tell(pending, "/update/documents",
       formats::shadow_change(changed->before, changed->after, pending.now_s, pending.token));
  tell(pending, "/update/accepted", accepted);
  respond(pending, "aws.greengrass#UpdateThingShadowResponse", accepted);
}

io::Task<void> remove(Pending pending) {
  const auto deleted = co_await on_disk(
      pending.context, [key = pending.key](ShadowFiles& files) { return files.remove(key); });
  if (!deleted) co_return reject(pending, "delete", deleted.error());
  const std::string document = formats::shadow_deleted(*deleted, pending.now_s, {});
  tell(pending, "/delete/accepted", document);
  respond(pending, "aws.greengrass#DeleteThingShadowResponse", document);
}

struct Page {
  size_t size;
  std::string after;  // the last name of the page before
};

io::Task<void> list(Pending pending, Page page) {
  const auto all = co_await on_disk(
      pending.context,
      [thing = pending.key.thing](ShadowFiles& files) { return files.names(thing); });
  if (!all) co_return send_error(pending.stream, {kServiceError, all.error().message(), {}, {}});
  const auto first = std::ranges::upper_bound(*all, page.after);
  const size_t count = std::min<size_t>(page.size, static_cast<size_t>(all->end() - first));
  json response = {{"results", std::vector(first, first + static_cast<ptrdiff_t>(count))},
                   {"timestamp", pending.now_s}};
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
  pending.payload = *std::move(payload);
  call.context.tasks.spawn(update(std::move(pending)));
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
  Pending pending{call.context,
                  call.stream,
                  call.caller,
                  {std::move(thing), ""},
                  {},
                  call.context.host.env().clock.wall_ms() / 1000,
                  {}};
  call.context.tasks.spawn(list(std::move(pending), std::move(page)));
  return {};
}

}  // namespace skerry::nucleus
