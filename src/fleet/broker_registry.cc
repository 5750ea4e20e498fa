// Appending is a write into the page cache and stays on the loop; replacing the file waits for the
// disk and does not.
#include "fleet/broker_registry.h"

#include <utility>

#include "base/log_limit.h"
#include "io/files.h"
#include "io/pool.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kRegistryModule = "broker";
constexpr int64_t kRegistryRetryMs = 2'000;
constexpr size_t kSlack = 1000;  // lines that changes may add before the file is replaced

std::string line_of(const std::string& id, const std::string& whose) {
  return whose.empty() ? "-" + id + "\n" : id + " " + whose + "\n";
}

std::string claim_line(const ClaimChange& change) {
  return line_of(change.certificate_id, change.claim.empty() ? "" : "*" + change.claim);
}

}  // namespace

BrokerRegistry::BrokerRegistry(io::Env& env, const ActiveCertificates& certificates,
                               std::string path)
    : env_(env), certificates_(certificates), path_(std::move(path)) {}

std::string BrokerRegistry::text() const {
  std::string text = "# Certificates that may connect, and their things; by skerry-fleet.\n";
  for (const auto& [id, use] : certificates_.all()) text += line_of(id, use.thing.str());
  for (const auto& [id, claim] : claims_) text += claim_line({id, claim});
  return text;
}

void BrokerRegistry::set_claims(const std::vector<ClaimChange>& claims) {
  for (const ClaimChange& each : claims) claims_[each.certificate_id] = each.claim;
}

io::Task<Result<void>> BrokerRegistry::write() {
  is_replacing_ = true;
  meanwhile_.clear();
  meanwhile_count_ = 0;
  const size_t count = certificates_.all().size() + claims_.size();
  using Opened = Result<std::unique_ptr<io::File>>;
  auto opened = co_await io::run_on(
      env_.pool, env_.loop, [&files = env_.files, path = path_, text = text()]() -> Opened {
        SKERRY_TRY(io::make_directories(files, io::parent_of(path), 0700));
        SKERRY_TRY(io::write_file_atomic(files, path, text, 0644));
        return files.open(path, io::OpenMode::kAppend);
      });
  is_replacing_ = false;
  if (!opened) co_return fail(opened.error());
  file_ = std::move(*opened);
  lines_ = replaced_lines_ = count;
  if (meanwhile_count_ > 0) {
    co_return append(std::exchange(meanwhile_, {}), std::exchange(meanwhile_count_, 0));
  }
  co_return Result<void>();
}

// No sync: who reads it is on this machine, and a start after a power cut replaces the file.
Result<void> BrokerRegistry::append(const std::string& lines, size_t count) {
  if (!file_) return fail(Code::kUnavailable, path_ + " is to be written anew");
  SKERRY_TRY(file_->write(lines));
  lines_ += count;
  return {};
}

void BrokerRegistry::committed(const Effects& effects) {
  if (effects.certificates.empty() && effects.claims.empty()) return;
  std::string lines;
  for (const CertificateChange& change : effects.certificates) {
    lines += line_of(change.id, change.thing.str());
  }
  for (const ClaimChange& change : effects.claims) {
    lines += claim_line(change);
    if (change.claim.empty()) {
      claims_.erase(change.certificate_id);
    } else {
      claims_[change.certificate_id] = change.claim;
    }
  }
  const size_t count = effects.certificates.size() + effects.claims.size();
  if (is_replacing_) {
    meanwhile_ += lines;
    meanwhile_count_ += count;
  }
  // The plugin reads the former file until the new one takes its place.
  if (const auto appended = append(lines, count); !appended) {
    static log::Limit limit;
    limit.write(log::Level::kError, kRegistryModule,
                "certificates changed but the broker cannot be told yet; trying again",
                {{"error", appended.error().message()}});
    file_.reset();  // may end in the middle of a line
    write_later();
  } else if (lines_ > 2 * replaced_lines_ + kSlack) {
    write_later();
  }
}

void BrokerRegistry::write_later() {
  if (std::exchange(is_due_, true)) return;
  tasks_.spawn([](BrokerRegistry& self) -> io::Task<void> {
    while (!co_await self.write()) {
      self.file_.reset();
      co_await io::sleep(self.env_.loop, kRegistryRetryMs);
    }
    self.is_due_ = false;
  }(*this));
}

}  // namespace skerry::fleet
