// What `skerry infer bulk` writes: one line of JSON an item, in the order of the items, each once
// however often the job was killed. The file itself says how far it is.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "cli/bulk_input.h"
#include "io/fd.h"

namespace skerry::cli {

class BulkOutput {
 public:
  // Goes on behind the items that are there. A last line that was cut off is taken away; lines of
  // another model or of other items are kFailedPrecondition, and so is another job that writes.
  static Result<BulkOutput> open(const std::string& path, const std::string& model,
                                 const BulkInput& input);

  size_t done() const { return done_; }  // items, those of earlier runs included
  size_t failed() const { return failed_; }
  // `lines`: of `items` items, `failed` of which have an error.
  Result<void> append(std::string_view lines, size_t items, size_t failed);
  Result<void> sync();

 private:
  BulkOutput(std::string path, io::Fd file) : path_(std::move(path)), file_(std::move(file)) {}
  Result<void> take_up(const std::string& model, const BulkInput& input);
  Result<void> take_line(std::string_view line, const std::string& model, const BulkInput& input);

  std::string path_;
  io::Fd file_;
  size_t done_ = 0;
  size_t failed_ = 0;
};

}  // namespace skerry::cli
