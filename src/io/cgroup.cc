// The files of control groups.
#include "io/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
extern "C" {  // which glibc 2.36 leaves out in this header
#include <sys/pidfd.h>
}

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <set>
#include <utility>

#include "io/clock.h"
#include "io/fd.h"

namespace skerry::io {
namespace {

constexpr int kMaxSignalRounds = 16;  // for a group that grows faster than it can be read

// The next piece of `text` up to `separator`, which is taken off as well.
std::string_view take(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return piece;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> pieces;
  while (!text.empty()) pieces.emplace_back(take(text, separator));
  return pieces;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 4, code, 8).ec == std::errc()) {
      plain += static_cast<char>(code);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// Where the group `path` of a hierarchy is seen whose directory `root` is mounted on `mount`. In a
// container the path may lie outside of what is mounted; then the mount is its own group.
std::string directory_of(const std::string& mount, std::string_view root, std::string_view path) {
  if (root == "/") root = "";
  if (!path.starts_with(root) || path.contains("/..")) return mount;
  path.remove_prefix(root.size());
  if (path.empty() || path == "/") return mount;
  return path.starts_with('/') ? mount + std::string(path) : mount;
}

// "N:CONTROLLERS:PATH"; version 2 has no controllers here.
std::string_view own_path(std::string_view own_groups, const Hierarchy& hierarchy) {
  while (!own_groups.empty()) {
    std::string_view line = take(own_groups, '\n');
    take(line, ':');
    const std::vector<std::string> controllers = split(take(line, ':'), ',');
    const bool same = hierarchy.unified
                          ? controllers.empty()
                          : std::ranges::any_of(controllers, [&](const std::string& name) {
                              return contains(hierarchy.controllers, name);
                            });
    if (same) return line;
  }
  return "/";
}

// Calls `visit` with the directory and each one below it, the deepest first.
template <class Visit>
void for_each_group(const std::string& directory, const Visit& visit) {
  if (DIR* stream = ::opendir(directory.c_str())) {
    while (dirent* entry = ::readdir(stream)) {
      const std::string_view name = entry->d_name;
      if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
      for_each_group(directory + "/" + std::string(name), visit);
    }
    ::closedir(stream);
  }
  visit(directory);
}

}  // namespace

std::string_view name_of(Controller controller) {
  switch (controller) {
    case Controller::kPids:
      return "pids";
    case Controller::kMemory:
      return "memory";
    case Controller::kCpu:
      return "cpu";
  }
  return "";
}

// "ID PARENT DEVICE ROOT MOUNT OPTIONS [TAGS…] - TYPE SOURCE SUPER-OPTIONS"
std::vector<Hierarchy> parse_hierarchies(std::string_view mountinfo, std::string_view own_groups) {
  std::vector<Hierarchy> found;
  while (!mountinfo.empty()) {
    const std::vector<std::string> fields = split(take(mountinfo, '\n'), ' ');
    const auto dash = std::ranges::find(fields, "-");
    if (fields.end() - dash < 4 || dash - fields.begin() < 6) continue;
    Hierarchy hierarchy;
    hierarchy.unified = dash[1] == "cgroup2";
    if (dash[1] == "cgroup") {
      hierarchy.controllers = split(dash[3], ',');
    } else if (!hierarchy.unified) {
      continue;
    }
    hierarchy.own_directory =
        directory_of(unescaped(fields[4]), unescaped(fields[3]), own_path(own_groups, hierarchy));
    found.insert(hierarchy.unified ? found.begin() : found.end(), std::move(hierarchy));
  }
  return found;
}

std::vector<pid_t> Cgroup::processes() const {
  std::vector<pid_t> pids;
  for_each_group(directory_, [&](const std::string& directory) {
    const std::string text = read_group_file(directory, "cgroup.procs");
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view line = take(rest, '\n');
      pid_t pid = 0;
      if (std::from_chars(line.data(), line.data() + line.size(), pid).ec == std::errc()) {
        if (pid > 0) pids.push_back(pid);  // 0: in a namespace that cannot be seen from here
      }
    }
  });
  std::ranges::sort(pids);
  return pids;
}

bool Cgroup::populated() const {
  const std::string events = read_group_file(directory_, "cgroup.events");
  if (!events.empty()) return counter_in(events, "populated") != 0;
  return !processes().empty();  // version 1
}

void Cgroup::signal(int number) const {
  std::set<pid_t> done = {::getpid()};
  for (int round = 0; round < kMaxSignalRounds; ++round) {
    // A pidfd cannot come to mean another process, a pid can: so open them, then look again.
    std::vector<std::pair<pid_t, Fd>> found;
    for (pid_t pid : processes()) {
      if (done.contains(pid)) continue;
      if (Fd fd(::pidfd_open(pid, 0)); fd.get() >= 0) found.emplace_back(pid, std::move(fd));
    }
    if (found.empty()) return;
    const std::vector<pid_t> confirmed = processes();
    for (const auto& [pid, fd] : found) {
      if (!std::ranges::binary_search(confirmed, pid)) continue;
      ::pidfd_send_signal(fd.get(), number, nullptr, 0);
      done.insert(pid);
    }
  }
}

bool Cgroup::kill(int64_t timeout_ms) const {
  RealClock clock;
  const int64_t deadline = clock.monotonic_ms() + timeout_ms;
  for (int round = 0; populated(); ++round) {
    // Kernels before 5.14 and version 1 have no cgroup.kill: then what is there now, and again.
    if (!write_group_file(directory_, "cgroup.kill", "1")) kill_each();
    if (clock.monotonic_ms() > deadline) return false;
    // The kernel needs a moment to take them down; the first looks come at once.
    ::poll(nullptr, 0, std::min(round, 50));
  }
  return true;
}

void Cgroup::kill_each() const {
  const auto frozen = freeze(true);
  signal(SIGKILL);
  if (frozen) (void)freeze(false);  // gone meanwhile: so be it
}

Result<void> Cgroup::freeze(bool frozen) const {
  return write_group_file(directory_, "cgroup.freeze", frozen ? "1" : "0");
}

void Cgroup::remove() const {
  for_each_group(directory_, [](const std::string& directory) { ::rmdir(directory.c_str()); });
}

Result<void> write_group_file(const std::string& directory, std::string_view name,
                              std::string_view text) {
  const std::string path = directory + "/" + std::string(name);
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.get() < 0) return fail(errno_error("open", path, errno));
  if (::write(fd.get(), text.data(), text.size()) < 0) {
    return fail(errno_error("write " + std::string(text) + " to", path, errno));
  }
  return {};
}

std::string read_group_file(const std::string& directory, std::string_view name) {
  const std::string path = directory + "/" + std::string(name);
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while (fd.get() >= 0 && (got = ::read(fd.get(), buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

uint64_t counter_in(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    std::string_view line = take(text, '\n');
    if (take(line, ' ') != key) continue;
    uint64_t value = 0;
    std::from_chars(line.data(), line.data() + line.size(), value);
    return value;
  }
  return 0;
}

}  // namespace skerry::io
