// Fleet provisioning over MQTT (formats/provisioning.h). The broker's plugin says which claim and
// which session asks, and brings the answer to that session alone (broker/plugin.cc).
//
// What create-from-csr issues is stored nowhere: the token that goes with it holds the certificate,
// sealed for this claim and for an hour, and only whoever brings it back makes a thing. So neither
// lost answers nor a claim in the wrong hands fill the store.
#pragma once

#include <string>
#include <string_view>

#include "fleet/ca.h"
#include "fleet/claims.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "fleet/thing_budget.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

inline constexpr int64_t kOwnershipTokenLifeMs = 3'600'000;

class OwnershipTokens {
 public:
  // `secret` is this process's alone: a token of an earlier one is refused, and asked for anew.
  explicit OwnershipTokens(std::string secret) : secret_(std::move(secret)) {}
  std::string seal(const IssuedCertificate& certificate, std::string_view claim,
                   int64_t now_ms) const;
  // kPermissionDenied where it is not of this claim, was changed, or its hour is over.
  Result<IssuedCertificate> open(std::string_view token, std::string_view claim,
                                 int64_t now_ms) const;

 private:
  const std::string secret_;
};

class ProvisioningService {
 public:
  // Registers its route with `link`; all must outlive it.
  ProvisioningService(io::Env& env, StorePool& stores, CertificateAuthority& authority,
                      DeviceLink& link);

 private:
  struct Request {
    std::string claim, client, topic, payload;
  };
  void receive(const net::MqttMessage& message);
  io::Task<void> answer(Request request);
  io::Task<Result<std::string>> create_from_csr(const Request& request);
  io::Task<Result<std::string>> provision(const Request& request);
  void reject(const Request& request, const Error& error);

  static constexpr double kBurst = 100, kPerSecond = 20;  // of one claim

  io::Env& env_;
  StorePool& stores_;
  CertificateAuthority& authority_;
  DeviceLink& link_;
  OwnershipTokens tokens_;
  ThingBudget budget_;  // by claim
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
