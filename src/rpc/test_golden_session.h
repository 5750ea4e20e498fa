// For tests: a recorded session of tests/data/golden, as exchanges of bytes.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "test_paths.h"

namespace skerry::rpc {

struct Exchange {
  std::string from_client;  // one frame
  std::string from_server;  // all that followed before the client's next frame
};

// Lines "C HEX" and "S HEX", comments with '#'.
inline std::vector<Exchange> read_session(const std::string& name) {
  std::ifstream file(SKERRY_SOURCE_DIR "/tests/data/golden/" + name);
  EXPECT_TRUE(file) << name;
  std::vector<Exchange> session;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("C ")) session.push_back({*hex_decode(line.substr(2)), {}});
    if (line.starts_with("S ")) session.back().from_server += *hex_decode(line.substr(2));
  }
  return session;
}

}  // namespace skerry::rpc
