// What the log of a stream can do on this disk, beside what the disk can do: streams_bench DIR [MB]
//
// Prints one JSON object. Durable appends are compared with plain appends and fsync of one file.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/log_record.h"
#include "streams/stream_store.h"

namespace {

using namespace skerry;
using namespace skerry::streams;

using Clock = std::chrono::steady_clock;
constexpr int kRounds = 5;
constexpr int kAppends = 200;
constexpr size_t kSmallBytes = 256, kLargeBytes = 64 << 10, kGroup = 64;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Ends the program: a bench without its disk measures nothing.
template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "%s\n", result.error().message().c_str());
  std::exit(1);
}
void must(const Result<void>& result) {
  if (result) return;
  std::fprintf(stderr, "%s\n", result.error().message().c_str());
  std::exit(1);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double rss_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

// Appends a second of `count`, `group` of them for one commit.
double append(StreamStore& store, const std::string& stream, size_t bytes, int count,
              size_t group) {
  const std::string payload(bytes, 'x');
  const auto begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    must(store.append(stream, payload, 1));
    if (static_cast<size_t>(i + 1) % group == 0 && !store.commit().empty()) std::exit(1);
  }
  if (!store.commit().empty()) std::exit(1);
  return count / seconds_since(begin);
}

// The same bytes by hand.
double append_plainly(io::Files& files, const std::string& path, size_t bytes, int count) {
  const auto file = must(files.open(path, io::OpenMode::kTruncate, 0600));
  const std::string frame(bytes + io::log_record::kFrameHeaderBytes, 'x');
  const auto begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    must(file->write(frame));
    must(file->sync());
  }
  return count / seconds_since(begin);
}

int run(const std::string& directory, int64_t megabytes) {
  io::RealFiles files;
  must(io::make_directories(files, directory));
  const std::string home = directory + "/streams";
  must(io::remove_all(files, home));
  StoreLimits limits;
  auto store = must(StreamStore::open(files, home, limits));
  must(store->create({.name = "durable", .max_bytes = int64_t{1} << 40, .flush_on_write = true}));
  must(store->create({.name = "large", .max_bytes = int64_t{1} << 40}));
  std::vector<double> plain, durable, grouped, large;
  for (int round = 0; round < kRounds; ++round) {
    plain.push_back(append_plainly(files, directory + "/plain", kSmallBytes, kAppends));
    durable.push_back(append(*store, "durable", kSmallBytes, kAppends, 1));
    grouped.push_back(
        append(*store, "durable", kSmallBytes, kAppends * static_cast<int>(kGroup), kGroup));
  }
  const auto messages =
      static_cast<int>(megabytes * (1 << 20) / static_cast<int64_t>(kLargeBytes) / kRounds);
  for (int round = 0; round < kRounds; ++round) {
    large.push_back(append(*store, "large", kLargeBytes, messages, kGroup) * kLargeBytes /
                    (1 << 20));
  }
  must(store->sync());
  store.reset();
  std::vector<double> opened_ms;
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = Clock::now();
    store = must(StreamStore::open(files, home, limits));
    opened_ms.push_back(seconds_since(begin) * 1'000);
  }
  const double rss = rss_mb();
  const nlohmann::json result = {{"plain_fsyncs_per_s", median(plain)},
                                 {"durable_appends_per_s", median(durable)},
                                 {"of_the_disk", median(durable) / median(plain)},
                                 {"durable_appends_per_s_by_64", median(grouped)},
                                 {"unsynced_mb_per_s", median(large)},
                                 {"stream_mb", store->describe("large")->range.bytes >> 20},
                                 {"recovery_ms", median(opened_ms)},
                                 {"rss_mb", rss}};
  std::printf("%s\n", result.dump().c_str());
  must(io::remove_all(files, home));
  must(files.remove(directory + "/plain"));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: streams_bench DIR [MB]\n");
    return 2;
  }
  return run(argv[1], argc > 2 ? std::atoll(argv[2]) : 1'024);
}
