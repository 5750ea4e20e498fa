// What an answer of the inference service is in the file of `skerry infer bulk`: a line of JSON an
// item.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/bulk_input.h"

namespace skerry::cli {

// The lines of items [first, first + count), of which each output's rows are one. Nothing where
// `answer` is not that of so many.
std::optional<std::string> bulk_lines(std::string_view answer, const std::string& model,
                                      const BulkInput& input, size_t first, size_t count);

}  // namespace skerry::cli
