// Memory that is not there is an answer, not the end of the process: requests and models decide how
// much is asked for.
#pragma once

#include <fmt/format.h>

#include <new>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace skerry::serve {

// What `work()` (a Result) gives; kResourceExhausted with `what` in the message where memory ran
// out. What `work` has built up by then is freed.
template <class Work>
auto within_memory(std::string_view what, Work&& work) -> decltype(work()) {
  try {
    return std::forward<Work>(work)();
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {
  }
  return fail(Code::kResourceExhausted, fmt::format("there is not enough memory for {}", what));
}

}  // namespace skerry::serve
