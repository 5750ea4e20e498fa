// Inputs for the trial run, and the search for shapes that a model takes.
#include "serve/trial_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/log.h"
#include "serve/memory_guard.h"
#include "serve/numeric.h"

namespace skerry::serve {
namespace {

using formats::WarmupInput;
using tensor::DataType;
using tensor::TensorSpec;

// A model's own values may be large; a guess must not be.
constexpr size_t kMaxGivenBytes = 1 << 30;
constexpr size_t kMaxGuessedBytes = 16 << 20;
constexpr int64_t kSearchNs = 20'000'000'000;
constexpr std::array<int64_t, 12> kSizes = {1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

// Which of the dimensions that nobody has said grow; the others are 1.
enum class Growing { kLast, kAllButFirst, kAll };

struct Guess {
  int64_t size = 1;
  Growing growing = Growing::kAll;
  double value = 0;  // of inputs without values
};

std::vector<int64_t> shape_of(const TensorSpec& spec, const WarmupInput& given,
                              const Guess& guess) {
  if (given.shape) return *given.shape;
  std::vector<int64_t> shape = spec.shape;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != -1) continue;
    const bool grows =
        guess.growing == Growing::kAll ||
        (guess.growing == Growing::kLast ? i + 1 == shape.size() : i > 0 || shape.size() == 1);
    shape[i] = grows ? guess.size : 1;
  }
  // A list of values has its own length.
  const size_t values = std::max(given.numbers.size(), given.strings.size());
  if (values > 1 && std::ranges::count(spec.shape, -1) == 1) {
    size_t others = 1;
    for (const int64_t dimension : spec.shape) {
      if (dimension > 0) others *= static_cast<size_t>(dimension);
    }
    const auto free = std::ranges::find(spec.shape, -1) - spec.shape.begin();
    if (values % others == 0) {
      shape[static_cast<size_t>(free)] = static_cast<int64_t>(values / others);
    }
  }
  return shape;
}

// One element of a type that is no BYTES, appended.
Result<void> append_number(tensor::Bytes& bytes, DataType type, double value) {
  const auto append = [&bytes](const auto& element) {
    const auto* first = reinterpret_cast<const std::byte*>(&element);
    bytes.insert(bytes.end(), first, first + sizeof element);
  };
  if (type == DataType::kBool) {
    append(static_cast<uint8_t>(value != 0));
    return {};
  }
  if (type == DataType::kFp16) {
    append(tensor::half_bits(value));
    return {};
  }
  return visit_numeric(type, [&]<class T>(T) -> Result<void> {
    SKERRY_ASSIGN(const T element, narrow<T>(value));
    append(element);
    return {};
  });
}

Result<void> fill(tensor::Tensor& input, size_t count, const WarmupInput& given, double otherwise) {
  if (input.type == DataType::kBytes) {
    for (size_t i = 0; i < count; ++i) {
      const size_t of = given.strings.size() > 1 ? i : 0;
      tensor::append_bytes(input.bytes, given.strings.empty() ? "" : given.strings[of]);
    }
    return {};
  }
  const size_t element_bytes = tensor::size_of(input.type);
  input.bytes.reserve(count * element_bytes);
  const double first = given.numbers.empty() ? otherwise : given.numbers.front();
  if (given.numbers.size() <= 1 && first == 0) {
    input.bytes.resize(count * element_bytes);
    return {};
  }
  for (size_t i = 0; i < count; ++i) {
    SKERRY_TRY(append_number(input.bytes, input.type,
                             given.numbers.size() > 1 ? given.numbers[i] : first));
  }
  return {};
}

Result<tensor::Tensor> make_input(const TensorSpec& spec, const WarmupInput& given,
                                  const Guess& guess) {
  tensor::Tensor input{spec.name, spec.type, shape_of(spec, given, guess), {}};
  SKERRY_ASSIGN(const size_t count, tensor::element_count(input.shape));
  const size_t values = std::max(given.numbers.size(), given.strings.size());
  if (values > 1 && values != count) {
    return fail(Code::kInvalidArgument, fmt::format("it gives {} values for {}", values,
                                                    tensor::describe(input.type, input.shape)));
  }
  // An element of BYTES takes four bytes at least.
  const size_t element_bytes = std::max<size_t>(tensor::size_of(spec.type), 1);
  const size_t most = guess.size == 1 ? kMaxGivenBytes : kMaxGuessedBytes;
  if (count > most / element_bytes) {
    return fail(
        Code::kResourceExhausted,
        fmt::format("{} is over {} MiB", tensor::describe(input.type, input.shape), most >> 20));
  }
  SKERRY_TRY(fill(input, count, given, guess.value));
  return input;
}

class TrialSearch {
 public:
  TrialSearch(ServedModel& served, const formats::ModelPackage& package,
              const std::stop_token& stop)
      : served_(served), package_(package), stop_(stop) {}

  // The first error where nothing works.
  Result<void> search() {
    const int64_t started = now_ns();
    auto first = attempt({});
    if (first || is_final_ || !is_guessing()) return first;
    for (const double value : {0.0, 1.0}) {
      for (const Growing growing : {Growing::kLast, Growing::kAllButFirst, Growing::kAll}) {
        for (const int64_t size : kSizes) {
          if (stop_.stop_requested() || now_ns() - started > kSearchNs) return first;
          if (size == 1 && (value == 0 || growing != Growing::kLast)) continue;  // was tried
          auto found = attempt({size, growing, value});
          if (found || is_final_) return found;
        }
      }
    }
    return first;
  }

  // The input for which "warmup" could say more; "" where it says all.
  const TensorSpec* undecided() const {
    for (const TensorSpec& spec : served_.inputs) {
      if (!given(spec).shape && std::ranges::count(spec.shape, -1) > 0) return &spec;
    }
    for (const TensorSpec& spec : served_.inputs) {
      if (given(spec).numbers.empty() && given(spec).strings.empty()) return &spec;
    }
    return nullptr;
  }

  bool is_final() const { return is_final_; }

 private:
  const WarmupInput& given(const TensorSpec& spec) const {
    static const WarmupInput kNothing;
    const auto found = package_.warmup.find(spec.name);
    return found == package_.warmup.end() ? kNothing : found->second;
  }

  bool is_guessing() const { return undecided() != nullptr; }

  Result<void> attempt(const Guess& guess) {
    return within_memory("the trial run", [&]() -> Result<void> {
      std::vector<tensor::Tensor> inputs;
      for (const TensorSpec& spec : served_.inputs) {
        auto input = make_input(spec, given(spec), guess);
        if (!input) {
          return fail(input.error().with_context(fmt::format("\"warmup\" of '{}'", spec.name)));
        }
        inputs.push_back(std::move(*input));
      }
      // The first run allocates, the second one shows what a request costs.
      SKERRY_TRY(run(inputs, guess));
      SKERRY_TRY(run(inputs, guess));
      served_.costs.note(shapes_key(inputs), cost_ns_);
      return {};
    });
  }

  Result<void> run(const std::vector<tensor::Tensor>& inputs, const Guess& guess) {
    const int64_t started = now_ns();
    SKERRY_ASSIGN(const auto outputs,
                  served_.model->run(tensor::views_of(inputs), served_.output_names, stop_));
    cost_ns_ = now_ns() - started;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const tensor::Tensor& output = outputs[i];
      if (tensor::fits(output.shape, served_.outputs[i].shape)) continue;
      // A value that was made up, such as a size of 1, may ask for what nobody would.
      is_final_ = guess.value == 0;
      return fail(
          Code::kInvalidArgument,
          fmt::format("model.json promises output '{}' as {}, the trial run gave {}", output.name,
                      tensor::describe(served_.outputs[i].type, served_.outputs[i].shape),
                      tensor::describe(output.type, output.shape)));
    }
    return {};
  }

  ServedModel& served_;
  const formats::ModelPackage& package_;
  const std::stop_token& stop_;
  int64_t cost_ns_ = 0;
  bool is_final_ = false;  // other inputs would not help
};

// What to write into model.json, as an example for `spec`.
std::string advice(const TensorSpec* spec) {
  if (spec == nullptr) return R"(the values of model.json's "warmup" do not do)";
  const bool has_free = std::ranges::count(spec->shape, -1) > 0;
  std::vector<int64_t> example = spec->shape;
  std::ranges::replace(example, -1, 16);
  const std::string what =
      has_free ? fmt::format("{{\"shape\": [{}], \"value\": 0}}", fmt::join(example, ", ")) : "1";
  return fmt::format(
      "say in model.json what the model takes, such as \"warmup\": {{\"{}\": {}}}, or "
      "\"trial_run\": "
      "\"optional\" to serve it untried",
      spec->name, what);
}

}  // namespace

Result<void> try_out(ServedModel& served, const formats::ModelPackage& package,
                     const std::stop_token& stop) {
  TrialSearch trial(served, package, stop);
  auto tried = trial.search();
  if (tried || trial.is_final()) return tried;
  if (stop.stop_requested()) return fail(Code::kCancelled, "the trial run was stopped");
  if (package.trial_optional) {
    log::warn("serve", "a model is served untried, as its package wants it",
              {{"model", served.name}, {"error", tried.error().message()}});
    return {};
  }
  return fail(tried.error().code(),
              fmt::format("the trial run failed: {}; {}", tried.error().message(),
                          advice(trial.undecided())));
}

}  // namespace skerry::serve
