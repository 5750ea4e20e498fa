// Opening SQLite through SOCI, transactions, and the meaning of its errors.
#include "fleet/store_sql.h"

#include <soci/sqlite3/soci-sqlite3.h>

#include <charconv>
#include <memory>

namespace skerry::fleet {
namespace {

Code code_of(int sqlite_result) {
  switch (sqlite_result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::kUnavailable;
    case SQLITE_FULL:
      return Code::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Code::kCorrupt;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return Code::kPermissionDenied;
    default:
      return Code::kInternal;
  }
}

int64_t number_in(const std::string& text, int64_t otherwise) {
  int64_t number = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

std::string Row::text(const char* column) const {
  return row_.get<std::string>(column, std::string());
}

int64_t Row::number(const char* column) const {
  if (row_.get_indicator(column) == soci::i_null) return 0;
  const soci::data_type type = row_.get_properties(column).get_data_type();
  if (type == soci::dt_long_long) return row_.get<long long>(column);
  if (type == soci::dt_integer) return row_.get<int>(column);
  // An expression such as max(x) has no declared type in SQLite: SOCI hands it over as text.
  return number_in(row_.get<std::string>(column), 0);
}

Result<void> Database::guard(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const soci::sqlite3_soci_error& error) {
    return fail(code_of(error.result()), "control-plane database: " + error.get_error_message());
  } catch (const soci::soci_error& error) {
    return fail(Code::kInternal, "control-plane database: " + error.get_error_message());
  } catch (const std::exception& error) {
    return fail(Code::kInternal, std::string("control-plane database: ") + error.what());
  }
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path, Access access) {
  // A session is one thread's at a time; with locks of its own each column of each row takes one.
  static const int kConfigured = sqlite_api::sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
  (void)kConfigured;
  std::unique_ptr<Database> database(new Database(access));
  auto opened = guard([&] {
    soci::connection_parameters parameters(soci::sqlite3, "dbname=\"" + path + "\" timeout=5");
    database->session_.open(parameters);
    // WAL with FULL: every commit is on the disk before it is answered.
    database->session_ << "PRAGMA journal_mode = WAL";
    database->session_ << "PRAGMA synchronous = FULL";
    database->session_ << "PRAGMA foreign_keys = ON";
    // What is written in one unit of work stays in memory until it is committed; checkpoints are
    // few and long enough for neighbouring pages to go together.
    database->session_ << (access == Access::kRead ? "PRAGMA cache_size = -16384"
                                                   : "PRAGMA cache_size = -65536");
    database->session_ << "PRAGMA wal_autocheckpoint = 4000";
    if (access == Access::kRead) database->session_ << "PRAGMA query_only = ON";
  });
  if (!opened) return fail(opened.error().with_context(path));
  return database;
}

Result<void> Database::transaction(const std::function<Result<void>()>& work) {
  return depth_ == 0 ? outer_transaction(work) : savepoint(work);
}

Result<void> Database::outer_transaction(const std::function<Result<void>()>& work) {
  // A writer takes its turn at the beginning: one that only reads at first could find later that
  // another has written meanwhile, and would have to fail.
  const char* begin = access_ == Access::kRead ? "BEGIN" : "BEGIN IMMEDIATE";
  SKERRY_TRY(guard([&] { session_ << begin; }));
  ++depth_;
  Result<void> result = work();
  --depth_;
  if (result) result = guard([&] { session_ << "COMMIT"; });
  if (!result && in_transaction()) (void)guard([&] { session_ << "ROLLBACK"; });
  return result;
}

Result<void> Database::savepoint(const std::function<Result<void>()>& work) {
  // A full disk ends the whole transaction; what came later would be committed on its own.
  if (!in_transaction()) {
    return fail(Code::kUnavailable,
                "control-plane database: an error before ended the transaction");
  }
  const std::string name = "unit_" + std::to_string(depth_);
  SKERRY_TRY(guard([&] { session_ << "SAVEPOINT " + name; }));
  ++depth_;
  Result<void> result = work();
  --depth_;
  if (!result && in_transaction()) {
    (void)guard([&] { session_ << "ROLLBACK TO " + name; });
  }
  if (in_transaction()) {
    if (auto released = guard([&] { session_ << "RELEASE " + name; }); result) result = released;
  }
  return result;
}

std::string Database::numbered(const std::string& sql) {
  std::string result;
  int number = 0;
  for (const char c : sql) {
    result += c;
    if (c == '?') result.replace(result.size() - 1, 1, ":p" + std::to_string(++number));
  }
  return result;
}

sqlite_api::sqlite3* Database::connection() {
  return static_cast<soci::sqlite3_session_backend*>(session_.get_backend())->conn_;
}

bool Database::in_transaction() {
  return sqlite_api::sqlite3_get_autocommit(connection()) == 0;
}

Result<void> Database::scan(const std::string& sql, std::span<const std::string_view> parameters,
                            const EachPair& each) {
  using namespace sqlite_api;
  const auto refused = [&](int result) {
    return fail(code_of(result),
                std::string("control-plane database: ") + sqlite3_errmsg(connection()));
  };
  sqlite3_stmt* prepared = nullptr;
  int result = sqlite3_prepare_v2(connection(), sql.c_str(), -1, &prepared, nullptr);
  const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> statement(prepared,
                                                                             &sqlite3_finalize);
  int position = 0;
  for (const std::string_view parameter : parameters) {
    if (result != SQLITE_OK) break;
    result = sqlite3_bind_text(prepared, ++position, parameter.data(),
                               static_cast<int>(parameter.size()), nullptr);
  }
  if (result != SQLITE_OK) return refused(result);
  const auto column = [&](int number) {
    // Asked for as text it would be copied, for the zero at its end.
    const auto* text = static_cast<const char*>(sqlite3_column_blob(prepared, number));
    return std::string_view(text, static_cast<size_t>(sqlite3_column_bytes(prepared, number)));
  };
  const bool has_second = sqlite3_column_count(prepared) > 1;
  while ((result = sqlite3_step(prepared)) == SQLITE_ROW) {
    each(column(0), has_second ? column(1) : std::string_view());
  }
  if (result != SQLITE_DONE) return refused(result);
  return {};
}

std::string anywhere(const std::string& text) {
  std::string pattern = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + "%";
}

int64_t number_after(const Page& page, int64_t first) {
  return number_in(page.after, first);
}

}  // namespace skerry::fleet
