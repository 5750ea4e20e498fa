// From a message of a claim's session to its answer.
#include "fleet/provisioning.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/sha256.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kClaimTopics = "$skerry/claims/";
constexpr std::string_view kAnswerTopics = "$skerry/answers/";
constexpr size_t kSecretCharacters = 43;  // 256 bits

std::string take_part(std::string_view& path) {
  const size_t slash = std::min(path.find('/'), path.size());
  std::string part(path.substr(0, slash));
  path.remove_prefix(std::min(path.size(), slash + 1));
  return part;
}

std::unexpected<Error> bad_token() {
  return fail(Code::kPermissionDenied,
              "the certificate ownership token is not good: ask for a certificate anew");
}

formats::ProvisionError error_of(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
    case Code::kCorrupt:
      return {400, "InvalidParameters", error.message()};
    case Code::kPermissionDenied:
    case Code::kNotFound:
      return {403, "Forbidden", error.message()};
    case Code::kAlreadyExists:
      return {409, "ResourceAlreadyExists", error.message()};
    case Code::kUnsupported:
      return {400, "Unsupported", error.message()};
    default:
      return {503, "ServiceUnavailable", "the control plane takes nothing now: ask again later"};
  }
}

}  // namespace

std::string OwnershipTokens::seal(const IssuedCertificate& certificate, std::string_view claim,
                                  int64_t now_ms) const {
  const std::string text = formats::json_text({{"pem", certificate.pem},
                                               {"id", certificate.sha256},
                                               {"name", certificate.common_name},
                                               {"expires_ms", certificate.expires_ms},
                                               {"claim", claim},
                                               {"until_ms", now_ms + kOwnershipTokenLifeMs}});
  return base64_encode(hmac_sha256(secret_, text)) + "." + base64_encode(text);
}

Result<IssuedCertificate> OwnershipTokens::open(std::string_view token, std::string_view claim,
                                                int64_t now_ms) const {
  const size_t dot = token.find('.');
  if (dot == std::string_view::npos) return bad_token();
  const auto seal = base64_decode(token.substr(0, dot));
  const auto text = base64_decode(token.substr(dot + 1));
  if (!seal || !text || !equals_secretly(*seal, hmac_sha256(secret_, *text))) return bad_token();
  // From here on it is our own text.
  const auto document = nlohmann::json::parse(*text);
  if (document.at("claim") != claim || document.at("until_ms").get<int64_t>() <= now_ms)
    return bad_token();
  return IssuedCertificate{.pem = document.at("pem"),
                           .sha256 = document.at("id"),
                           .common_name = document.at("name"),
                           .expires_ms = document.at("expires_ms")};
}

ProvisioningService::ProvisioningService(io::Env& env, StorePool& stores,
                                         CertificateAuthority& authority, DeviceLink& link)
    : env_(env),
      stores_(stores),
      authority_(authority),
      link_(link),
      tokens_(env.random.token(kSecretCharacters)),
      budget_(env.clock, kBurst, kPerSecond) {
  link_.route(std::string(kClaimTopics) + "#",
              [this](const net::MqttMessage& message) { receive(message); });
}

void ProvisioningService::receive(const net::MqttMessage& message) {
  std::string_view path = message.topic;
  if (!path.starts_with(kClaimTopics)) return;
  path.remove_prefix(kClaimTopics.size());
  Request request;
  request.claim = take_part(path);
  request.client = take_part(path);
  request.topic = path;
  request.payload = message.payload;
  if (!budget_.spend(ThingName(request.claim)))
    return reject(request, Error(Code::kUnavailable, "too many requests of this claim"));
  tasks_.spawn(answer(std::move(request)));
}

io::Task<void> ProvisioningService::answer(Request request) {
  Result<std::string> answered = fail(Code::kUnsupported, "");
  if (request.topic == formats::kCreateFromCsrTopic) {
    answered = co_await create_from_csr(request);
  } else if (request.topic == formats::kCreateKeysTopic) {
    answered = fail(Code::kUnsupported,
                    "the fleet makes no keys: make one on the device, and ask with a "
                    "certificate signing request on " +
                        std::string(formats::kCreateFromCsrTopic));
  } else {
    answered = co_await provision(request);
  }
  if (!answered) co_return reject(request, answered.error());
  link_.publish(std::string(kAnswerTopics) + request.client + "/" + request.topic + "/accepted",
                *std::move(answered));
}

io::Task<Result<std::string>> ProvisioningService::create_from_csr(const Request& request) {
  SKERRY_CO_ASSIGN(const std::string csr, formats::parse_csr_request(request.payload));
  const int64_t now_ms = env_.clock.wall_ms();
  SKERRY_CO_TRY(co_await stores_.read([claim = request.claim, now_ms](Store& store) {
    return usable_claim(store, claim, now_ms);
  }));
  SKERRY_CO_ASSIGN(const IssuedCertificate issued, authority_.issue_device(csr));
  co_return formats::to_json(formats::CertificateAnswer{
      issued.sha256, issued.pem, tokens_.seal(issued, request.claim, now_ms)});
}

io::Task<Result<std::string>> ProvisioningService::provision(const Request& request) {
  if (formats::template_of(request.topic) != request.claim) {
    co_return fail(Code::kPermissionDenied,
                   "the claim is of the provisioning template " + request.claim);
  }
  SKERRY_CO_ASSIGN(auto wanted, formats::parse_provision_request(request.payload));
  const int64_t now_ms = env_.clock.wall_ms();
  SKERRY_CO_ASSIGN(const IssuedCertificate certificate,
                   tokens_.open(wanted.ownership_token, request.claim, now_ms));
  SKERRY_CO_ASSIGN(
      const ThingName thing,
      co_await stores_.write([&random = env_.random, claim = request.claim, certificate, now_ms,
                              parameters = std::move(wanted.parameters)](Store& store) {
        return provision_thing(store, random, claim, parameters, certificate, now_ms);
      }));
  log::info("provisioning", "a claim has made a thing",
            {{"claim", request.claim}, {"thing", thing.str()}});
  co_return formats::provision_answer(thing.str());
}

void ProvisioningService::reject(const Request& request, const Error& error) {
  static log::Limit limit;
  limit.write(log::Level::kWarn, "provisioning", "refused",
              {{"claim", request.claim}, {"reason", error.message()}});
  link_.publish(std::string(kAnswerTopics) + request.client + "/" + request.topic + "/rejected",
                formats::to_json(error_of(error)));
}

}  // namespace skerry::fleet
