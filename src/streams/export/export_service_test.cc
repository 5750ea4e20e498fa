// What exports promise, held against receivers that fail and power that goes at every place.
#include "streams/export/export_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/sanitizers.h"
#include "io/test_env.h"
#include "io/test_lying_files.h"
#include "net/test_support.h"

namespace skerry::streams {
namespace {

using io::Lie;
using io::LyingFiles;

constexpr ExportOptions kQuick = {.backoff_min_ms = 1, .backoff_max_ms = 4, .batch_bytes = 300};

ExportConfig to_receiver(const std::string& identifier, int64_t batch_size = 4) {
  return {.identifier = identifier, .target = "http://receiver", .batch_size = batch_size};
}

// The other side: remembers what has arrived, tells repetitions by their ids, and fails at random.
struct Receiver {
  std::map<std::string, std::string> messages;  // by id
  std::vector<int64_t> order;                   // of first arrivals
  std::string wrong;                            // the first thing that must not be
  std::set<std::string> refused;                // payloads that it does not want
  size_t calls = 0, failures_of_ten = 0, drops = 0;
  io::SeededRandom random{7};

  Result<size_t> take(const ExportBatch& batch) {
    ++calls;
    const bool fails = random.below(10) < failures_of_ten;
    const bool is_lost_before = fails && random.below(2) == 0;
    if (is_lost_before) return fail(Code::kUnavailable, "no network");
    for (const Message& message : batch.messages) {
      if (refused.contains(message.payload)) return fail(Code::kInvalidArgument, "not this one");
    }
    const size_t taken = 1 + random.below(batch.messages.size());
    for (size_t i = 0; i < taken; ++i) {
      if (drops > 0 && calls % 5 == 0) continue;  // a mutant: says that it has it
      const Message& message = batch.messages[i];
      const auto [at, is_new] = messages.emplace(batch.message_id(message), message.payload);
      if (!is_new && at->second != message.payload) wrong = "one id, two messages";
      if (is_new && !order.empty() && message.sequence <= order.back()) wrong = "another order";
      if (is_new) order.push_back(message.sequence);
    }
    if (fails) return fail(Code::kTimeout, "the answer is lost");
    return taken;
  }
};

class ReceiverExporter : public Exporter {
 public:
  explicit ReceiverExporter(Receiver& receiver) : receiver_(receiver) {}
  io::Task<Result<size_t>> send(const ExportBatch& batch, Uplink::Transfer& line) override {
    co_await line.pace(batch.messages.size());
    co_return receiver_.take(batch);
  }

 private:
  Receiver& receiver_;
};

// A stream manager until the power goes, and the next one on the same disk.
template <class FilesType>
struct Device {
  explicit Device(Receiver& to) : receiver(to) {}
  bool start() {
    auto opened = StreamStore::open(test.files, "/streams", {.reserve_bytes = 0});
    if (!opened) return false;
    store = std::move(*opened);
    service = std::make_unique<StreamService>(test.env, *store);
    uplink = std::make_unique<Uplink>(test.env, UplinkLimits());
    exports = std::make_unique<ExportService>(
        test.env, *service, *uplink,
        [this](const ExportConfig&) { return std::make_unique<ReceiverExporter>(receiver); },
        kQuick);
    tasks.spawn(exports->start());
    return true;
  }
  void stop() {
    tasks.cancel_all();
    exports.reset();
    uplink.reset();
    service.reset();
    store.reset();
  }
  template <class T>
  T run(io::Task<T> task) {
    return net::run_task(test.loop, std::move(task));
  }
  ExportProgress progress(const std::string& stream, const std::string& identifier) {
    const auto info = store->describe(stream);
    return info ? info->exports.at(identifier) : ExportProgress();
  }

  Receiver& receiver;
  io::BasicTestEnv<io::RealClock, FilesType> test;
  std::unique_ptr<StreamStore> store;
  std::unique_ptr<StreamService> service;
  std::unique_ptr<Uplink> uplink;
  std::unique_ptr<ExportService> exports;
  io::TaskScope tasks;
};

class ExportServiceTest : public testing::Test {
 protected:
  ExportServiceTest() { EXPECT_TRUE(device_.start()); }
  void create(const std::string& name, std::vector<ExportConfig> exports) {
    ASSERT_TRUE(
        device_.run(device_.service->create({.name = name, .exports = std::move(exports)})));
  }
  void append(const std::string& name, int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(device_.run(device_.service->append(name, "message " + std::to_string(sent_++))));
    }
  }
  void wait_until_gone(const std::string& stream, const std::string& identifier, int64_t next) {
    ASSERT_TRUE(net::run_until(device_.test.loop, [&] {
      return device_.progress(stream, identifier).next >= next;
    })) << device_.progress(stream, identifier).error;
  }

  Receiver receiver_;
  Device<io::FaultFiles> device_{receiver_};
  int sent_ = 0;
};

TEST_F(ExportServiceTest, EveryMessageArrivesAndTheStreamKnowsIt) {
  create("s", {to_receiver("e")});
  append("s", 30);
  wait_until_gone("s", "e", 30);
  EXPECT_EQ(receiver_.messages.size(), 30u);
  EXPECT_EQ(receiver_.wrong, "");
  const ExportProgress progress = device_.progress("s", "e");
  EXPECT_EQ(progress.messages, 30);
  EXPECT_EQ(progress.bytes, 10 * 9 + 20 * 10);
  EXPECT_GT(progress.last_ms, 0);
  EXPECT_EQ(progress.error, "");
}

TEST_F(ExportServiceTest, AReceiverThatFailsGetsEachMessageOnceInTheEnd) {
  receiver_.failures_of_ten = 6;
  create("s", {to_receiver("e")});
  append("s", 60);
  wait_until_gone("s", "e", 60);
  EXPECT_EQ(receiver_.messages.size(), 60u);
  EXPECT_EQ(receiver_.wrong, "");
}

TEST_F(ExportServiceTest, OnlyWhatIsRefusedIsLeftOut) {
  receiver_.refused = {"message 5", "message 17"};
  create("s", {to_receiver("e", 8)});
  append("s", 30);
  wait_until_gone("s", "e", 30);
  EXPECT_EQ(receiver_.messages.size(), 28u);
  EXPECT_EQ(device_.progress("s", "e").messages, 28);
}

TEST_F(ExportServiceTest, ADefinitionThatChangesChangesWhatGoes) {
  create("s", {});
  append("s", 10);
  const auto update = [&](std::vector<ExportConfig> exports) {
    ASSERT_TRUE(device_.run(device_.service->update({.name = "s", .exports = std::move(exports)})));
  };
  ExportConfig late = to_receiver("late");
  late.start = 6;
  update({late});
  wait_until_gone("s", "late", 10);
  EXPECT_EQ(receiver_.order.front(), 6);
  late.disabled = true;
  update({late});
  append("s", 5);
  for (int i = 0; i < 20; ++i) device_.test.loop.run_for(2);
  EXPECT_EQ(device_.progress("s", "late").next, 10) << "it is off, and keeps its place";
  late.disabled = false;
  update({late});
  wait_until_gone("s", "late", 15);
  ASSERT_TRUE(device_.run(device_.service->remove("s")));
  create("s", {to_receiver("late")});
  append("s", 3);
  wait_until_gone("s", "late", 3);
  EXPECT_EQ(receiver_.messages.size(), 12u) << "another stream of the same name has other ids";
}

TEST_F(ExportServiceTest, ABatchWaitsUntilItIsFullOrOld) {
  ExportConfig patient = to_receiver("e", 4);
  patient.batch_interval_ms = 60'000;
  create("s", {patient});
  append("s", 3);
  for (int i = 0; i < 20; ++i) device_.test.loop.run_for(2);
  EXPECT_EQ(receiver_.calls, 0u);
  append("s", 1);
  wait_until_gone("s", "e", 1);
}

TEST_F(ExportServiceTest, ProgressThatIsDamagedBeginsAgainAndSaysSo) {
  create("s", {to_receiver("e")});
  append("s", 10);
  wait_until_gone("s", "e", 10);
  device_.stop();
  const std::string path = "/streams/" + device_.test.files.list("/streams")->front() + "/exports";
  std::string bytes = *io::read_file(device_.test.files, path);
  bytes[bytes.find("\"next\": 10") + 8] = '9';
  ASSERT_TRUE(io::write_file_atomic(device_.test.files, path, bytes));
  ASSERT_TRUE(device_.start());
  ASSERT_EQ(device_.store->recoveries().size(), 1u);
  EXPECT_THAT(device_.store->recoveries()[0].what, testing::HasSubstr("begin again"));
  wait_until_gone("s", "e", 10);
  EXPECT_EQ(receiver_.messages.size(), 10u);
  EXPECT_EQ(receiver_.wrong, "");
}

// --- Power cuts ---------------------------------------------------------------------------------

// Appends and exports with power cuts at operation `at` and once more, then goes on in peace; what
// is wrong in the end.
std::string cut_power(Lie lie, size_t drops, size_t at, io::CrashPolicy policy) {
  Receiver receiver;
  receiver.failures_of_ten = 2;
  receiver.drops = drops;
  Device<LyingFiles> device(receiver);
  device.test.files.set_lie(lie);
  std::map<int64_t, std::string> acknowledged;  // that survive
  int sent = 0;
  const bool flush = at % 2 == 0;
  const auto work = [&](int count) {
    if (!device.start()) return;
    const Definition definition{.name = "s",
                                .segment_bytes = 1'024,
                                .flush_on_write = flush,
                                .exports = {to_receiver("e")}};
    (void)device.run(device.service->create(definition));
    for (int i = 0; i < count && !device.test.files.crashed(); ++i) {
      const std::string payload = std::to_string(sent++) + std::string(100, '.');
      const auto sequence = device.run(device.service->append("s", payload));
      if (sequence && flush) acknowledged[*sequence] = payload;
      if (i % 3 == 0) device.test.loop.run_for(1);
    }
  };
  device.test.files.crash_at(at);
  work(15);
  for (size_t boot = 0; boot < 2; ++boot) {
    device.stop();
    device.test.files.reboot(policy, at * 2 + boot);
    device.test.files.crash_at(boot == 0 ? device.test.files.operations().size() + at % 23
                                         : SIZE_MAX);
    work(8);
  }
  const auto info = device.store->describe("s");
  if (!info) return "the stream is gone";
  if (!net::run_until(device.test.loop,
                      [&] { return device.progress("s", "e").next > info->range.newest; })) {
    return "it does not end";
  }
  if (!receiver.wrong.empty()) return receiver.wrong;
  std::map<int64_t, std::string> arrived;
  for (const auto& [id, payload] : receiver.messages) {
    arrived[std::stoll(id.substr(id.find('-') + 1))] = payload;
  }
  for (const auto& [sequence, payload] : acknowledged) {
    if (arrived[sequence] != payload) return "lost " + std::to_string(sequence);
  }
  const auto kept = device.store->read("s", 0, 1'000, 1 << 20);
  for (const Message& message : *kept) {
    if (arrived[message.sequence] != message.payload) return "not exported";
  }
  return "";
}

std::string cut_power_everywhere(Lie lie, size_t drops, int& cuts) {
  const size_t places = kIsSanitized ? 40 : 100;
  for (size_t at = 0; at < places; ++at) {
    for (const auto policy :
         {io::CrashPolicy::kDropUnsynced, io::CrashPolicy::kKeepAll, io::CrashPolicy::kSeeded}) {
      cuts += 2;
      const std::string wrong = cut_power(lie, drops, at, policy);
      if (!wrong.empty()) return wrong + ", power cut at " + std::to_string(at);
    }
  }
  return "";
}

TEST(ExportPowerCuts, TheReceiverEndsWithExactlyTheAcknowledged) {
  int cuts = 0;
  EXPECT_EQ(cut_power_everywhere(Lie::kNone, 0, cuts), "");
  EXPECT_GE(cuts, 200);
}

TEST(ExportMutants, AreCaught) {
  int cuts = 0;
  EXPECT_NE(cut_power_everywhere(Lie::kSync, 0, cuts), "") << "what has gone is not durable here";
  EXPECT_NE(cut_power_everywhere(Lie::kNone, 1, cuts), "") << "a receiver that loses messages";
}

}  // namespace
}  // namespace skerry::streams
