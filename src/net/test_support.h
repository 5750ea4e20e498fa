// For tests of net: certificates made on the spot, and running a coroutine to
// its end.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "io/loop.h"
#include "io/task.h"
#include "io/test_directory.h"
#include "net/tls.h"

namespace skerry::net {

using io::ScratchDirectory;

struct CertificateSpec {
  std::string common_name;
  std::string alternative_names;  // "DNS:localhost,IP:127.0.0.1", or "" for a client
  bool expired = false;
};

// A certificate authority whose files lie in `directory`.
class TestCa {
 public:
  TestCa(const ScratchDirectory& directory, std::string name);
  ~TestCa();
  TestCa(const TestCa&) = delete;
  TestCa& operator=(const TestCa&) = delete;
  const std::string& ca_file() const { return ca_file_; }
  // Key and certificate in files; `ca_file` of the result is this CA's.
  TlsFiles issue(const CertificateSpec& spec);

 private:
  struct Impl;
  const ScratchDirectory& directory_;
  std::string ca_file_;
  int issued_ = 0;
  std::string name_;
  std::unique_ptr<Impl> impl_;
};

// Runs `loop` until `done()`; false when that takes longer than any healthy test.
bool run_until(io::RealLoop& loop, const std::function<bool()>& done);

template <class T>
io::Task<void> store_result(io::Task<T> task, std::optional<T>* out) {
  out->emplace(co_await std::move(task));
}

// Runs `task` to its end on `loop` and gives its value.
template <class T>
T run_task(io::RealLoop& loop, io::Task<T> task) {
  std::optional<T> result;
  io::TaskScope scope;
  scope.spawn(store_result(std::move(task), &result));
  if (!run_until(loop, [&] { return result.has_value(); })) {
    ADD_FAILURE() << "the task did not end";
    std::abort();
  }
  return std::move(*result);
}

}  // namespace skerry::net
