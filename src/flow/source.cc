// Folders, pipes, cameras, topics.
#include "flow/source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>

#include "base/log.h"
#include "flow/audio_cutter.h"
#include "flow/camera.h"
#include "flow/frames.h"
#include "io/fd.h"
#include "io/regular_file.h"

namespace skerry::flow {
namespace {

constexpr std::string_view kSourceModule = "stream";
constexpr size_t kPieceBytes = 64 << 10;
constexpr uint64_t kMaxContentBytes = 64 << 20;  // of a file that is an input whole
constexpr uint64_t kMaxRecordingBytes = uint64_t{64} << 30;
constexpr int64_t kLookMs = 500;  // between looks at a folder
constexpr int64_t kReconnectMs = 1'000;

Item whole(std::string source, std::string_view content) {
  Item item{.source = std::move(source), .begins = true};
  item.content.type = tensor::DataType::kBytes;
  item.content.shape = {1};
  tensor::append_bytes(item.content.bytes, content);
  return item;
}

// Nothing where files and messages go to the model whole.
std::unique_ptr<Cutter> make_cutter(const FlowConfig& config) {
  if (config.source.frames) {
    return std::make_unique<FrameCutter>(*config.source.frames, config.frames);
  }
  if (!config.window) return nullptr;
  return std::make_unique<AudioCutter>(*config.window, config.source.format);
}

class DirectorySource : public Source {
 public:
  DirectorySource(io::Loop& loop, io::Pool& pool, const FlowConfig& config)
      : loop_(loop), pool_(pool), config_(config.source), cutter_(make_cutter(config)) {
    if (config_.suffix.empty() && config.window) config_.suffix = ".wav";
  }

  io::Task<Result<void>> run(Queue<Item>& items) override {
    std::set<std::string> seen;
    for (;;) {
      SKERRY_CO_ASSIGN(const auto names, co_await list());
      std::set<std::string> now(names.begin(), names.end());
      for (const std::string& name : names) {
        if (config_.then == SourceConfig::Then::kWatch && seen.contains(name)) continue;
        if (auto read = co_await read_file(name, items); !read) {
          log::warn(kSourceModule, "a file is left out", {{"error", read.error().message()}});
        }
      }
      if (config_.then == SourceConfig::Then::kEnd) co_return Result<void>();
      seen = std::move(now);
      co_await io::sleep(loop_, kLookMs);
    }
  }

 private:
  io::Task<Result<std::vector<std::string>>> list() {
    return io::run_on(pool_, loop_, [path = config_.path, suffix = config_.suffix] {
      Result<std::vector<std::string>> names;
      std::error_code error;
      for (std::filesystem::directory_iterator each(path, error), end; !error && each != end;
           each.increment(error)) {
        const std::string name = each->path().filename();
        if (name.ends_with(suffix) && !name.starts_with('.')) names->push_back(name);
      }
      if (error) {
        names = fail(Code::kInvalidArgument,
                     fmt::format("source.directory: {}: {}", path, error.message()));
      } else {
        std::ranges::sort(*names);
      }
      return names;
    });
  }

  io::Task<Result<void>> read_file(std::string name, Queue<Item>& items) {
    const uint64_t most = cutter_ ? kMaxRecordingBytes : kMaxContentBytes;
    auto opened = io::RegularFile::open(config_.path, name, most);
    if (!opened) co_return fail(std::move(opened.error()));
    const auto file = std::make_shared<io::RegularFile>(std::move(*opened));
    const size_t piece = cutter_ ? kPieceBytes : static_cast<size_t>(file->size_bytes());
    if (cutter_) cutter_->begin(name);
    for (;;) {
      auto bytes = co_await io::run_on(pool_, loop_, [file, piece]() -> Result<std::string> {
        std::string read(piece, '\0');
        SKERRY_ASSIGN(const size_t size, file->read(std::as_writable_bytes(std::span(read))));
        read.resize(size);
        return read;
      });
      if (!bytes) co_return fail(std::move(bytes.error()));
      if (!cutter_) {
        co_await items.push(whole(name, *bytes));
        co_return Result<void>();
      }
      if (bytes->empty()) break;
      auto cut = cutter_->push(*bytes);
      if (!cut) co_return fail(cut.error().with_context(name));
      for (Item& item : *cut) co_await items.push(std::move(item));
    }
    for (Item& item : cutter_->finish()) co_await items.push(std::move(item));
    co_return Result<void>();
  }

  io::Loop& loop_;
  io::Pool& pool_;
  SourceConfig config_;
  std::unique_ptr<Cutter> cutter_;  // where the files are recordings
};

class PipeSource : public Source {
 public:
  PipeSource(io::Loop& loop, io::Pool& pool, const FlowConfig& config)
      : loop_(loop), pool_(pool), path_(config.source.path), cutter_(make_cutter(config)) {}

  io::Task<Result<void>> run(Queue<Item>& items) override {
    cutter_->begin(path_ == "-" ? "standard input" : path_);
    // Opening a pipe waits for its writer.
    auto opened = co_await io::run_on(pool_, loop_, [path = path_]() -> Result<int> {
      const int fd = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd >= 0) return fd;
      return fail(Code::kInvalidArgument,
                  fmt::format("source.pipe: {}: {}", path, std::generic_category().message(errno)));
    });
    if (!opened) co_return fail(std::move(opened.error()));
    const auto fd = std::make_shared<io::Fd>(*opened);
    for (;;) {
      const std::string bytes = co_await io::run_on(pool_, loop_, [fd] {
        std::string read(kPieceBytes, '\0');
        ssize_t size = 0;
        do {
          size = ::read(fd->get(), read.data(), read.size());
        } while (size < 0 && errno == EINTR);
        read.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
        return read;
      });
      if (bytes.empty()) break;
      SKERRY_CO_ASSIGN(auto cut, cutter_->push(bytes));
      for (Item& item : cut) co_await items.push(std::move(item));
    }
    for (Item& item : cutter_->finish()) co_await items.push(std::move(item));
    co_return Result<void>();
  }

 private:
  io::Loop& loop_;
  io::Pool& pool_;
  const std::string path_;
  const std::unique_ptr<Cutter> cutter_;
};

class CameraSource : public Source {
 public:
  CameraSource(io::Loop& loop, io::Pool& pool, const FlowConfig& config)
      : loop_(loop),
        pool_(pool),
        path_(config.source.path),
        format_(*config.source.frames),
        window_(config.frames) {}

  // Frames that come faster than they are taken are dropped, by the queue or by the driver.
  io::Task<Result<void>> run(Queue<Item>& items) override {
    const auto format = std::make_shared<FrameFormat>(format_);
    auto opened = co_await io::run_on(pool_, loop_, [path = path_, format]() -> Result<Camera> {
      return Camera::open(path, *format);
    });
    if (!opened) co_return fail(std::move(opened.error()));
    const auto camera = std::make_shared<Camera>(*std::move(opened));
    log::info(kSourceModule, "the camera runs",
              {{"path", path_}, {"frames_per_s", fmt::format("{:.1f}", format->rate)}});
    FrameCutter cutter(*format, window_);
    cutter.begin(path_);
    const size_t size = bytes_of_frame(*format);
    for (;;) {
      auto frame = co_await io::run_on(pool_, loop_, [camera] { return camera->read(); });
      if (!frame) co_return fail(std::move(frame.error()));
      if (frame->empty() || (size != 0 && frame->size() != size)) continue;  // damaged on its way
      if (auto item = cutter.push_frame(*frame)) items.offer(*std::move(item));
    }
  }

 private:
  io::Loop& loop_;
  io::Pool& pool_;
  const std::string path_;
  const FrameFormat format_;
  const FrameWindow window_;
};

class TopicSource : public Source {
 public:
  TopicSource(io::Loop& loop, rpc::NucleusAddress nucleus, const SourceConfig& config)
      : loop_(loop), nucleus_(std::move(nucleus)), config_(config) {}

  io::Task<Result<void>> run(Queue<Item>& items) override {
    if (nucleus_.empty()) {
      co_return fail(Code::kInvalidArgument,
                     "source: topics need a nucleus; run this as a component");
    }
    bool was_told = false;
    for (;;) {
      auto ended = co_await listen(items);
      const bool is_refused = ended.error().code() == Code::kPermissionDenied;
      if (is_refused) co_return fail(std::move(ended.error()));
      if (!std::exchange(was_told, true)) {
        log::warn(kSourceModule, "the nucleus is away", {{"error", ended.error().message()}});
      }
      co_await io::sleep(loop_, kReconnectMs);
    }
  }

 private:
  // Until the connection ends.
  io::Task<Result<void>> listen(Queue<Item>& items) {
    SKERRY_CO_ASSIGN(const auto client, co_await rpc::NucleusClient::connect(loop_, nucleus_));
    const auto offer = [&items, topic = config_.topic](rpc::NucleusMessage message) {
      Item item = whole(topic, message.payload);
      item.response_topic = std::move(message.response_topic);
      item.correlation_data = std::move(message.correlation_data);
      items.offer(std::move(item));
    };
    if (config_.kind == SourceConfig::Kind::kTopic) {
      SKERRY_CO_TRY(co_await client->subscribe_to_topic(config_.topic, offer));
    } else {
      SKERRY_CO_TRY(co_await client->subscribe_to_iot_core(config_.topic, offer));
    }
    log::info(kSourceModule, "listening", {{"topic", config_.topic}});
    for (;;) SKERRY_CO_TRY(co_await client->wait_for_ever());
  }

  io::Loop& loop_;
  const rpc::NucleusAddress nucleus_;
  const SourceConfig config_;
};

}  // namespace

std::unique_ptr<Source> make_source(io::Loop& loop, io::Pool& pool, rpc::NucleusAddress nucleus,
                                    const FlowConfig& config) {
  if (config.source.kind == SourceConfig::Kind::kDirectory) {
    return std::make_unique<DirectorySource>(loop, pool, config);
  }
  if (config.source.kind == SourceConfig::Kind::kPipe) {
    return std::make_unique<PipeSource>(loop, pool, config);
  }
  if (config.source.kind == SourceConfig::Kind::kCamera) {
    return std::make_unique<CameraSource>(loop, pool, config);
  }
  return std::make_unique<TopicSource>(loop, std::move(nucleus), config.source);
}

}  // namespace skerry::flow
