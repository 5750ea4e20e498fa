// Rule sets and filters are made in the parent, where memory may be allocated.
#include "io/sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdlib>

namespace skerry::io {
namespace {

#if defined(__x86_64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;
#elif defined(__arm__)
constexpr unsigned kArchitecture = AUDIT_ARCH_ARM;
#else
#error "name the architecture's AUDIT_ARCH_…"
#endif
constexpr unsigned kX32Bit = 0x40000000;  // on x86-64, of calls of x32

// What changes the kernel or the machine, and old doors into the kernel that programs do not need.
// Most of it needs privilege anyway; this holds where that is got. Other processes are out of
// ptrace's reach by Landlock.
constexpr std::array kUselessCalls = {
    __NR_kexec_load,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_move_mount,
    __NR_open_tree,
    __NR_fsopen,
    __NR_fsmount,
    __NR_fsconfig,
    __NR_fspick,
    __NR_bpf,
    __NR_swapon,
    __NR_swapoff,
    __NR_reboot,
    __NR_acct,
    __NR_quotactl,
    __NR_keyctl,
    __NR_add_key,
    __NR_request_key,
    __NR_userfaultfd,
    __NR_perf_event_open,
    __NR_settimeofday,
    __NR_clock_settime,
    __NR_syslog,
    __NR_vhangup,
    __NR_sethostname,
    __NR_setdomainname,
    __NR_chroot,
    __NR_open_by_handle_at,
#ifdef __NR_kexec_file_load
    __NR_kexec_file_load,
#endif
#ifdef __NR_mount_setattr
    __NR_mount_setattr,
#endif
#ifdef __NR_iopl
    __NR_iopl,
    __NR_ioperm,
#endif
};

constexpr uint64_t kRead =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
// Truncate came with version 3, ioctl on devices with version 5; headers may be older.
constexpr uint64_t kTruncate = 1ULL << 14;
constexpr uint64_t kIoctl = 1ULL << 15;
constexpr uint64_t kWriteFile = LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate | kIoctl;
constexpr uint64_t kFirstVersion = (1ULL << 13) - 1;
constexpr uint64_t kRefer = 1ULL << 13;  // moves between folders, version 2
constexpr uint64_t kOfFiles =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | kWriteFile;

uint64_t rights_of(int version) {
  uint64_t rights = kFirstVersion;
  if (version >= 2) rights |= kRefer;
  if (version >= 3) rights |= kTruncate;
  if (version >= 5) rights |= kIoctl;
  return rights;
}

// The kernel compares paths without links.
std::string real_path(const std::string& path) {
  char buffer[PATH_MAX];
  return ::realpath(path.c_str(), buffer) ? buffer : path;
}

bool is_above(std::string_view folder, std::string_view path) {
  if (folder == "/") return path.size() > 1;
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

class RuleSet {
 public:
  static Result<RuleSet> make(int version) {
    landlock_ruleset_attr handled{};
    handled.handled_access_fs = rights_of(version);
    Fd made(static_cast<int>(
        ::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled.handled_access_fs, 0)));
    if (!made) return fail(errno_error("landlock_create_ruleset", "", errno));
    return RuleSet(above_stdio(std::move(made)), handled.handled_access_fs);
  }

  Result<void> allow(const std::string& path, uint64_t rights, int flags = 0) {
    const Fd place(::open(path.c_str(), O_PATH | O_CLOEXEC | flags));
    if (!place) return {};  // not there, or not for this program
    struct stat info{};
    if (::fstat(place.get(), &info) != 0 || S_ISLNK(info.st_mode)) return {};
    rights &= handled_;
    if (!S_ISDIR(info.st_mode)) rights &= kOfFiles;
    landlock_path_beneath_attr rule{};
    rule.allowed_access = rights;
    rule.parent_fd = place.get();
    if (::syscall(SYS_landlock_add_rule, set_.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
      return fail(errno_error("landlock_add_rule", path, errno));
    return {};
  }

  // `folder` but for what is hidden: the neighbours of all that leads there, one by one.
  Result<void> allow_around(const std::string& folder, const std::vector<std::string>& hidden) {
    const auto leads = [&](const std::string& path) {
      return std::ranges::any_of(hidden, [&](const auto& each) { return is_above(path, each); });
    };
    if (!leads(folder)) return allow(folder, kRead, O_NOFOLLOW);
    DIR* entries = ::opendir(folder.c_str());
    if (!entries) return {};
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(entries)) names.emplace_back(entry->d_name);
    ::closedir(entries);
    for (const std::string& name : names) {
      const std::string path = (folder == "/" ? "" : folder) + "/" + name;
      if (name == "." || name == ".." || std::ranges::find(hidden, path) != hidden.end()) continue;
      SKERRY_TRY(allow_around(path, hidden));
    }
    return {};
  }

  Fd take() && { return std::move(set_); }

 private:
  RuleSet(Fd set, uint64_t handled) : set_(std::move(set)), handled_(handled) {}
  Fd set_;
  uint64_t handled_;
};

Result<Fd> rules_of(const Sandbox& sandbox, int version) {
  SKERRY_ASSIGN(RuleSet rules, RuleSet::make(version));
  std::vector<std::string> hidden;
  for (const std::string& path : sandbox.hidden) hidden.push_back(real_path(path));
  // Names alone are no secret, and what cannot list "/" is hard to find one's way in.
  SKERRY_TRY(rules.allow("/", LANDLOCK_ACCESS_FS_READ_DIR));
  for (const std::string& path : sandbox.readable)
    SKERRY_TRY(rules.allow_around(real_path(path), hidden));
  for (const std::string& path : sandbox.devices) SKERRY_TRY(rules.allow(path, kRead | kWriteFile));
  for (const std::string& path : sandbox.writable) SKERRY_TRY(rules.allow(path, ~uint64_t{0}));
  if (!sandbox.temporary_folder.empty())
    SKERRY_TRY(rules.allow(sandbox.temporary_folder, ~uint64_t{0}));
  return std::move(rules).take();
}

sock_filter load(size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(offset));
}

// What is mounted outside still appears inside, and nothing the other way.
bool enter_mount_namespace() {
  return ::unshare(CLONE_NEWNS) == 0 &&
         ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0;
}

bool can_mount() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(enter_mount_namespace() ? 0 : 1);
  int status = -1;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return child > 0 && status == 0;
}

bool can_filter() {
  // Asked with a filter that cannot be: EFAULT says that filters can.
  return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr) != 0 && errno == EFAULT;
}

}  // namespace

int landlock_version() {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version > 0 ? static_cast<int>(version) : 0;
}

SandboxSupport sandbox_support() {
  return {landlock_version(), can_filter(), can_mount()};
}

std::vector<sock_filter> refuse_calls(std::span<const long> numbers, int error) {
  const unsigned refuse = SECCOMP_RET_ERRNO | static_cast<unsigned>(error);
  std::vector<sock_filter> filter = {
      load(offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, refuse),
      load(offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, refuse),
  };
  for (const long number : numbers) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, refuse));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return filter;
}

bool install_filter(std::span<const sock_filter> filter) {
  const sock_fprog program = {static_cast<unsigned short>(filter.size()),
                              const_cast<sock_filter*>(filter.data())};  // it is only read
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

Result<SandboxDoors> prepare_sandbox(const Sandbox& sandbox) {
  SandboxDoors doors;
  doors.temporary_folder = sandbox.temporary_folder;
  if (can_filter())
    doors.calls =
        refuse_calls(std::vector<long>(kUselessCalls.begin(), kUselessCalls.end()), EPERM);
  if (const int version = landlock_version(); version > 0) {
    SKERRY_ASSIGN(doors.files, rules_of(sandbox, version));
  }
  return doors;
}

bool enter_own_tmp(const SandboxDoors& doors) {
  if (doors.temporary_folder.empty()) return true;
  return enter_mount_namespace() &&
         ::mount(doors.temporary_folder.c_str(), "/tmp", nullptr, MS_BIND, nullptr) == 0;
}

bool enter_sandbox(const SandboxDoors& doors) {
  if (doors.files && ::syscall(SYS_landlock_restrict_self, doors.files.get(), 0) != 0) return false;
  return doors.calls.empty() || install_filter(doors.calls);
}

}  // namespace skerry::io
