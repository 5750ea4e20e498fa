// The key is on the disk before anybody signs it: a device that asks again, whatever was cut short,
// asks with the same one, and the fleet counts it once.
#include "nucleus/claim_provisioning.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/encoding.h"
#include "base/log.h"
#include "base/sha256.h"
#include "formats/names.h"
#include "formats/provisioning.h"
#include "io/pool.h"
#include "net/x509.h"

namespace skerry::nucleus {
namespace {

namespace x509 = net::x509;

constexpr const char* kProvisioningModule = "provisioning";
constexpr int64_t kConnectMs = 60'000;
constexpr int64_t kFirstPauseMs = 5'000;
constexpr int64_t kLongestPauseMs = 600'000;
constexpr std::string_view kThing = "# thing ";
constexpr size_t kMostOfFile = 4096;
constexpr size_t kClientIdDigits = 32;

std::string trimmed(std::string_view text) {
  // Also what ends the strings of a device tree.
  constexpr std::string_view kAround = std::string_view(" \t\r\n\0", 5);
  const size_t first = text.find_first_not_of(kAround);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kAround) - first + 1));
}

Result<std::string> value_of(io::Files& files, std::string_view variable) {
  constexpr std::string_view kFile = "file:";
  if (variable == "hostname") {
    std::array<char, 256> name{};
    ::gethostname(name.data(), name.size() - 1);
    return std::string(name.data());
  }
  std::string path;
  if (variable == "machineId") path = "/etc/machine-id";
  if (variable.starts_with(kFile)) path = variable.substr(kFile.size());
  if (path.empty()) {
    return fail(Code::kInvalidArgument,
                "{" + std::string(variable) + "} is none of {machineId}, {hostname}, {file:PATH}");
  }
  // The kernel's own files, which serial numbers are in, do not say how long they are.
  SKERRY_ASSIGN(const auto file, files.open(path, io::OpenMode::kRead));
  SKERRY_ASSIGN(const std::string content, file->read_at(0, kMostOfFile));
  std::string value = trimmed(content);
  if (value.empty()) return fail(Code::kNotFound, path + " is empty");
  return value;
}

struct PendingIdentity {
  std::string key_pem, request_pem, client_id;
  std::map<std::string, std::string> parameters;
};

Result<net::openssl::Key> key_to_be(io::Files& files, const ClaimFiles& paths) {
  if (const auto text = io::read_file(files, paths.next_key(), 1 << 16)) {
    if (net::openssl::Key key = x509::parse_key(*text)) return key;
  }
  SKERRY_ASSIGN(net::openssl::Key key, x509::make_key());
  SKERRY_TRY(io::write_file_atomic(files, paths.next_key(), x509::pem_of(key.get()), 0600));
  return key;
}

Result<PendingIdentity> prepare_identity(io::Files& files, const ClaimFiles& paths,
                                         const ClaimConfig& config) {
  PendingIdentity pending;
  for (const auto& [name, text] : config.parameters) {
    auto value = parameter_text(files, text);
    if (!value) return fail(value.error().with_context("templateParameters." + name));
    pending.parameters[name] = *std::move(value);
  }
  SKERRY_TRY(io::make_directories(files, paths.directory));
  SKERRY_ASSIGN(const net::openssl::Key key, key_to_be(files, paths));
  pending.key_pem = x509::pem_of(key.get());
  // The registry knows the thing: the certificate need not name it.
  SKERRY_ASSIGN(pending.request_pem, x509::make_request(key.get(), config.template_name));
  // The same for every attempt of this device, and no other's.
  pending.client_id =
      "claim-" + hex_encode(sha256(x509::public_pem_of(key.get()))).substr(0, kClientIdDigits);
  return pending;
}

Result<void> take_identity(io::Files& files, const ClaimFiles& paths,
                           const PendingIdentity& pending, const std::string& certificate_pem,
                           const std::string& thing) {
  const auto certificate = x509::parse_certificate(certificate_pem);
  const auto key = x509::parse_key(pending.key_pem);
  if (!certificate || !key || X509_check_private_key(certificate.get(), key.get()) != 1)
    return fail(Code::kCorrupt, "what was issued is no certificate of the device's key");
  SKERRY_TRY(io::write_file_atomic(
      files, paths.identity(),
      std::string(kThing) + thing + "\n" + x509::pem_of(certificate.get()) + pending.key_pem,
      0600));
  // From here on it is the device's identity; the other file has no more meaning.
  (void)files.remove(paths.next_key());
  return {};
}

}  // namespace

Result<std::string> parameter_text(io::Files& files, const std::string& text) {
  std::string filled;
  for (size_t at = 0; at < text.size();) {
    const size_t open = std::min(text.find('{', at), text.size());
    filled += text.substr(at, open - at);
    if (open == text.size()) break;
    const size_t close = text.find('}', open);
    if (close == std::string::npos) return fail(Code::kInvalidArgument, "a '{' has no '}'");
    SKERRY_ASSIGN(const std::string value,
                  value_of(files, std::string_view(text).substr(open + 1, close - open - 1)));
    filled += value;
    at = close + 1;
  }
  return filled;
}

std::optional<ThingName> provisioned_thing(io::Files& files, const ClaimFiles& paths) {
  const auto text = io::read_file(files, paths.identity(), 1 << 20);
  if (!text || !text->starts_with(kThing)) return std::nullopt;
  const auto certificate = x509::parse_certificate(*text);
  const auto key = x509::parse_key(*text);
  if (!certificate || !key || X509_check_private_key(certificate.get(), key.get()) != 1)
    return std::nullopt;
  const std::string_view line = std::string_view(*text).substr(kThing.size());
  auto thing = formats::parse_thing_name(line.substr(0, line.find('\n')));
  if (!thing) return std::nullopt;
  return *std::move(thing);
}

// One connection, and the question that is open on it.
struct ClaimProvisioning::Ask {
  using Answer = Result<std::string>;
  Ask(io::Loop& loop, int64_t limit_ms) : answer_ms(limit_ms), connected(loop) {}

  void hear(const net::MqttMessage& message) {
    if (!answer) return;
    if (message.topic == topic + "/accepted") answer->complete(message.payload);
    if (message.topic == topic + "/rejected") {
      answer->complete(
          fail(Code::kUnavailable,
               "the fleet refuses: " + formats::provision_error_text(message.payload)));
    }
  }

  io::Task<Answer> ask(io::Loop& loop, std::string about, std::string payload) {
    topic = about;
    answer.emplace(loop);
    for (const char* end : {"/accepted", "/rejected"})
      SKERRY_CO_TRY(client->subscribe({.filter = about + end}));
    SKERRY_CO_TRY(client->publish({.topic = about, .payload = std::move(payload), .qos = 1}));
    co_return co_await io::with_timeout(loop, answer_ms, *answer, about);
  }

  const int64_t answer_ms;
  std::string topic;
  io::Completion<Result<bool>> connected;
  std::optional<io::Completion<Answer>> answer;
  std::unique_ptr<net::MqttClient> client;  // last: its events use the others
};

ClaimProvisioning::ClaimProvisioning(io::Env& env, ClaimConfig config, ClaimFiles paths,
                                     Connect connect, int64_t answer_ms)
    : env_(env),
      config_(std::move(config)),
      paths_(std::move(paths)),
      connect_(std::move(connect)),
      answer_ms_(answer_ms) {}

void ClaimProvisioning::start(std::function<void()> done) {
  tasks_.spawn(run(std::move(done)));
}

io::Task<Result<ThingName>> ClaimProvisioning::provision() {
  io::Files& files = env_.files;
  SKERRY_CO_ASSIGN(
      const PendingIdentity pending,
      co_await io::run_on(env_.records, env_.loop, [&files, paths = paths_, config = config_] {
        return prepare_identity(files, paths, config);
      }));
  Ask session(env_.loop, answer_ms_);
  SKERRY_CO_ASSIGN(session.client, connect_(pending.client_id));
  std::string last_failure;
  session.client->start(
      {.on_connected = [&session](bool) { session.connected.complete(true); },
       .on_disconnected = [&last_failure](const Error& why) { last_failure = why.message(); },
       .on_message = [&session](const net::MqttMessage& message) { session.hear(message); }});
  const auto connected = co_await io::with_timeout(env_.loop, kConnectMs, session.connected,
                                                   "connecting with the claim");
  if (!connected) {
    co_return fail(connected.error().code(),
                   connected.error().message() +
                       (last_failure.empty() ? "" : "; the last reason: " + last_failure));
  }
  SKERRY_CO_ASSIGN(const std::string issued_text,
                   co_await session.ask(env_.loop, std::string(formats::kCreateFromCsrTopic),
                                        formats::csr_request(pending.request_pem)));
  SKERRY_CO_ASSIGN(const auto issued, formats::parse_certificate_answer(issued_text));
  SKERRY_CO_ASSIGN(const std::string provisioned_text,
                   co_await session.ask(env_.loop, formats::provision_topic(config_.template_name),
                                        formats::to_json(formats::ProvisionRequest{
                                            issued.ownership_token, pending.parameters})));
  SKERRY_CO_ASSIGN(const std::string thing, formats::parse_provision_answer(provisioned_text));
  SKERRY_CO_TRY(co_await io::run_on(
      env_.records, env_.loop,
      [&files, paths = paths_, pending, certificate = issued.certificate_pem, thing] {
        return take_identity(files, paths, pending, certificate, thing);
      }));
  co_return ThingName(thing);
}

io::Task<void> ClaimProvisioning::run(std::function<void()> done) {
  for (int64_t pause_ms = kFirstPauseMs;; pause_ms = std::min(pause_ms * 2, kLongestPauseMs)) {
    const auto thing = co_await provision();
    if (thing) {
      log::info(kProvisioningModule, "the device has an identity", {{"thing", thing->str()}});
      break;
    }
    log::warn(kProvisioningModule, "the device has no identity yet; tried again",
              {{"reason", thing.error().message()}, {"in_ms", std::to_string(pause_ms)}});
    // Many that were switched on together do not come back together.
    const auto jitter = static_cast<int64_t>(env_.random.below(static_cast<uint64_t>(pause_ms)));
    co_await io::sleep(env_.loop, pause_ms / 2 + jitter / 2);
  }
  done();
}

}  // namespace skerry::nucleus
