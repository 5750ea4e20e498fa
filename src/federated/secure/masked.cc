// Blocks of the stream stay in the processor's cache: memory is that of the numbers.
#include "federated/secure/masked.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/owned.h"
#include "federated/privacy.h"
#include "formats/checkpoint.h"

namespace skerry::federated::secure {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little);  // as the stream is read

constexpr size_t kSeedBytes = 32;
constexpr size_t kBlockNumbers = 8192;
constexpr double kMostLevels = 1 << 22;
constexpr double kLargestSum = 2147483647;
constexpr double kNoiseReach = 16;  // deviations that a sum has room for
constexpr double kNoiseTail = 6.5;
constexpr double kOfFloats = 1e-5;    // that a sum of many may be off
constexpr double kCountLevels = 256;  // of a device that is counted

using Cipher = Owned<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;

uint32_t wrapped(double value) {
  return static_cast<uint32_t>(static_cast<uint64_t>(std::llround(value)));
}

}  // namespace

void add_mask(std::span<uint32_t> numbers, std::string_view seed, bool takes_away) {
  SKERRY_CHECK(seed.size() == kSeedBytes, "seeds have one size");
  static constexpr std::array<unsigned char, 16> kFromTheBeginning{};
  static constexpr std::array<unsigned char, kBlockNumbers * sizeof(uint32_t)> kZeros{};
  const Cipher cipher(EVP_CIPHER_CTX_new());
  const bool begun =
      cipher && EVP_EncryptInit_ex(cipher.get(), EVP_chacha20(), nullptr,
                                   reinterpret_cast<const unsigned char*>(seed.data()),
                                   kFromTheBeginning.data()) == 1;
  SKERRY_CHECK(begun, "OpenSSL has ChaCha20");
  std::vector<uint32_t> stream(std::min(numbers.size(), kBlockNumbers));
  while (!numbers.empty()) {
    const size_t count = std::min(numbers.size(), kBlockNumbers);
    int written = 0;
    const bool made =
        EVP_EncryptUpdate(cipher.get(), reinterpret_cast<unsigned char*>(stream.data()), &written,
                          kZeros.data(), static_cast<int>(count * sizeof(uint32_t))) == 1;
    SKERRY_CHECK(made, "a stream does not fail");
    if (takes_away) {
      for (size_t i = 0; i < count; ++i) numbers[i] -= stream[i];
    } else {
      for (size_t i = 0; i < count; ++i) numbers[i] += stream[i];
    }
    numbers = numbers.subspan(count);
  }
}

FixedPoint fixed_point(double longest, size_t devices, double noise) {
  const auto all = static_cast<double>(std::max<size_t>(devices, 1));
  const double reach = all + kNoiseReach * noise * std::sqrt(all);
  return {.longest = longest,
          .levels =
              static_cast<uint32_t>(std::clamp(std::floor(kLargestSum / reach), 1.0, kMostLevels))};
}

Result<Numbers> to_numbers(const Update& update, const FixedPoint& fixed, double noise,
                           io::Random& random) {
  const double step = fixed.step();
  // Rounding to the nearest adds half a step to each number at most.
  const double room = step / 2 * std::sqrt(static_cast<double>(update.delta.size()));
  const bool finite =
      std::isfinite(update.loss) &&
      std::ranges::all_of(update.delta, [](float one) { return std::isfinite(one); });
  if (!finite || !(fixed.longest > 2 * room)) {
    return fail(Code::kInvalidArgument,
                finite ? "so many devices leave too few levels for a model of this size"
                       : "the update has a number that is not finite");
  }
  const double length = length_of(update.delta);
  const double most = fixed.longest - room;
  const double factor = length > most ? most / length : 1;
  Vector drawn(noise > 0 ? update.delta.size() : 0, 0);
  add_noise(drawn, noise * fixed.longest, random);
  Numbers numbers;
  numbers.reserve(update.delta.size() + 1);
  for (size_t i = 0; i < update.delta.size(); ++i) {
    const double value = std::round(static_cast<double>(update.delta[i]) * factor / step);
    const double added = drawn.empty() ? 0 : std::round(static_cast<double>(drawn[i]) / step);
    numbers.push_back(wrapped(value + added));
  }
  const double loss = std::clamp(update.loss, 0.0, kMostLoss) / kMostLoss;
  numbers.push_back(wrapped(loss * fixed.levels));
  return numbers;
}

void add_count(Numbers& numbers, bool within, double noise, io::Random& random) {
  Vector half(1, within ? 0.5F : -0.5F);
  add_noise(half, noise, random);
  numbers.push_back(wrapped(static_cast<double>(half[0]) * kCountLevels));
}

// Of the length of normal noise: more than √size + t has exp(-t²/2).
double longest_sum(const FixedPoint& fixed, size_t updates, size_t size, double noise) {
  const auto all = static_cast<double>(updates);
  const double root = std::sqrt(static_cast<double>(size));
  const double drawn = noise * fixed.longest * std::sqrt(all) * (root + kNoiseTail);
  const double rounding = noise > 0 ? all * fixed.step() / 2 * root : 0;
  return (all * fixed.longest + drawn + rounding) * (1 + kOfFloats);
}

Sum from_numbers(std::span<const uint32_t> sum, const FixedPoint& fixed, bool counts) {
  Sum result;
  if (counts && !sum.empty()) {
    result.within = static_cast<double>(static_cast<int32_t>(sum.back())) / kCountLevels;
    sum = sum.first(sum.size() - 1);
  }
  for (size_t i = 0; i + 1 < sum.size(); ++i) {
    const auto signed_sum = static_cast<int32_t>(sum[i]);
    result.values.push_back(static_cast<float>(signed_sum * fixed.step()));
  }
  if (!sum.empty()) {
    result.loss = static_cast<double>(static_cast<int32_t>(sum.back())) / fixed.levels * kMostLoss;
  }
  return result;
}

std::string encode_masked(size_t attempt, const Numbers& numbers) {
  tensor::Tensor tensor{.name = "masked",
                        .type = tensor::DataType::kUint32,
                        .shape = {static_cast<int64_t>(numbers.size())}};
  tensor.bytes.resize(numbers.size() * sizeof(uint32_t));
  if (!numbers.empty()) std::memcpy(tensor.bytes.data(), numbers.data(), tensor.bytes.size());
  return formats::encode(
      {.document = json{{"round", attempt}}.dump(), .tensors = {std::move(tensor)}});
}

Result<Masked> decode_masked(std::string_view bytes, size_t size) {
  SKERRY_ASSIGN(const formats::Checkpoint file, formats::decode_checkpoint(bytes));
  const json document = json::parse(file.document, nullptr, false);
  const bool fits = document.is_object() && document.contains("round") &&
                    document["round"].is_number_unsigned() && file.tensors.size() == 1 &&
                    file.tensors[0].name == "masked" &&
                    file.tensors[0].type == tensor::DataType::kUint32 &&
                    file.tensors[0].bytes.size() == size * sizeof(uint32_t);
  if (!fits) return fail(Code::kCorrupt, "this is no masked update of the model");
  Masked masked{.attempt = document["round"].get<size_t>(), .numbers = Numbers(size)};
  if (size > 0) {
    std::memcpy(masked.numbers.data(), file.tensors[0].bytes.data(), size * sizeof(uint32_t));
  }
  return masked;
}

}  // namespace skerry::federated::secure
