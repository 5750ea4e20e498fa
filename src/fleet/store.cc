// Opening the store, its transactions and the installation's settings.
#include "fleet/store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "fleet/store_migrations.h"
#include "fleet/store_sql.h"
#include "io/fd.h"

namespace skerry::fleet {

Store::Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::string& path) {
  if (path == kInMemory) return open_database(path);
  // SQLite would create the file with the umask's mode; its journal files inherit this one. SQLite
  // does its own I/O, so this does not go through io::Files either.
  if (!io::Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600))) {
    return fail(errno_error("open", path, errno));
  }
  return open_database(path);
}

Result<std::unique_ptr<Store>> Store::open_reader(const std::string& path) {
  SKERRY_ASSIGN(auto database, Database::open(path, Database::Access::kRead));
  return std::unique_ptr<Store>(new Store(std::move(database)));
}

Result<std::unique_ptr<Store>> Store::open_database(const std::string& path) {
  SKERRY_ASSIGN(auto database, Database::open(path, Database::Access::kReadWrite));
  if (auto migrated = migrate(*database, newest_schema_version()); !migrated) {
    return fail(migrated.error().with_context(path));
  }
  return std::unique_ptr<Store>(new Store(std::move(database)));
}

Result<void> Store::transaction(const std::function<Result<void>()>& work) {
  return database_->transaction(work);
}

Result<Effects> Store::take_effects() {
  for (const std::string& id : std::exchange(changed_certificates_, {})) {
    auto certificate = find_certificate(id);
    if (!certificate && certificate.error().code() != Code::kNotFound) {
      return fail(certificate.error());
    }
    const bool usable = certificate && certificate->status == CertificateStatus::kActive;
    effects_.certificates.push_back(
        {id, usable ? certificate->thing : ThingName(), usable ? certificate->expires_ms : 0});
  }
  return std::exchange(effects_, {});
}

void Store::drop_effects() {
  effects_ = {};
  changed_certificates_.clear();
}

Result<std::string> Store::setting(const std::string& name) {
  SKERRY_ASSIGN(auto values, database_->select(
                                 "SELECT value FROM settings WHERE name = :name",
                                 [](const Row& row) { return row.text("value"); }, name));
  return values.empty() ? std::string() : values.front();
}

Result<void> Store::set_setting(const std::string& name, const std::string& value) {
  SKERRY_TRY(
      database_->execute("INSERT INTO settings (name, value) VALUES (:name, :value) "
                         "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                         name, value));
  return {};
}

Result<std::string> Store::setting_or(const std::string& name, const std::string& fresh) {
  SKERRY_ASSIGN(std::string value, setting(name));
  if (!value.empty()) return value;
  SKERRY_TRY(set_setting(name, fresh));
  return fresh;
}

Result<std::optional<Store::RememberedAnswer>> Store::find_answer(const std::string& operation,
                                                                  const std::string& client_token) {
  SKERRY_ASSIGN(auto answers,
                database_->select(
                    "SELECT request_sha256, response FROM answers WHERE operation = :operation "
                    "AND client_token = :token",
                    [](const Row& row) {
                      return RememberedAnswer{row.text("request_sha256"), row.text("response")};
                    },
                    operation, client_token));
  if (answers.empty()) return std::optional<RememberedAnswer>();
  return std::optional<RememberedAnswer>(std::move(answers.front()));
}

Result<void> Store::remember_answer(const std::string& operation, const std::string& client_token,
                                    const RememberedAnswer& answer, int64_t now_ms) {
  constexpr int64_t kAnswerLifeMs = 24 * 3600 * 1000;
  SKERRY_TRY(
      database_->execute("DELETE FROM answers WHERE created_ms < :oldest", now_ms - kAnswerLifeMs));
  SKERRY_TRY(database_->execute(
      "INSERT INTO answers (operation, client_token, request_sha256, response, created_ms) "
      "VALUES (:operation, :token, :request, :response, :created)",
      operation, client_token, answer.request_sha256, answer.response_json, now_ms));
  return {};
}

}  // namespace skerry::fleet
