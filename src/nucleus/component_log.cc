// Writes and turns over component log files.
#include "nucleus/component_log.h"

#include "base/iso_time.h"

namespace skerry::nucleus {

ComponentLog::ComponentLog(io::Env& env, std::string path, uint64_t limit_bytes)
    : env_(env), path_(std::move(path)), limit_bytes_(limit_bytes) {}

void ComponentLog::write(std::string_view line, bool is_stderr) {
  if (path_.empty()) return;
  if (file_ && size_bytes_ + line.size() > limit_bytes_) {
    file_.reset();
    if (!env_.files.rename(path_, path_ + ".1")) return;
  }
  if (!file_) {
    auto opened = env_.files.open(path_, io::OpenMode::kAppend, 0640);
    if (!opened) return;
    file_ = std::move(*opened);
    size_bytes_ = file_->size().value_or(0);
  }
  std::string record = iso_time(env_.clock.wall_ms()) + (is_stderr ? " [stderr] " : " [stdout] ");
  record.append(line).append("\n");
  if (file_->write(record)) size_bytes_ += record.size();
}

}  // namespace skerry::nucleus
