// The users that components run as where nobody names one: each component has an id of its own,
// for good. What it leaves anywhere on the disk is never another component's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/error.h"
#include "base/named_type.h"
#include "io/files.h"

namespace skerry::nucleus {

class ComponentUsers {
 public:
  // Between what systemd and Debian give out (up to 65535) and where containers' subordinate ids
  // begin (100000).
  static constexpr uint32_t kFirst = 70'000;
  static constexpr uint32_t kLast = 89'999;

  struct Places {
    std::string table;         // the file with the allocation
    std::string work_folders;  // whose owners say it again
  };
  // Where the table is missing or damaged, the owners of the work folders stand in for it. `taken`
  // says whether the machine's user database knows an id.
  static Result<ComponentUsers> open(io::Files& files, Places places,
                                     std::function<bool(uint32_t)> taken);

  // The component's, durably; allocated at the first call. kResourceExhausted when none is left.
  Result<uint32_t> uid_of(const ComponentName& name);

 private:
  ComponentUsers(io::Files& files, Places places, std::function<bool(uint32_t)> taken)
      : files_(files), places_(std::move(places)), taken_(std::move(taken)) {}
  Result<void> read_table();
  void read_owners();
  bool adopt(const std::string& name, uint32_t uid);
  Result<void> save(const std::map<std::string, uint32_t>& users) const;

  io::Files& files_;
  Places places_;
  std::function<bool(uint32_t)> taken_;
  std::map<std::string, uint32_t> users_;
  std::set<uint32_t> used_;
};

}  // namespace skerry::nucleus
