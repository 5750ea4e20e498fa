// Error and Result: how every expected failure travels. An Error's code says whether trying again
// can help; its message says what happened and what to do about it, ready to be shown to a person.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace skerry {

enum class Code {
  kInvalidArgument,     // the input is wrong; trying again changes nothing
  kNotFound,            // a named thing does not exist
  kAlreadyExists,       // a named thing exists with other content
  kPermissionDenied,    // the caller may not do this
  kFailedPrecondition,  // the system is in a state that does not allow it now
  kCorrupt,             // stored or received bytes fail their check
  kUnsupported,         // understood, but this program does not do it
  kResourceExhausted,   // a limit was reached (disk, memory, quota)
  kUnavailable,         // the other side is not there; retry with a delay
  kTimeout,             // no answer in time; retry with a delay
  kCancelled,           // stopped on request
  kInternal,            // a fault of this program or of the operating system
};

// The code's stable name in logs and JSON, for example "not_found".
std::string_view code_name(Code code);

// True where the same call can succeed later without anybody changing anything.
bool is_retryable(Code code);

class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  bool retryable() const { return is_retryable(code_); }

  // The same error seen from further out: "CONTEXT: message".
  Error with_context(std::string_view context) const;

 private:
  Code code_;
  std::string message_;
};

template <class T = void>
using Result = std::expected<T, Error>;

// return fail(Code::kNotFound, "…") from a function that returns any Result.
inline std::unexpected<Error> fail(Code code, std::string message) {
  return std::unexpected<Error>(Error(code, std::move(message)));
}
inline std::unexpected<Error> fail(Error error) {
  return std::unexpected<Error>(std::move(error));
}

// The error of `result` as an Error of the operating system call `what` on `path` with errno value
// `errno_value` (ENOSPC becomes kResourceExhausted, ENOENT kNotFound, EACCES kPermissionDenied, …).
Error errno_error(std::string_view what, std::string_view path, int errno_value);

}  // namespace skerry

#define SKERRY_CONCAT_INNER(a, b) a##b
#define SKERRY_CONCAT(a, b) SKERRY_CONCAT_INNER(a, b)

// SKERRY_TRY(expr): leave the function with the error of a Result<void>, or go on.
#define SKERRY_TRY(expr)                                                          \
  do {                                                                            \
    if (auto skerry_result_ = (expr); !skerry_result_) [[unlikely]]               \
      return std::unexpected<::skerry::Error>(std::move(skerry_result_.error())); \
  } while (0)

// SKERRY_ASSIGN(auto x, expr): x becomes the value, or leave the function with the error.
#define SKERRY_ASSIGN(lhs, expr) \
  SKERRY_ASSIGN_INNER(SKERRY_CONCAT(skerry_result_, __LINE__), lhs, expr)
#define SKERRY_ASSIGN_INNER(tmp, lhs, expr)                          \
  auto tmp = (expr);                                                 \
  if (!tmp) [[unlikely]]                                             \
    return std::unexpected<::skerry::Error>(std::move(tmp.error())); \
  lhs = std::move(*tmp)

// The same in a coroutine that returns io::Task<Result<…>>.
#define SKERRY_CO_TRY(expr)                                                          \
  do {                                                                               \
    if (auto skerry_result_ = (expr); !skerry_result_) [[unlikely]]                  \
      co_return std::unexpected<::skerry::Error>(std::move(skerry_result_.error())); \
  } while (0)
#define SKERRY_CO_ASSIGN(lhs, expr) \
  SKERRY_CO_ASSIGN_INNER(SKERRY_CONCAT(skerry_result_, __LINE__), lhs, expr)
#define SKERRY_CO_ASSIGN_INNER(tmp, lhs, expr)                          \
  auto tmp = (expr);                                                    \
  if (!tmp) [[unlikely]]                                                \
    co_return std::unexpected<::skerry::Error>(std::move(tmp.error())); \
  lhs = std::move(*tmp)
