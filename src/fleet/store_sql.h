// The store's adapter to SOCI: statements with bound parameters in, rows out, exceptions turned
// into Errors. Included by store*.cc only.
//
// SQL here stays within what SQLite and PostgreSQL share: TEXT and BIGINT columns, ON CONFLICT, no
// parameter named twice (SOCI numbers them by position).
#pragma once

#include <soci/soci.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "fleet/records.h"

namespace sqlite_api {  // SOCI's name for the library's
struct sqlite3;
}

namespace skerry::fleet {

class Row {
 public:
  explicit Row(const soci::row& row) : row_(row) {}
  std::string text(const char* column) const;  // NULL reads as ""
  int64_t number(const char* column) const;    // NULL reads as 0

 private:
  const soci::row& row_;
};

class Database {
 public:
  enum class Access { kReadWrite, kRead };
  static Result<std::unique_ptr<Database>> open(const std::string& path,
                                                Access access = Access::kReadWrite);

  // Runs a statement that returns no rows; the number of rows it touched.
  template <class... Parameters>
  Result<int64_t> execute(const std::string& sql, const Parameters&... parameters) {
    int64_t touched = 0;
    SKERRY_TRY(guard([&] {
      auto prepared = session_.prepare << sql;
      (bind(prepared, parameters), ...);
      soci::statement statement = prepared;
      statement.execute(true);
      touched = statement.get_affected_rows();
    }));
    return touched;
  }

  // Every row that the query yields, through `read`.
  template <class Read, class... Parameters>
  auto select(const std::string& sql, Read read, const Parameters&... parameters)
      -> Result<std::vector<decltype(read(std::declval<Row>()))>> {
    std::vector<decltype(read(std::declval<Row>()))> found;
    SKERRY_TRY(guard([&] {
      auto prepared = session_.prepare << sql;
      (bind(prepared, parameters), ...);
      soci::rowset<soci::row> rows = prepared;
      for (const soci::row& row : rows) found.push_back(read(Row(row)));
    }));
    return found;
  }

  // One or two columns of text of every row, as views that live for the call: several times faster
  // than select(). SQLite's own way: `sql` has a ? for each of `parameters`.
  using EachPair = std::function<void(std::string_view first, std::string_view second)>;
  Result<void> scan(const std::string& sql, std::span<const std::string_view> parameters,
                    const EachPair& each);

  // The same where the number of parameters shows at run time: `each` calls bind(text) for them.
  template <class Read, class Each>
  auto select_where(const std::string& sql, Read read, Each each)
      -> Result<std::vector<decltype(read(std::declval<Row>()))>> {
    std::vector<decltype(read(std::declval<Row>()))> found;
    SKERRY_TRY(guard([&] {
      auto prepared = session_.prepare << numbered(sql);
      each([&](const std::string& value) { bind(prepared, value); });
      soci::rowset<soci::row> rows = prepared;
      for (const soci::row& row : rows) found.push_back(read(Row(row)));
    }));
    return found;
  }

  // The only row; kNotFound with `missing` where there is none.
  template <class Read, class... Parameters>
  auto select_one(std::string missing, const std::string& sql, Read read,
                  const Parameters&... parameters) -> Result<decltype(read(std::declval<Row>()))> {
    SKERRY_ASSIGN(auto found, select(sql, read, parameters...));
    if (found.empty()) return fail(Code::kNotFound, std::move(missing));
    return std::move(found.front());
  }

  // All of what `work` does, or nothing where it returns an error; within another transaction, too.
  Result<void> transaction(const std::function<Result<void>()>& work);

 private:
  explicit Database(Access access) : access_(access) {}
  Result<void> outer_transaction(const std::function<Result<void>()>& work);
  Result<void> savepoint(const std::function<Result<void>()>& work);
  bool in_transaction();
  sqlite_api::sqlite3* connection();
  static void bind(soci::details::prepare_temp_type& prepared, const std::string& value) {
    prepared, soci::use(value);
  }
  static void bind(soci::details::prepare_temp_type& prepared, const int64_t& value) {
    prepared, soci::use(value);
  }
  // SOCI keeps the address until the rows are read: nothing may be converted on the way.
  template <class Other>
  static void bind(soci::details::prepare_temp_type& prepared, const Other& value) = delete;
  static std::string numbered(const std::string& sql);  // each ? as SOCI wants it: :p1, :p2, …
  static Result<void> guard(const std::function<void()>& work);

  const Access access_;
  soci::session session_;
  int depth_ = 0;  // of nested transaction() calls
};

// For LIKE … ESCAPE '\': what stands anywhere in the text.
std::string anywhere(const std::string& text);

// At most `page.limit` of `rows`, which were asked for with limit_of(page); `key` gives the
// position of a row in the list.
inline int64_t limit_of(const Page& page) {
  return static_cast<int64_t>(page.limit) + 1;
}
template <class T, class Key>
Slice<T> slice_of(std::vector<T> rows, const Page& page, Key key) {
  Slice<T> slice;
  if (rows.size() > page.limit) {
    rows.resize(page.limit);
    slice.next = key(rows.back());
  }
  slice.items = std::move(rows);
  return slice;
}
// The number that slice_of wrote as a key, or `first` for the first page.
int64_t number_after(const Page& page, int64_t first);

}  // namespace skerry::fleet
