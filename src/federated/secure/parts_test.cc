// What secure aggregation is made of: against published vectors, and by their properties.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/encoding.h"
#include "federated/secure/agreement.h"
#include "federated/secure/masked.h"
#include "federated/secure/neighbours.h"
#include "federated/secure/shamir.h"

namespace skerry::federated::secure {
namespace {

std::string from_hex(std::string_view hex) {
  return hex_decode(hex).value_or("");
}

TEST(Agreement, IsThatOfTheStandards) {
  // RFC 7748, 6.1.
  const std::string alice =
      from_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const std::string bob =
      from_hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  EXPECT_EQ(hex_encode(open_key_of(alice)),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(hex_encode(x25519(alice, open_key_of(bob)).value_or("")),
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  // RFC 5869, A.1: the first block.
  EXPECT_EQ(hex_encode(hkdf(std::string(22, '\x0b'), from_hex("000102030405060708090a0b0c"),
                            from_hex("f0f1f2f3f4f5f6f7f8f9"))),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
  EXPECT_EQ(mask_seed(alice, open_key_of(bob)).value_or("a"),
            mask_seed(bob, open_key_of(alice)).value_or("b"));
  EXPECT_NE(mask_seed(alice, open_key_of(bob)).value_or(""),
            sealing_key(alice, open_key_of(bob)).value_or(""));
  EXPECT_FALSE(x25519(alice, std::string(32, '\0')));  // of order 1
  EXPECT_FALSE(x25519(alice, "short"));
}

TEST(Masks, AreChaCha20) {
  Numbers numbers(4, 0);
  add_mask(numbers, std::string(32, '\0'));
  // RFC 8439, A.1, test vector 1: key, nonce and counter 0.
  const std::string bytes(reinterpret_cast<const char*>(numbers.data()), 16);
  EXPECT_EQ(hex_encode(bytes), "76b8e0ada0f13d90405d6ae55386bd28");
  // However long, in one piece.
  Numbers many(20000, 7), again(20000, 7);
  add_mask(many, std::string(32, 'k'));
  EXPECT_NE(many, again);
  add_mask(many, std::string(32, 'k'), true);
  EXPECT_EQ(many, again);
}

TEST(Shares, OfAThresholdGiveTheSecretBackAndFewerSayNothing) {
  io::SeededRandom random(1);
  const std::string secret = "0123456789abcdef0123456789ABCDEF";
  for (const auto& [count, threshold] :
       {std::pair<size_t, size_t>{1, 1}, {3, 2}, {5, 4}, {5, 5}, {49, 33}, {255, 200}}) {
    auto shares = split(secret, count, threshold, random);
    ASSERT_EQ(shares.size(), count);
    std::ranges::reverse(shares);
    EXPECT_EQ(*join(std::span(shares).first(threshold)), secret);
    EXPECT_EQ(*join(shares), secret);
    if (threshold > 1) EXPECT_NE(*join(std::span(shares).first(threshold - 1)), secret);
  }
  const auto shares = split(secret, 3, 2, random);
  EXPECT_FALSE(join(std::vector<Share>{shares[0], shares[0]}));
  EXPECT_FALSE(join(std::vector<Share>{{.x = 0, .bytes = secret}}));
  EXPECT_FALSE(join(std::vector<Share>{shares[0], {.x = 2, .bytes = "short"}}));
  // In AES's field {57}·{83} = {c1} (FIPS 197, 4.2): the line through (1, s + {57}·1)… has the
  // value s + {57}·{83} at {83}.
  const Share one{.x = 1, .bytes = "\x57"}, other{.x = 0x83, .bytes = "\xc1"};
  EXPECT_EQ(*join(std::vector<Share>{one, other}), std::string(1, '\0'));
}

// Of two secrets, all that threshold - 1 holders have looks the same: every byte is uniform.
TEST(Shares, BelowTheThresholdAreUniform) {
  io::SeededRandom random(2);
  for (const char secret : {'\0', '\x7f'}) {
    std::vector<double> seen(256, 0);
    constexpr int kDraws = 25600;
    for (int i = 0; i < kDraws; ++i) {
      const auto shares = split(std::string(1, secret), 5, 4, random);
      // Any function of three of them, here one that would tell of the secret if any did.
      seen[static_cast<uint8_t>((*join(std::span(shares).first(3)))[0])] += 1;
    }
    double chi = 0;
    for (const double count : seen) chi += (count - 100) * (count - 100) / 100;
    EXPECT_LT(chi, 255 + 6 * std::sqrt(2 * 255.0));
  }
}

TEST(Numbers, AddUpExactlyAndNoUpdateIsLongerThanItMayBe) {
  io::SeededRandom random(3);
  const FixedPoint fixed = fixed_point(2, 100, 0);
  Numbers sum(5, 0);
  Vector plain(4, 0);
  for (int device = 0; device < 100; ++device) {
    Update update{.loss = 0.5, .delta = {}};
    for (int i = 0; i < 4; ++i) {
      update.delta.push_back(static_cast<float>(random.uniform() * 2 - 1));
      plain[static_cast<size_t>(i)] += update.delta.back();
    }
    const auto numbers = to_numbers(update, fixed, 0, random);
    ASSERT_TRUE(numbers);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += (*numbers)[i];
  }
  const Sum total = from_numbers(sum, fixed);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(total.values[i], plain[i], 100 * fixed.step());
  EXPECT_NEAR(total.loss, 50, 0.01);
  // Thousands of numbers of the worst size for rounding.
  Update longer{.delta = Vector(5000, 3.0F)};
  const auto cut = to_numbers(longer, fixed, 0, random);
  ASSERT_TRUE(cut);
  double squares = 0;
  for (size_t i = 0; i < 5000; ++i) {
    const double value = static_cast<int32_t>((*cut)[i]) * fixed.step();
    squares += value * value;
  }
  EXPECT_LE(std::sqrt(squares), 2);
  EXPECT_GT(std::sqrt(squares), 1.99);
  EXPECT_FALSE(to_numbers({.delta = {NAN}}, fixed, 0, random));
  EXPECT_FALSE(to_numbers({.delta = Vector(1000, 0)}, fixed_point(1, 1u << 30, 0), 0, random));
}

TEST(Numbers, OfAllDevicesStayWithinTheirRange) {
  for (const size_t devices : {3u, 1000u, 1000000u}) {
    for (const double noise : {0.0, 0.1, 5.0}) {
      const FixedPoint fixed = fixed_point(1, devices, noise);
      const auto n = static_cast<double>(devices);
      EXPECT_LE((n + 16 * noise * std::sqrt(n)) * fixed.levels, 2147483647.0);
    }
  }
}

TEST(Numbers, CountThoseThatWereNotCut) {
  io::SeededRandom random(6);
  const FixedPoint fixed = fixed_point(2, 10, 0);
  Numbers sum(4, 0);
  for (int device = 0; device < 10; ++device) {
    auto numbers = to_numbers({.loss = 1, .delta = {0.5F, 0}}, fixed, 0, random);
    ASSERT_TRUE(numbers);
    add_count(*numbers, device < 7, 0, random);
    for (size_t i = 0; i < 4; ++i) sum[i] += (*numbers)[i];
  }
  const Sum total = from_numbers(sum, fixed, true);
  EXPECT_EQ(total.values.size(), 2u);
  EXPECT_NEAR(total.loss, 10, 0.01);
  EXPECT_EQ(total.within, 7 * 0.5 - 3 * 0.5);
  double squares = 0;
  for (int i = 0; i < 5000; ++i) {
    Numbers one(1, 0);
    add_count(one, true, 3, random);
    squares += std::pow(static_cast<int32_t>(one[1]) / 256.0 - 0.5, 2) / 5000;
  }
  EXPECT_NEAR(std::sqrt(squares), 3, 0.1);
}

// Many numbers, so that noise alone is many times as long as an update.
TEST(Numbers, OfCutUpdatesAreNeverTooLongAndOfOthersThatAre) {
  io::SeededRandom random(8);
  constexpr size_t kSize = 4000, kDevices = 12;
  for (const double noise : {0.0, 0.4}) {
    const FixedPoint fixed = fixed_point(2, kDevices, noise);
    const double longest = longest_sum(fixed, kDevices, kSize, noise);
    Numbers sum(kSize + 1, 0);
    for (size_t device = 0; device < kDevices; ++device) {
      const auto numbers = to_numbers({.delta = Vector(kSize, 1)}, fixed, noise, random);
      ASSERT_TRUE(numbers);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += (*numbers)[i];
    }
    const double honest = length_of(from_numbers(sum, fixed).values);
    EXPECT_LE(honest, longest);
    EXPECT_GT(honest, longest / 2);
    sum[7] += static_cast<uint32_t>(3 * longest / fixed.step());
    EXPECT_GT(length_of(from_numbers(sum, fixed).values), longest);
  }
}

TEST(Numbers, HaveTheNoiseThatWasAskedFor) {
  io::SeededRandom random(4);
  const FixedPoint fixed = fixed_point(2, 10, 0.5);
  const auto numbers = to_numbers({.delta = Vector(20000, 0)}, fixed, 0.5, random);
  ASSERT_TRUE(numbers);
  double squares = 0;
  for (size_t i = 0; i < 20000; ++i) {
    const double value = static_cast<int32_t>((*numbers)[i]) * fixed.step();
    squares += value * value / 20000;
  }
  EXPECT_NEAR(std::sqrt(squares), 1, 0.03);
  EXPECT_EQ(numbers->back(), 0u);
}

TEST(Neighbours, AreMutualAndEnough) {
  for (const size_t members : {3u, 20u, 49u, 50u, 1000u, 3000u}) {
    for (const size_t index : {size_t{0}, members / 2, members - 1}) {
      const auto found = neighbours_of(index, members);
      EXPECT_TRUE(std::ranges::is_sorted(found));
      EXPECT_EQ(found.size(), std::min<size_t>(members - 1, members > 2000 ? 64 : 48));
      for (const size_t other : found) {
        EXPECT_NE(other, index);
        EXPECT_TRUE(std::ranges::binary_search(neighbours_of(other, members), index));
      }
    }
  }
}

double binomial_tail(size_t of, size_t more_than, double share) {
  double sum = 0;
  for (size_t k = more_than + 1; k <= of; ++k) {
    const auto n = static_cast<double>(of), j = static_cast<double>(k);
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(j + 1) - std::lgamma(n - j + 1) +
                    j * std::log(share) + (n - j) * std::log1p(-share));
  }
  return sum;
}

// Both bounds are at least as good as the vectors of Bell et al. for 5 % (σ = 40, η = 20) ask.
TEST(Neighbours, AreSoManyThatAttemptsDoNotFailAndNobodyConspires) {
  for (const size_t members : {100u, 1000u, 2000u, 10000u}) {
    const size_t holders = neighbours_of(0, members).size() + 1;
    const size_t threshold = threshold_of(holders);
    EXPECT_GT(3 * threshold, 2 * holders);
    const auto n = static_cast<double>(members);
    EXPECT_LT(n * binomial_tail(holders, holders - threshold, 0.05), std::exp2(-20)) << members;
    EXPECT_LT(n * binomial_tail(holders, holders - threshold, 0.10), 0.01) << members;
    EXPECT_LT(n * binomial_tail(holders, threshold - 1, 0.05), std::exp2(-40)) << members;
  }
}

}  // namespace
}  // namespace skerry::federated::secure
