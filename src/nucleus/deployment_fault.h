// Why a deployment failed, for machines: the codes of the Greengrass nuclei, which consoles and
// scripts read. They stand beside the words for people.
#pragma once

#include <expected>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"

namespace skerry::nucleus {

// What went wrong, as far as the place where it did knows; the error's code says the rest.
enum class Cause {
  kDocument,       // cannot be read
  kStale,          // a newer revision is deployed already
  kCapabilities,   // the document requires what this nucleus has not
  kCloud,          // the control plane does not answer a question as it should
  kVersions,       // no version of a component satisfies everyone
  kCircle,         // of dependencies
  kRecipe,         // cannot be read
  kPlatform,       // no manifest for it
  kConfiguration,  // cannot be applied
  kRunWith,        // user, limits or type of a component are not for this device
  kArtifact,       // cannot be had
  kState,          // cannot be written
  kValidity,       // a component refuses its new configuration
  kRestarts,       // the nucleus did not stay up
  kBootstrap,      // of a component failed
  kComponent,      // is broken
  kActivation,     // anything else that keeps the new versions from coming up
  kCancelled,
};

struct Fault {
  Cause cause;
  Error error;
  std::string component = {};  // whose fault it is, where it is one's
};
template <class T = void>
using Outcome = std::expected<T, Fault>;

// The result, its error with a cause.
template <class T>
Outcome<T> blame(Cause cause, Result<T> result) {
  if (!result) return std::unexpected(Fault{cause, std::move(result.error())});
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return std::move(*result);
  }
}

struct FaultCodes {
  std::vector<std::string> stack;  // from the general to the particular: "DEPLOYMENT_FAILURE", …
  std::vector<std::string> types;  // "REQUEST_ERROR", …: whose matter it is
  bool operator==(const FaultCodes&) const = default;
};
FaultCodes codes_of(const Fault& fault);

}  // namespace skerry::nucleus

// As SKERRY_CO_TRY and SKERRY_CO_ASSIGN, in a coroutine that returns a task of an Outcome.
#define SKERRY_CO_TRY_OR_BLAME(cause, expr)                         \
  do {                                                              \
    if (auto outcome_ = blame(cause, expr); !outcome_) [[unlikely]] \
      co_return std::unexpected(std::move(outcome_.error()));       \
  } while (0)
#define SKERRY_CO_ASSIGN_OR_BLAME(lhs, cause, expr) \
  SKERRY_CO_ASSIGN_OR_BLAME_INNER(SKERRY_CONCAT(outcome_, __LINE__), lhs, cause, expr)
#define SKERRY_CO_ASSIGN_OR_BLAME_INNER(tmp, lhs, cause, expr) \
  auto tmp = blame(cause, expr);                               \
  if (!tmp) [[unlikely]]                                       \
    co_return std::unexpected(std::move(tmp.error()));         \
  lhs = std::move(*tmp)
