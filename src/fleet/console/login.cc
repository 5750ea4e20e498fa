// Tokens are random and kept as digests: who reads the database cannot use a session.
#include "fleet/console/login.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "base/sha256.h"
#include "fleet/access/passwords.h"
#include "formats/json_ptr.h"
#include "io/pool.h"

namespace skerry::fleet {
namespace {

constexpr double kTriesOfName = 5;
constexpr double kTriesOfSource = 20;
constexpr double kTriesPerSecond = 0.1;
constexpr size_t kTokenCharacters = 43;  // 222 bits
// What the password of somebody unknown is compared with: the answer takes as long.
constexpr const char* kNobodysHash =
    "scrypt$32768$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

std::string digest_of(const std::string& token) {
  return hex_encode(sha256(token));
}

AuditEntry entry_of(const Operator& person, const char* operation, const std::string& source,
                    int64_t now_ms) {
  return {.at_ms = now_ms,
          .actor = person.name,
          .role = person.role,
          .via = "console",
          .operation = operation,
          .resource = "/console",
          .details_json = formats::json_text(nlohmann::json{{"from", source}})};
}

}  // namespace

ConsoleLogin::ConsoleLogin(io::Env& env, StorePool& stores)
    : env_(env),
      stores_(stores),
      names_(env.clock, kTriesOfName, kTriesPerSecond),
      sources_(env.clock, kTriesOfSource, kTriesPerSecond) {}

io::Task<Result<OpenSession>> ConsoleLogin::log_in(std::string name, std::string password,
                                                   std::string source) {
  if (!names_.spend(ThingName(name)) || !sources_.spend(ThingName(source))) {
    co_return fail(Code::kResourceExhausted, "too many tries: wait a minute");
  }
  auto person = co_await stores_.read([name](Store& store) { return find_operator(store, name); });
  if (!person && person.error().code() != Code::kNotFound) co_return fail(person.error());
  const std::string hash = person ? person->password_hash : kNobodysHash;
  const bool fits = co_await io::run_on(
      env_.pool, env_.loop,
      [password = std::move(password), hash] { return is_password(password, hash); });
  if (!fits || !person || !person->enabled) {
    log::warn("console", "login refused", {{"operator", name}, {"from", source}});
    // Of names that are nobody's there is no end.
    if (person) tasks_.spawn(note(*person, "console:RefuseLogIn", source));
    co_return fail(Code::kPermissionDenied, "name or password is wrong");
  }
  names_.give_back(ThingName(name));
  sources_.give_back(ThingName(source));
  OpenSession session{env_.random.token(kTokenCharacters), env_.random.token(kTokenCharacters),
                      Identity{name, person->role, "console"}};
  const int64_t now_ms = env_.clock.wall_ms();
  SKERRY_CO_TRY(
      co_await stores_.write([session, now_ms, hash, source](Store& store) -> Result<void> {
        // Who was locked out, or got another password, while we computed stays out.
        SKERRY_ASSIGN(const Operator now, find_operator(store, session.who.name));
        if (!now.enabled || now.password_hash != hash) {
          return fail(Code::kPermissionDenied, "name or password is wrong");
        }
        SKERRY_TRY(delete_console_sessions_before(store, now_ms - kSessionMs));
        SKERRY_TRY(add_console_session(
            store, {digest_of(session.token), session.who.name, session.csrf_token, now_ms}));
        return add_audit_entry(store, entry_of(now, "console:LogIn", source, now_ms));
      }));
  co_return session;
}

io::Task<Result<OpenSession>> ConsoleLogin::find(std::string token) {
  const int64_t now_ms = env_.clock.wall_ms();
  auto found = co_await stores_.read([token, now_ms](Store& store) -> Result<OpenSession> {
    SKERRY_ASSIGN(const ConsoleSession session, find_console_session(store, digest_of(token)));
    SKERRY_ASSIGN(const Operator person, find_operator(store, session.operator_name));
    const bool open = person.enabled && session.created_ms <= now_ms + kSessionMs &&
                      now_ms < session.created_ms + kSessionMs;
    if (!open) return fail(Code::kNotFound, "this session has ended");
    return OpenSession{token, session.csrf_token, Identity{person.name, person.role, "console"}};
  });
  if (!found && found.error().code() == Code::kNotFound) {
    co_return fail(Code::kPermissionDenied, "this session has ended: log in again");
  }
  co_return found;
}

io::Task<void> ConsoleLogin::note(Operator person, const char* operation, std::string source) {
  const AuditEntry entry = entry_of(person, operation, source, env_.clock.wall_ms());
  const auto noted =
      co_await stores_.write([entry](Store& store) { return add_audit_entry(store, entry); });
  if (!noted) {
    log::warn("console", "not in the audit log", {{"error", noted.error().message()}});
  }
}

io::Task<Result<void>> ConsoleLogin::log_out(std::string token, std::string source) {
  const int64_t now_ms = env_.clock.wall_ms();
  co_return co_await stores_.write([token, source, now_ms](Store& store) -> Result<void> {
    SKERRY_ASSIGN(const ConsoleSession session, find_console_session(store, digest_of(token)));
    SKERRY_ASSIGN(const Operator person, find_operator(store, session.operator_name));
    SKERRY_TRY(delete_console_session(store, digest_of(token)));
    return add_audit_entry(store, entry_of(person, "console:LogOut", source, now_ms));
  });
}

}  // namespace skerry::fleet
