// stall_bench DIRECTORY ARTIFACT zip|plain COUNT: brings COUNT packages with the file ARTIFACT to a
// store below DIRECTORY and removes them, while a component changes its configuration fifty times a
// second, and a task on the same loop wants to be woken each millisecond. Prints how late it was,
// in nanoseconds, a line for each time: what every IPC request that came then would have waited.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "base/sha256.h"
#include "nucleus/device_state.h"
#include "nucleus/package_store.h"
#include "nucleus/test_cloud.h"

namespace skerry::nucleus {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

// One file, from the page cache, in the pieces that a connection brings.
class FileCloud : public TestCloud {
 public:
  FileCloud(io::Files& files, std::string path) : files_(files), path_(std::move(path)) {}

  io::Task<Result<void>> download(std::string, uint64_t offset, DownloadSink* sink) override {
    SKERRY_CO_ASSIGN(auto file, files_.open(path_, io::OpenMode::kRead, 0));
    SKERRY_CO_ASSIGN(const uint64_t size, file->size());
    SKERRY_CO_TRY(co_await sink->begin(offset, size - offset));
    while (offset < size) {
      SKERRY_CO_ASSIGN(std::string piece, file->read_at(offset, kPieceBytes));
      offset += piece.size();
      SKERRY_CO_TRY(co_await sink->write(std::move(piece)));
    }
    co_return Result<void>();
  }

 private:
  io::Files& files_;
  std::string path_;
};

io::Task<void> watch(io::Loop* loop, std::vector<int64_t>* late_ns) {
  for (;;) {
    const int64_t before = now_ns();
    co_await io::sleep(*loop, 1);
    late_ns->push_back(std::max<int64_t>(0, now_ns() - before - 1'000'000));
  }
}

io::Task<void> change(io::Loop* loop, ConfigStore* config) {
  for (int64_t i = 1;; ++i) {
    config->update(ComponentName("app"), {"counter"}, i, i, [](const auto&) {});
    co_await io::sleep(*loop, 20);
  }
}

io::Task<void> bring_and_stop(io::RealLoop* loop, io::Task<Result<void>> bring,
                              Result<void>* done) {
  *done = co_await std::move(bring);
  loop->stop();
}

io::Task<Result<void>> bring(PackageStore* store, Cloud* cloud, nlohmann::json recipe, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string version = std::to_string(i + 1) + ".0.0";
    recipe["ComponentVersion"] = version;
    const std::string text = recipe.dump();
    SKERRY_CO_ASSIGN(const auto parsed, formats::parse_recipe(text));
    SKERRY_CO_TRY(co_await store->fetch(cloud, {"arn", ComponentName("app"), version, text},
                                        &parsed.manifests[0]));
  }
  co_return co_await store->collect_garbage({});
}

Result<void> measure(const std::string& directory, const std::string& path, bool is_zip,
                     int count) {
  io::RealLoop loop;
  io::RealClock clock;
  io::RealFiles files;
  io::RealProcesses processes(loop);
  io::RealRandom random;
  io::ThreadPool pool("files", 1);
  io::ThreadPool records("records", 1);
  io::Env env{loop, clock, files, processes, random, pool, records};
  NucleusInfo info;
  info.root = directory;
  PackageStore store(env, info);
  FileCloud cloud(files, path);
  SKERRY_ASSIGN(const std::string bytes, io::read_file(files, path, uint64_t{8} << 30));
  auto artifact = test_artifact("data.zip", bytes);
  if (is_zip) artifact["Unarchive"] = "ZIP";
  auto recipe = test_recipe("app", "1.0.0");
  recipe["Manifests"][0]["Artifacts"] = nlohmann::json::array({artifact});
  std::vector<int64_t> late_ns;
  SKERRY_ASSIGN(const auto state, DeviceState::open(env, info.state_directory(), info.packages()));
  Result<void> done;
  io::TaskScope tasks;
  tasks.spawn(watch(&loop, &late_ns));
  tasks.spawn(change(&loop, &state->config()));
  tasks.spawn(bring_and_stop(&loop, bring(&store, &cloud, recipe, count), &done));
  loop.run();
  tasks.cancel_all();
  for (const int64_t late : late_ns) std::printf("%lld\n", static_cast<long long>(late));
  return done;
}

}  // namespace
}  // namespace skerry::nucleus

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  auto done =
      skerry::nucleus::measure(argv[1], argv[2], std::string(argv[3]) == "zip", std::atoi(argv[4]));
  if (done) return 0;
  std::fprintf(stderr, "%s\n", done.error().message().c_str());
  return 1;
}
