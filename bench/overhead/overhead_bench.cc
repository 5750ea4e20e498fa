// What the inference service adds to a model that it runs on its loop, in this process: the model
// called directly, through the scheduler and the InferenceService, and with all that is counted of
// a request. Each is measured in turns, round by round, so that what else the machine does falls on
// all alike.
//
//   overhead_bench FOLDER ROUNDS       (FOLDER: a model package for the null runtime, 16 floats)
//
// Prints one JSON object of nanoseconds a request: median and minimum over the rounds.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "io/clock.h"
#include "io/files.h"
#include "io/loop.h"
#include "io/pool.h"
#include "runtime/null/null_runtime.h"
#include "serve/model_repository.h"
#include "serve/request_record.h"
#include "serve/scheduler.h"

namespace {

using namespace skerry;
using serve::now_ns;

constexpr int kCallsOfRound = 100;  // a tenth of a millisecond: most rounds are not interrupted

struct Case {
  std::string name;
  std::vector<double> ns_per_call;

  double median() {
    const auto middle = ns_per_call.begin() + static_cast<ptrdiff_t>(ns_per_call.size() / 2);
    std::ranges::nth_element(ns_per_call, middle);
    return *middle;
  }
};

class Bench {
 public:
  explicit Bench(const std::string& folder) {
    runtimes_->add(std::make_unique<runtime::NullRuntime>());
    scope_.spawn(load(folder));
    while (!loaded_) loop_.run_for(100);
    model_ = repository_.find("bench");
    input_ = {"x", tensor::DataType::kFp32, {1, 16}, tensor::Bytes(64, std::byte{1})};
  }

  void direct() {
    const std::vector<tensor::Tensor> inputs = {input_};
    const auto outputs =
        model_->model->run(tensor::views_of(inputs), model_->output_names, std::stop_token());
    count(outputs.has_value());
  }
  // The task ends before spawn() returns: what is short runs on the loop.
  void served() { scope_.spawn(serve_one(nullptr)); }
  void counted() { scope_.spawn(serve_one(&ledger_)); }
  void counted_for_fleet() { scope_.spawn(serve_one(&fleet_ledger_)); }
  void watched() {
    const int64_t now = now_ns();
    model_->watchdog.note_good(kShapes, 1000, now);
    count(model_->watchdog.fault().empty());
  }

  size_t done() const { return done_; }

 private:
  static constexpr uint64_t kShapes = 7;

  io::Task<void> load(std::string folder) {
    const auto report = co_await repository_.load("bench", std::move(folder));
    if (!report) {
      fmt::print(stderr, "overhead_bench: {}\n", report.error().message());
      std::exit(1);
    }
    loaded_ = true;
  }
  io::Task<void> serve_one(const serve::Ledger* ledger) {
    serve::InferenceRequest request;
    request.inputs.push_back(input_);
    if (ledger == nullptr) {
      count((co_await scheduler_.infer(model_, std::move(request))).outputs.has_value());
      co_return;
    }
    serve::RequestRecord record(*ledger, *model_);
    record.decoded(request.inputs);
    const auto outcome = co_await scheduler_.infer(model_, std::move(request));
    record.ran(outcome);
    record.answered("");
    count(outcome.outputs.has_value());
  }
  void count(bool is_good) { done_ += is_good ? 1 : 0; }

  io::RealLoop loop_;
  io::RealFiles files_;
  io::RealClock clock_;
  std::shared_ptr<runtime::Runtimes> runtimes_ = std::make_shared<runtime::Runtimes>();
  io::ThreadPool codec_{"codec", 1};
  serve::ModelRepository repository_{loop_, files_, runtimes_, {}};
  serve::InferenceService inference_{loop_, {}};
  serve::Scheduler scheduler_{loop_, codec_, inference_, {}};
  serve::Trace trace_;
  serve::Summaries summaries_{"bench", 0};
  serve::Ledger ledger_{clock_, trace_, nullptr};
  serve::Ledger fleet_ledger_{clock_, trace_, &summaries_};
  serve::ServedModelPtr model_;
  tensor::Tensor input_;
  size_t done_ = 0;
  bool loaded_ = false;
  io::TaskScope scope_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: overhead_bench FOLDER ROUNDS\n", stderr);
    return 2;
  }
  Bench bench(argv[1]);
  const size_t rounds = std::max(2UL, std::strtoul(argv[2], nullptr, 10));
  const std::vector<std::pair<const char*, void (Bench::*)()>> calls = {
      {"direct", &Bench::direct},
      {"served", &Bench::served},
      {"counted", &Bench::counted},
      {"counted_for_fleet", &Bench::counted_for_fleet},
      {"watchdog", &Bench::watched}};
  std::vector<Case> cases;
  for (const auto& [name, call] : calls) cases.push_back({name, {}});
  for (size_t round = 0; round <= rounds; ++round) {
    for (size_t i = 0; i < calls.size(); ++i) {
      const int64_t started = now_ns();
      for (int n = 0; n < kCallsOfRound; ++n) (bench.*calls[i].second)();
      const auto took = static_cast<double>(now_ns() - started) / kCallsOfRound;
      if (round > 0) cases[i].ns_per_call.push_back(took);  // the first one warms up
    }
  }
  if (bench.done() != (rounds + 1) * kCallsOfRound * calls.size()) {
    std::fputs("overhead_bench: an inference failed or did not run on the loop\n", stderr);
    return 1;
  }
  std::string text;
  for (Case& each : cases) {
    text +=
        fmt::format("{}\"{}\":{{\"median_ns\":{:.0f},\"min_ns\":{:.0f}}}", text.empty() ? "" : ",",
                    each.name, each.median(), *std::ranges::min_element(each.ns_per_call));
  }
  fmt::print("{{{}}}\n", text);
  std::fflush(nullptr);
  std::_Exit(0);
}
