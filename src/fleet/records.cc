// Names of states as they stand on the wire and in the database.
#include "fleet/records.h"

#include <array>
#include <utility>

namespace skerry::fleet {
namespace {

template <class Enum, size_t N>
using Names = std::array<std::pair<Enum, std::string_view>, N>;

constexpr Names<CertificateStatus, 3> kCertificateStatuses{
    {{CertificateStatus::kActive, "ACTIVE"},
     {CertificateStatus::kInactive, "INACTIVE"},
     {CertificateStatus::kRevoked, "REVOKED"}}};

constexpr Names<DeploymentStatus, 5> kDeploymentStatuses{
    {{DeploymentStatus::kActive, "ACTIVE"},
     {DeploymentStatus::kCompleted, "COMPLETED"},
     {DeploymentStatus::kCanceled, "CANCELED"},
     {DeploymentStatus::kFailed, "FAILED"},
     {DeploymentStatus::kInactive, "INACTIVE"}}};

template <class Enum, size_t N>
std::string_view name_of(const Names<Enum, N>& names, Enum value) {
  for (const auto& [candidate, name] : names) {
    if (candidate == value) return name;
  }
  return "";
}

template <class Enum, size_t N>
bool value_of(const Names<Enum, N>& names, std::string_view text, Enum& value) {
  for (const auto& [candidate, name] : names) {
    if (name == text) {
      value = candidate;
      return true;
    }
  }
  return false;
}

}  // namespace

std::string_view to_string(CertificateStatus status) {
  return name_of(kCertificateStatuses, status);
}
std::string_view to_string(DeploymentStatus status) {
  return name_of(kDeploymentStatuses, status);
}
std::string_view to_string(ExecutionStatus status) {
  return formats::name_of(status);
}

bool parse(std::string_view text, CertificateStatus& status) {
  return value_of(kCertificateStatuses, text, status);
}
bool parse(std::string_view text, DeploymentStatus& status) {
  return value_of(kDeploymentStatuses, text, status);
}
bool parse(std::string_view text, ExecutionStatus& status) {
  const auto found = formats::parse_job_status(text);
  if (found) status = *found;
  return found.has_value();
}

}  // namespace skerry::fleet
