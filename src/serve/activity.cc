// A shared mapping with atomic counters, and the handler that marks the thread that crashed.
#include "serve/activity.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "io/fd.h"

namespace skerry::serve {

struct Activity::Record {
  char key[64];  // hex; not used where it starts with 0
  std::atomic<uint32_t> loading, running, crashed;
  uint32_t reserved[13];
};

struct Activity::Header {
  char magic[8];
  std::atomic<uint32_t> ended;   // in order
  std::atomic<uint32_t> signal;  // that ended it, where a handler saw it
  uint32_t reserved[28];
};

namespace {

constexpr char kMagic[9] = "SKACT001";
constexpr size_t kRecords = 255;
constexpr size_t kFileBytes = 128 * (1 + kRecords);
constexpr std::array kCrashes = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr size_t kSignalStackBytes = 64 << 10;

// What the handler needs: it can be given nothing.
std::atomic<std::atomic<uint32_t>*> g_signal = nullptr;
std::array<struct sigaction, kCrashes.size()> g_before;
thread_local Activity::Record* t_record = nullptr;

void on_crash(int number, siginfo_t*, void*) {
  if (std::atomic<uint32_t>* const signal = g_signal.load()) {
    uint32_t none = 0;
    if (signal->compare_exchange_strong(none, static_cast<uint32_t>(number))) {
      if (t_record != nullptr) t_record->crashed.fetch_add(1);
    }
  }
  for (size_t i = 0; i < kCrashes.size(); ++i) {
    if (kCrashes[i] == number) ::sigaction(number, &g_before[i], nullptr);
  }
  ::raise(number);  // delivered when this returns
}

void handle_crashes() {
  for (size_t i = 0; i < kCrashes.size(); ++i) {
    struct sigaction action = {};
    action.sa_sigaction = on_crash;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    struct sigaction before = {};
    ::sigaction(kCrashes[i], &action, &before);
    // Its own, of another object that is still there, would come back for ever.
    if (before.sa_sigaction != on_crash) g_before[i] = before;
  }
}

void hand_crashes_back() {
  for (size_t i = 0; i < kCrashes.size(); ++i) ::sigaction(kCrashes[i], &g_before[i], nullptr);
}

// Where the handler runs when a model has used up its thread's stack.
class SignalStack {
 public:
  SignalStack() {
    stack_t there = {};
    if (::sigaltstack(nullptr, &there) != 0 || (there.ss_flags & SS_DISABLE) == 0) return;
    memory_ = std::make_unique<char[]>(kSignalStackBytes);
    const stack_t own = {.ss_sp = memory_.get(), .ss_flags = 0, .ss_size = kSignalStackBytes};
    ::sigaltstack(&own, nullptr);
  }
  ~SignalStack() {
    if (!memory_) return;
    const stack_t none = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    ::sigaltstack(&none, nullptr);
  }

 private:
  std::unique_ptr<char[]> memory_;
};

}  // namespace

Activity::Record* Activity::records() const {
  static_assert(sizeof(Record) == 128 && sizeof(Header) == 128);
  return reinterpret_cast<Record*>(static_cast<char*>(mapped_) + sizeof(Header));
}

Result<std::shared_ptr<Activity>> Activity::open(const std::string& path,
                                                 std::vector<std::string>& died_of) {
  io::Fd file(path.empty() ? ::memfd_create("skerry-activity", MFD_CLOEXEC)
                           : ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail(errno_error("open", path, errno));
  struct stat found = {};
  if (::fstat(file.get(), &found) != 0) return fail(errno_error("stat", path, errno));
  const bool is_there = found.st_size == static_cast<off_t>(kFileBytes);
  if (!is_there && (::ftruncate(file.get(), 0) != 0 || ::ftruncate(file.get(), kFileBytes) != 0)) {
    return fail(errno_error("resize", path, errno));
  }
  // Without its blocks a full disk would be a SIGBUS later.
  if (const int error = ::posix_fallocate(file.get(), 0, kFileBytes); error != 0) {
    return fail(errno_error("allocate", path, error));
  }
  void* mapped = ::mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) return fail(errno_error("mmap", path, errno));
  std::shared_ptr<Activity> activity(new Activity(mapped));
  Header& header = activity->header();
  if (is_there && std::memcmp(header.magic, kMagic, sizeof header.magic) == 0 && !header.ended) {
    const std::span records(activity->records(), kRecords);
    const auto collect = [&](auto&& is_guilty) {
      for (const Record& record : records) {
        if (record.key[0] != 0 && is_guilty(record)) {
          died_of.emplace_back(record.key, sizeof record.key);
        }
      }
    };
    collect([](const Record& record) { return record.crashed > 0; });
    if (died_of.empty()) {
      collect([&](const Record& record) {
        return record.loading > 0 || (header.signal > 0 && record.running > 0);
      });
    }
  }
  std::memset(mapped, 0, kFileBytes);
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  SKERRY_TRY(activity->sync());
  g_signal = &header.signal;
  handle_crashes();
  return activity;
}

Activity::~Activity() {
  std::atomic<uint32_t>* own = &header().signal;
  if (g_signal.compare_exchange_strong(own, nullptr)) hand_crashes_back();
  ::munmap(mapped_, kFileBytes);
}

std::unique_ptr<Activity::Slot> Activity::slot(const std::shared_ptr<Activity>& self,
                                               std::string_view key) {
  const std::lock_guard lock(self->mutex_);
  for (Record& record : std::span(self->records(), kRecords)) {
    if (record.key[0] != 0) continue;
    record.loading = record.running = record.crashed = 0;
    std::memcpy(record.key, key.data(), std::min(key.size(), sizeof record.key));
    return std::make_unique<Slot>(self, &record);
  }
  return nullptr;
}

Result<void> Activity::sync() const {
  if (::msync(mapped_, kFileBytes, MS_SYNC) == 0) return {};
  return fail(errno_error("msync", "the models' activity", errno));
}

void Activity::end() {
  header().ended = 1;
}

Activity::Slot::Slot(std::shared_ptr<Activity> owner, Record* record)
    : owner_(std::move(owner)), record_(record) {}

Activity::Slot::~Slot() {
  const std::lock_guard lock(owner_->mutex_);
  record_->key[0] = 0;
}

Activity::Scope::Scope(const Slot* slot, Doing doing) {
  if (slot == nullptr) return;
  thread_local const SignalStack stack;
  Record& record = *slot->record_;
  before_ = std::exchange(t_record, &record);
  count_ = doing == Doing::kLoading ? &record.loading : &record.running;
  count_->fetch_add(1);
}

Activity::Scope::~Scope() {
  if (count_ == nullptr) return;
  count_->fetch_sub(1);
  t_record = before_;
}

}  // namespace skerry::serve
