// What a child may reach of the machine: files by Landlock (landlock(7)), system calls by a seccomp
// filter (seccomp(2)), and a /tmp of its own by a mount namespace. Each only where the kernel has
// it.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/fd.h"

namespace skerry::io {

// Paths stand for themselves and all that is below them; what is not there is left out. Users and
// modes of the files decide as ever: this only takes away.
struct Sandbox {
  std::vector<std::string> readable;  // read and executed
  std::vector<std::string> writable;  // the same, written, made and removed
  std::vector<std::string> devices;   // read, and what is there written: the kernel's own files
  // Left out of `readable`, whatever that says of a folder above; what is named in the lists itself
  // is not. New files beside a folder that leads there are left out as well.
  std::vector<std::string> hidden;
  // A folder that stands at /tmp; "": the machine's stays. Needs privilege.
  std::string temporary_folder;

  bool operator==(const Sandbox&) const = default;
};

struct SandboxSupport {
  int landlock = 0;  // its version; 0: none
  bool call_filters = false;
  bool own_tmp = false;  // this program may give its children one
};
// Asked of the kernel. Forks: for the start of a program.
SandboxSupport sandbox_support();
// Landlock's version in this kernel, 0 where there is none.
int landlock_version();

// What enter_sandbox() needs, made before the fork.
struct SandboxDoors {
  Fd files;                        // Landlock's rule set; none where the kernel has no Landlock
  std::vector<sock_filter> calls;  // that no component has a use for
  std::string temporary_folder;
};
Result<SandboxDoors> prepare_sandbox(const Sandbox& sandbox);

// In the child; async-signal-safe. The first as the caller's user, the second last of all: the
// process needs no_new_privs by then. False with errno.
bool enter_own_tmp(const SandboxDoors& doors);
bool enter_sandbox(const SandboxDoors& doors);

// A filter that refuses these system calls with errno `error`, and every call of another
// architecture.
std::vector<sock_filter> refuse_calls(std::span<const long> numbers, int error);
// For the rest of this thread's life and its children's, with no_new_privs. False with errno.
bool install_filter(std::span<const sock_filter> filter);

}  // namespace skerry::io
