// GetSecretValue for components, and what only the device's operator may do: PutSecret,
// ListSecrets, DeleteSecret of our own (`skerry device secret`). The disk's work is done on its
// pool.
#include "nucleus/secrets.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "formats/json_ptr.h"
#include "io/pool.h"
#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr const char* kSecret = "Secret";

template <class Work>
auto on_disk(IpcContext& context, Work work) {
  io::Env& env = context.host.env();
  return io::run_on(env.records, env.loop,
                    [&secrets = context.host.secrets(), work = std::move(work)]() mutable {
                      return work(secrets);
                    });
}

IpcError error_of(const std::string& secret, const Error& error) {
  if (error.code() == Code::kNotFound) return {kResourceNotFound, error.message(), kSecret, secret};
  return {kServiceError, error.message(), {}, {}};
}

std::expected<std::string, IpcError> optional_text(const IpcCall& call, const char* key) {
  const auto found = call.request.find(key);
  if (found == call.request.end() || found->is_null()) return std::string();
  return call.text(key);
}

IpcOutcome operator_only(const IpcCall& call) {
  if (call.caller.str() == kOperator) return {};
  return std::unexpected(
      IpcError{kUnauthorized,
               call.caller.str() + " is not authorized to perform " + std::string(call.operation),
               {},
               {}});
}

json described(const Secret& secret) {
  json versions = json::array();
  for (const SecretVersion& version : secret.versions) {
    versions.push_back({{"versionId", version.id},
                        {"versionStage", version.stages},
                        {"createdMs", version.created_ms}});
  }
  return {{"name", secret.name}, {"arn", secret.arn}, {"versions", std::move(versions)}};
}

// Policies name ARNs, or names. Who may not have a secret is not told whether it is here.
io::Task<void> get(IpcContext* context, rpc::ServerStream stream, ComponentName caller,
                   std::string operation, SecretQuery query) {
  const auto found =
      co_await on_disk(*context, [query](SecretStore& secrets) { return secrets.find(query); });
  const auto allows = [&](const std::string& resource) {
    return context->access.check(caller, kSecretService, operation, resource).has_value();
  };
  const bool is_allowed = caller.str() == kOperator || allows(query.secret) ||
                          (found && (allows(found->arn) || allows(found->name)));
  if (!is_allowed) {
    co_return send_error(stream, {kUnauthorized,
                                  caller.str() + " is not authorized to perform " + operation +
                                      " on resource " + query.secret,
                                  {},
                                  {}});
  }
  if (!found) co_return send_error(stream, error_of(query.secret, found.error()));
  const SecretVersion& version = found->versions.front();
  json value = version.is_binary ? json{{"secretBinary", base64_encode(version.value)}}
                                 : json{{"secretString", version.value}};
  stream.respond("aws.greengrass#GetSecretValueResponse",
                 formats::json_text(json{{"secretId", found->arn},
                                         {"versionId", version.id},
                                         {"versionStage", version.stages},
                                         {"secretValue", std::move(value)}}));
}

io::Task<void> put(IpcContext* context, rpc::ServerStream stream, std::string name,
                   std::string value, bool is_binary) {
  const int64_t now_ms = context->host.env().clock.wall_ms();
  const auto stored = co_await on_disk(
      *context, [name, value = std::move(value), is_binary, now_ms](SecretStore& secrets) mutable {
        return secrets.put(name, std::move(value), is_binary, now_ms);
      });
  if (!stored) co_return send_error(stream, error_of(name, stored.error()));
  stream.respond("skerry#PutSecretResponse", formats::json_text(described(*stored)));
}

io::Task<void> list(IpcContext* context, rpc::ServerStream stream) {
  const auto all = co_await on_disk(*context, [](SecretStore& secrets) { return secrets.list(); });
  if (!all) co_return send_error(stream, error_of("", all.error()));
  json answer = {{"secrets", json::array()}};
  for (const Secret& secret : *all) answer["secrets"].push_back(described(secret));
  stream.respond("skerry#ListSecretsResponse", formats::json_text(answer));
}

io::Task<void> remove(IpcContext* context, rpc::ServerStream stream, std::string name) {
  const auto removed =
      co_await on_disk(*context, [name](SecretStore& secrets) { return secrets.remove(name); });
  if (!removed) co_return send_error(stream, error_of(name, removed.error()));
  stream.respond("skerry#DeleteSecretResponse", "{}");
}

}  // namespace

IpcOutcome get_secret_value(const IpcCall& call) {
  SecretQuery query;
  SKERRY_IPC_ASSIGN(query.secret, call.text("secretId"));
  SKERRY_IPC_ASSIGN(query.version_id, optional_text(call, "versionId"));
  SKERRY_IPC_ASSIGN(query.stage, optional_text(call, "versionStage"));
  call.context.tasks.spawn(
      get(&call.context, call.stream, call.caller, std::string(call.operation), std::move(query)));
  return {};
}

IpcOutcome put_secret(const IpcCall& call) {
  SKERRY_IPC_TRY(operator_only(call));
  SKERRY_IPC_ASSIGN(std::string name, call.text("name"));
  SKERRY_IPC_ASSIGN(const std::string encoded, call.text("value"));
  auto value = base64_decode(encoded);
  if (!value) return call.invalid("value must be base64");
  const bool is_binary = call.request.value("binary", json()) == true;
  call.context.tasks.spawn(
      put(&call.context, call.stream, std::move(name), std::move(*value), is_binary));
  return {};
}

IpcOutcome list_secrets(const IpcCall& call) {
  SKERRY_IPC_TRY(operator_only(call));
  call.context.tasks.spawn(list(&call.context, call.stream));
  return {};
}

IpcOutcome delete_secret(const IpcCall& call) {
  SKERRY_IPC_TRY(operator_only(call));
  SKERRY_IPC_ASSIGN(std::string name, call.text("name"));
  call.context.tasks.spawn(remove(&call.context, call.stream, std::move(name)));
  return {};
}

}  // namespace skerry::nucleus
