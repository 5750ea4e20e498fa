// The lines of earlier runs read, and new ones behind them.
#include "cli/bulk_output.h"

#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <nlohmann/json.hpp>

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

Result<BulkOutput> BulkOutput::open(const std::string& path, const std::string& model,
                                    const BulkInput& input) {
  BulkOutput output(path,
                    io::Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)));
  if (!output.file_) return fail(errno_error("open", path, errno));
  if (::flock(output.file_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(errno_error("lock", path, errno));
    return fail(Code::kFailedPrecondition, path + ": another job is writing it");
  }
  auto taken = output.take_up(model, input);
  if (!taken) return fail(taken.error().with_context(path));
  return output;
}

Result<void> BulkOutput::take_up(const std::string& model, const BulkInput& input) {
  std::string piece(kPieceBytes, '\0');
  std::string line;
  uint64_t read = 0;
  uint64_t whole = 0;  // bytes of whole lines
  while (true) {
    const ssize_t got = ::pread(file_.get(), piece.data(), piece.size(), static_cast<off_t>(read));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(errno_error("read", path_, errno));
    if (got == 0) break;
    read += static_cast<uint64_t>(got);
    std::string_view rest(piece.data(), static_cast<size_t>(got));
    for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      line.append(rest.substr(0, end));
      rest.remove_prefix(end + 1);
      SKERRY_TRY(take_line(line, model, input));
      whole += line.size() + 1;
      line.clear();
    }
    line.append(rest);
  }
  if (whole == read) return {};
  if (::ftruncate(file_.get(), static_cast<off_t>(whole)) == 0) return {};
  return fail(errno_error("truncate", path_, errno));
}

Result<void> BulkOutput::take_line(std::string_view line, const std::string& model,
                                   const BulkInput& input) {
  const auto foreign = [&](std::string_view why) {
    return fail(Code::kFailedPrecondition,
                fmt::format("line {} {}; go on with the same model and input, or choose another "
                            "--out",
                            done_ + 1, why));
  };
  const json document = json::parse(line, nullptr, false);
  if (!document.is_object()) return foreign("is none of this command's");
  if (document.value("model", json()) != model) return foreign("is of another model");
  if (done_ == input.size()) return foreign("is of an item that the input does not have");
  if (document.value("item", json()) != input.name(done_)) {
    return foreign(fmt::format("is not of item '{}'", input.name(done_)));
  }
  ++done_;
  if (document.contains("error")) ++failed_;
  return {};
}

Result<void> BulkOutput::append(std::string_view lines, size_t items, size_t failed) {
  while (!lines.empty()) {
    const ssize_t written = ::write(file_.get(), lines.data(), lines.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(errno_error("write", path_, errno));
    lines.remove_prefix(static_cast<size_t>(written));
  }
  done_ += items;
  failed_ += failed;
  return {};
}

Result<void> BulkOutput::sync() {
  if (::fsync(file_.get()) == 0) return {};
  return fail(errno_error("sync", path_, errno));
}

}  // namespace skerry::cli
