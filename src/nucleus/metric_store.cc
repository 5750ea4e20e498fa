// Appending to the newest file; the oldest goes when there are too many.
#include "nucleus/metric_store.h"

#include <algorithm>
#include <charconv>

#include "formats/metric_ring.h"

namespace skerry::nucleus {

using formats::metric_file_first;
using formats::metric_file_name;
using formats::take_metric_line;

Result<std::unique_ptr<MetricStore>> MetricStore::open(io::Files& files, std::string directory,
                                                       const std::string& new_run,
                                                       MetricStoreLimits limits) {
  SKERRY_TRY(io::make_directories(files, directory, 0700));
  std::unique_ptr<MetricStore> store(new MetricStore(files, std::move(directory), limits));
  SKERRY_TRY(store->load(new_run));
  return store;
}

std::string MetricStore::path_of(uint64_t first) const {
  return directory_ + "/" + metric_file_name(first);
}

Result<void> MetricStore::load(const std::string& new_run) {
  SKERRY_ASSIGN(const auto names, files_.list(directory_));
  for (const std::string& name : names) {
    if (const auto first = metric_file_first(name)) firsts_.push_back(*first);
  }
  std::ranges::sort(firsts_);
  SKERRY_TRY(recover_newest());
  SKERRY_ASSIGN(
      const size_t damaged,
      formats::read_metric_ring(files_, directory_, [this](const formats::MetricSummary& summary) {
        run_ = summary.run;
        last_ = summary.sequence;
      }));
  if (damaged > 0) damaged_ = std::to_string(damaged) + " lines do not match their checksums";
  // A file's name holds its first number: what was acknowledged in it and is damaged since is not
  // given again.
  if (!firsts_.empty() && firsts_.back() > last_) last_ = firsts_.back();
  if (run_.empty()) run_ = new_run;
  const auto sent = io::read_file(files_, directory_ + "/sent", 64);
  if (sent) std::from_chars(sent->data(), sent->data() + sent->size(), sent_);
  sent_ = std::min(sent_, last_);
  return {};
}

// An append that was cut short ends the newest file: it is cut off, and what is read again is
// durable before anybody is told of it.
Result<void> MetricStore::recover_newest() {
  if (firsts_.empty()) return {};
  const std::string path = path_of(firsts_.back());
  SKERRY_ASSIGN(const std::string text, io::read_file(files_, path));
  std::string_view rest = text;
  size_t good = 0;
  while (const auto line = take_metric_line(rest)) {
    if (!line->empty()) good = text.size() - rest.size();
  }
  SKERRY_ASSIGN(file_, files_.open(path, io::OpenMode::kAppend));
  if (good < text.size()) {
    damaged_ = "an append was cut short";
    SKERRY_TRY(file_->truncate(good));
  }
  SKERRY_TRY(file_->sync());
  SKERRY_TRY(files_.sync_directory(directory_));
  size_ = good;
  return {};
}

Result<void> MetricStore::begin_file() {
  while (firsts_.size() >= limits_.files) {
    auto removed = files_.remove(path_of(firsts_.front()));
    if (!removed && removed.error().code() != Code::kNotFound) return removed;
    firsts_.erase(firsts_.begin());
  }
  const uint64_t first = next_sequence();
  // A file of this name was begun and holds nothing that anybody was told of.
  SKERRY_ASSIGN(file_, files_.open(path_of(first), io::OpenMode::kTruncate));
  if (firsts_.empty() || firsts_.back() != first) firsts_.push_back(first);
  size_ = 0;
  return {};
}

Result<void> MetricStore::append(const std::string& summary) {
  const std::string line = formats::metric_line(summary);
  if (file_ == nullptr || (size_ > 0 && size_ + line.size() > limits_.file_bytes)) {
    SKERRY_TRY(begin_file());
  }
  auto written = file_->write(line);
  if (written) written = file_->sync();
  if (written && size_ == 0) written = files_.sync_directory(directory_);
  if (!written) {
    file_ = nullptr;  // where it stands is not known: the next one begins a file
    return written;
  }
  size_ += line.size();
  ++last_;
  return {};
}

Result<std::optional<MetricStore::Line>> MetricStore::next(uint64_t after) {
  auto file = std::ranges::upper_bound(firsts_, after + 1);
  if (file != firsts_.begin()) --file;
  for (; file != firsts_.end(); ++file) {
    SKERRY_ASSIGN(const std::string text, io::read_file(files_, path_of(*file)));
    std::string_view rest = text;
    while (const auto line = take_metric_line(rest)) {
      const auto summary = formats::parse_metric_summary(*line);
      if (summary && summary->sequence > after && summary->sequence <= last_) {
        return Line{summary->sequence, std::string(*line)};
      }
    }
  }
  return std::optional<Line>();
}

Result<void> MetricStore::set_sent(uint64_t sequence) {
  sent_ = sequence;
  return io::write_file_atomic(files_, directory_ + "/sent", std::to_string(sequence));
}

}  // namespace skerry::nucleus
