// Each step is one piece of work on the pool, so that a long download leaves it to others.
#include "nucleus/part_file.h"

#include "base/encoding.h"
#include "base/sha256.h"

namespace skerry::nucleus {
namespace {

constexpr size_t kBlockBytes = 4 << 20;
// Written pages are handed to the disk on the way: one sync of everything at the end would hold
// up whoever else waits for this disk.
constexpr uint64_t kSyncEveryBytes = 16 << 20;

}  // namespace

struct PartFile::State {
  State(io::Files& f, std::string p) : files(f), path(std::move(p)) {}

  io::Files& files;
  const std::string path;
  std::unique_ptr<io::File> file;
  uint64_t size_bytes = 0;
  uint64_t unsynced_bytes = 0;
  Sha256 hash;

  Result<void> open() {
    SKERRY_ASSIGN(file, files.open(path, io::OpenMode::kAppend, 0600));
    return {};
  }

  // Hashes the next piece of what is there; false at its end.
  Result<bool> read() {
    SKERRY_ASSIGN(const std::string bytes, file->read_at(size_bytes, kBlockBytes));
    hash.update(bytes);
    size_bytes += bytes.size();
    return bytes.size() == kBlockBytes;
  }

  Result<void> begin(uint64_t offset, uint64_t remaining_bytes) {
    if (offset != size_bytes) {
      SKERRY_TRY(file->truncate(0));
      size_bytes = 0;
      hash = Sha256();
    }
    SKERRY_ASSIGN(const uint64_t free, files.free_bytes(io::parent_of(path)));
    if (free >= kDiskReserveBytes && remaining_bytes <= free - kDiskReserveBytes) return {};
    return fail(Code::kResourceExhausted,
                "no space for " + std::to_string(remaining_bytes) + " bytes in " +
                    io::parent_of(path) + ": " + std::to_string(free) + " are free and " +
                    std::to_string(kDiskReserveBytes) +
                    " are kept for roll-back; free some and deploy again");
  }

  Result<void> write(std::string_view bytes) {
    SKERRY_TRY(file->write(bytes));
    hash.update(bytes);
    size_bytes += bytes.size();
    unsynced_bytes += bytes.size();
    if (unsynced_bytes < kSyncEveryBytes) return {};
    unsynced_bytes = 0;
    return file->sync();
  }

  Result<void> finish() {
    SKERRY_TRY(file->sync());
    file.reset();
    return {};
  }
};

PartFile::PartFile(io::Env& env, std::string path)
    : env_(env), state_(std::make_shared<State>(env.files, std::move(path))) {}

io::Task<Result<uint64_t>> PartFile::open() {
  SKERRY_CO_TRY(co_await io::run_on(env_.pool, env_.loop, [s = state_] { return s->open(); }));
  for (bool more = true; more;) {
    SKERRY_CO_ASSIGN(more,
                     co_await io::run_on(env_.pool, env_.loop, [s = state_] { return s->read(); }));
  }
  co_return state_->size_bytes;
}

std::string PartFile::digest() const {
  return base64_encode(state_->hash.digest_so_far());
}

io::Task<Result<void>> PartFile::begin(uint64_t offset, uint64_t remaining_bytes) {
  return io::run_on(env_.pool, env_.loop, [s = state_, offset, remaining_bytes] {
    return s->begin(offset, remaining_bytes);
  });
}

io::Task<Result<void>> PartFile::write(std::string bytes) {
  return io::run_on(env_.pool, env_.loop,
                    [s = state_, bytes = std::move(bytes)] { return s->write(bytes); });
}

io::Task<Result<void>> PartFile::finish() {
  return io::run_on(env_.pool, env_.loop, [s = state_] { return s->finish(); });
}

}  // namespace skerry::nucleus
