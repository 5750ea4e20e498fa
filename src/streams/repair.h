// Looking at every byte of the streams, and mending what can be: for `skerry-streams --repair`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/files.h"
#include "streams/stream_store.h"

namespace skerry::streams {

struct StreamHealth {
  std::string stream;
  int64_t messages = 0;  // that are whole
  int64_t missing = 0;   // numbers from the oldest to the newest whose message is lost
  bool operator==(const StreamHealth&) const = default;
};

// Reads all of each stream in files.
Result<std::vector<StreamHealth>> check_streams(StreamStore& store);
// Makes the definition of `stream` anew where it is damaged, with defaults and an id of its own;
// the old one stays as definition.json.damaged. While no store is open. kNotFound where there is no
// such stream, kAlreadyExists where its definition is fine.
Result<void> renew_definition(io::Files& files, const std::string& directory,
                              const std::string& stream, const std::string& id);

}  // namespace skerry::streams
