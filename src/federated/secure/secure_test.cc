// Whole attempts of secure aggregation with every drop-out there can be, what is refused on either
// side, and what those who conspire see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "federated/secure/aggregation.h"
#include "federated/secure/neighbours.h"
#include "federated/secure/participant.h"
#include "io/fault_files.h"

namespace skerry::federated::secure {
namespace {

using testing::HasSubstr;

// --- Whole attempts -----------------------------------------------------------------------------

// Where a device vanishes.
enum class Vanishes { kNever, kBeforeKeys, kBeforeShares, kBeforeUpdate, kBeforeUnmasking };

class Attempt {
 public:
  explicit Attempt(size_t devices, uint64_t seed = 1) : random_(seed) {
    EXPECT_TRUE(files_.make_directory("/a", 0700));
    for (size_t i = 0; i < devices; ++i) {
      names_.push_back("d" + std::to_string(i));
      participants_.emplace_back(random_);
      lives_.push_back(Vanishes::kNever);
    }
  }

  Announcement keys(size_t device) {
    Announcement keys = participants_[device].announce();
    keys.certificate = names_[device];
    return keys;
  }
  Step next(size_t device) {
    const auto step = server_->next(names_[device]);
    EXPECT_TRUE(step) << step.error().message();
    // As it goes over the wire.
    const auto parsed = parse_step(to_json(*step).dump());
    EXPECT_TRUE(parsed);
    EXPECT_EQ(*parsed, *step);
    return *parsed;
  }
  Result<void> say(size_t device, const Said& said) {
    const auto parsed = parse_said(to_json(said).dump());
    EXPECT_TRUE(parsed);
    EXPECT_EQ(*parsed, said);
    return server_->hear(names_[device], *parsed);
  }
  size_t index_of(size_t device) const {
    const auto members = server_->state()["members"].get<std::vector<std::string>>();
    return static_cast<size_t>(std::ranges::find(members, hex_encode(names_[device])) -
                               members.begin());
  }
  bool lives(size_t device, Vanishes phase) const {
    return lives_[device] == Vanishes::kNever || lives_[device] > phase;
  }

  void announce() {
    for (size_t i = 0; i < names_.size(); ++i) {
      if (!lives(i, Vanishes::kBeforeKeys)) continue;
      EXPECT_EQ(next(i).kind, StepKind::kKeys);
      EXPECT_TRUE(say(i, {.kind = StepKind::kKeys, .keys = keys(i)}));
      EXPECT_EQ(next(i).kind, StepKind::kWait);
    }
    server_->begin_shares(names_, random_);
    restart();
  }
  void share() {
    for (size_t i = 0; i < names_.size(); ++i) {
      if (!lives(i, Vanishes::kBeforeShares)) continue;
      const auto said = participants_[i].share(next(i));
      ASSERT_TRUE(said) << said.error().message();
      EXPECT_TRUE(say(i, *said));
      if (i == 1) restart();
    }
    server_->begin_updates();
    restart();
  }
  // The true sum of those who uploaded.
  Numbers upload(size_t size) {
    Numbers truth(size, 0);
    sum_.assign(size, 0);
    for (size_t i = 0; i < names_.size(); ++i) {
      if (!lives(i, Vanishes::kBeforeUpdate)) continue;
      const auto received = participants_[i].receive(next(i));
      EXPECT_TRUE(received) << received.error().message();
      Numbers numbers(size);
      for (uint32_t& one : numbers) one = static_cast<uint32_t>(random_.next());
      for (size_t at = 0; at < size; ++at) truth[at] += numbers[at];
      EXPECT_TRUE(participants_[i].mask(numbers));
      for (size_t at = 0; at < size; ++at) sum_[at] += numbers[at];
      uploaded_.insert(names_[i]);
      masked_.push_back(numbers);
    }
    server_->begin_unmasking(uploaded_);
    restart();
    return truth;
  }
  void unmask() {
    for (size_t i = 0; i < names_.size(); ++i) {
      if (!lives(i, Vanishes::kBeforeUnmasking)) continue;
      const Step step = next(i);
      EXPECT_EQ(step.kind, StepKind::kUnmask);
      const auto said = participants_[i].unmask(step);
      ASSERT_TRUE(said) << said.error().message();
      EXPECT_TRUE(say(i, *said));
      EXPECT_EQ(next(i).kind, StepKind::kDone);
      if (i == 1) restart();
    }
  }

  // Another process goes on from the files and what the caller has kept.
  void restart() {
    const auto state = server_->state();
    server_.emplace(files_, "/a");
    ASSERT_TRUE(server_->restore(state, names_));
  }

  io::SeededRandom random_;
  io::FaultFiles files_;
  std::vector<std::string> names_;
  std::vector<Participant> participants_;
  std::vector<Vanishes> lives_;
  std::optional<Aggregation> server_{std::in_place, files_, "/a"};
  std::set<std::string> uploaded_;
  Numbers sum_;
  std::vector<Numbers> masked_;
};

size_t count_of(const std::vector<Vanishes>& lives, Vanishes before) {
  return static_cast<size_t>(std::ranges::count_if(
      lives, [before](Vanishes one) { return one == Vanishes::kNever || one > before; }));
}

// Four devices, threshold 3 of 4 holders: each of the 5⁴ ways in which they may vanish.
TEST(SecureAggregation, TheSumIsExactWhoeverVanishes) {
  size_t whole = 0;
  for (size_t pattern = 0; pattern < 625; ++pattern) {
    Attempt attempt(4, pattern + 1);
    for (size_t i = 0, rest = pattern; i < 4; ++i, rest /= 5) {
      attempt.lives_[i] = static_cast<Vanishes>(rest % 5);
    }
    const auto& lives = attempt.lives_;
    const size_t members = count_of(lives, Vanishes::kBeforeKeys);
    const size_t threshold = members > 0 ? threshold_of(members) : 1;
    // Devices would refuse; the coordinator fails such an attempt.
    if (members < 3 || count_of(lives, Vanishes::kBeforeShares) < threshold ||
        count_of(lives, Vanishes::kBeforeUpdate) < threshold) {
      continue;
    }
    attempt.announce();
    attempt.share();
    const Numbers truth = attempt.upload(5);
    attempt.unmask();
    const bool is_enough = count_of(lives, Vanishes::kBeforeUnmasking) >= threshold;
    EXPECT_EQ(attempt.server_->can_unmask(), is_enough) << pattern;
    if (!is_enough) {
      EXPECT_FALSE(attempt.server_->unmask(attempt.sum_));
      continue;
    }
    ASSERT_TRUE(attempt.server_->unmask(attempt.sum_)) << pattern;
    EXPECT_EQ(attempt.sum_, truth) << pattern;
    ++whole;
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(whole, 10u);
}

TEST(SecureAggregation, OnARingOfManyTheSumIsExact) {
  Attempt attempt(60, 5);
  for (size_t i = 0; i < 60; i += 9) attempt.lives_[i] = static_cast<Vanishes>(1 + i / 9 % 4);
  attempt.announce();
  attempt.share();
  const Numbers truth = attempt.upload(3);
  attempt.unmask();
  ASSERT_TRUE(attempt.server_->can_unmask());
  ASSERT_TRUE(attempt.server_->unmask(attempt.sum_));
  EXPECT_EQ(attempt.sum_, truth);
}

// Every byte equally often, by a chi-squared test at six deviations.
void expect_uniform(const Numbers& numbers) {
  std::vector<double> seen(256, 0);
  for (const uint32_t number : numbers) {
    for (unsigned shift = 0; shift < 32; shift += 8) seen[number >> shift & 255U] += 1;
  }
  const double expected = static_cast<double>(numbers.size()) * 4 / 256;
  double chi = 0;
  for (const double count : seen) chi += (count - expected) * (count - expected) / expected;
  EXPECT_NEAR(chi, 255, 6 * std::sqrt(2 * 255.0));
}

// The server and two of four devices, one fewer than the threshold: what the first device sends,
// always noughts, is uniform to them, before it is known to be in the sum and after, when the seed
// of its own mask is: the mask with the one that does not conspire hides it.
TEST(SecureAggregation, WhatADeviceSendsIsUniformToThoseWhoConspire) {
  constexpr size_t kSize = 12800;
  Attempt attempt(4, 7);
  attempt.announce();
  attempt.share();
  Numbers seen(kSize, 0);
  const size_t other_index = attempt.index_of(1);
  std::map<size_t, std::vector<Share>> seeds;
  for (const size_t device : {0u, 1u, 2u, 3u}) {
    Step step = attempt.next(device);
    // Those who conspire leave their masks with the honest one out, so that only its own is left.
    if (device > 1)
      std::erase_if(step.shares, [&](const auto& one) { return one.peer == other_index; });
    ASSERT_TRUE(attempt.participants_[device].receive(step));
    Numbers masked(kSize, 0);
    ASSERT_TRUE(attempt.participants_[device].mask(masked));
    if (device == 0) expect_uniform(masked);
    if (device == 1) continue;
    for (size_t i = 0; i < kSize; ++i) seen[i] += masked[i];
    attempt.uploaded_.insert(attempt.names_[device]);
  }
  expect_uniform(seen);
  attempt.uploaded_.insert(attempt.names_[1]);
  attempt.server_->begin_unmasking(attempt.uploaded_);
  for (const size_t device : {0u, 2u, 3u}) {
    Step step = attempt.next(device);
    if (device > 1) std::erase(step.alive, other_index);
    const auto said = attempt.participants_[device].unmask(step);
    ASSERT_TRUE(said) << said.error().message();
    for (const OpenedShare& one : said->seeds) {
      seeds[one.of].push_back({static_cast<uint8_t>(one.share[0]), one.share.substr(1)});
    }
  }
  for (const size_t device : {0u, 2u, 3u}) {
    add_mask(seen, *join(seeds[attempt.index_of(device)]), true);
  }
  EXPECT_NE(seen, Numbers(kSize, 0));
  expect_uniform(seen);
}

TEST(SecureAggregation, TheSameUpdateTwiceLooksLikeTwoOfNoise) {
  Numbers first, second;
  for (Numbers* into : {&first, &second}) {
    Attempt attempt(3, into == &first ? 1 : 2);
    attempt.announce();
    attempt.share();
    into->assign(1000, 42);
    ASSERT_TRUE(attempt.participants_[0].receive(attempt.next(0)));
    ASSERT_TRUE(attempt.participants_[0].mask(*into));
  }
  size_t same = 0;
  for (size_t i = 0; i < 1000; ++i) same += first[i] == second[i] ? 1 : 0;
  EXPECT_LE(same, 1u);
}

// --- What a device refuses ----------------------------------------------------------------------

class Refusals : public testing::Test {
 protected:
  Refusals() { attempt_.announce(); }
  static std::string why(const auto& result) {
    if (result) return "";
    EXPECT_EQ(result.error().code(), Code::kPermissionDenied);
    return result.error().message();
  }
  Attempt attempt_{5};
  Participant& device_ = attempt_.participants_[0];
};

TEST_F(Refusals, ThresholdsThatWouldLetTheServerHaveBothSecrets) {
  Step step = attempt_.next(0);
  step.threshold = 3;  // of 5: two groups of three have one member in common
  EXPECT_THAT(why(device_.share(step)), HasSubstr("both secrets"));
  step.threshold = 6;
  EXPECT_THAT(why(device_.share(step)), HasSubstr("threshold"));
}

TEST_F(Refusals, TooFewPeersAndTwins) {
  const Step good = attempt_.next(0);
  Step step = good;
  step.peers.resize(1);
  step.threshold = 2;
  EXPECT_THAT(why(device_.share(step)), HasSubstr("too few"));
  step = good;
  step.peers[1] = step.peers[0];
  EXPECT_THAT(why(device_.share(step)), HasSubstr("twice"));
  step.peers[1] = {.index = 77, .keys = step.peers[0].keys};
  EXPECT_THAT(why(device_.share(step)), HasSubstr("twice"));
  step = good;
  step.peers[0].keys.certificate = step.peers[1].keys.certificate;
  EXPECT_THAT(why(device_.share(step)), HasSubstr("twice"));
  step = good;
  step.peers[0].index = step.self;
  EXPECT_THAT(why(device_.share(step)), HasSubstr("twice"));
  step = good;
  step.peers[0].keys.mask_key = device_.announce().mask_key;
  EXPECT_THAT(why(device_.share(step)), HasSubstr("twice"));
  step = good;
  step.peers[0].keys.mask_key = std::string(32, '\0');
  EXPECT_FALSE(device_.share(step));
}

TEST_F(Refusals, OtherPeersThanBefore) {
  Step step = attempt_.next(0);
  const auto first = device_.share(step);
  ASSERT_TRUE(first);
  EXPECT_EQ(*device_.share(step), *first);  // the answer was lost on its way
  step.peers.pop_back();
  EXPECT_THAT(why(device_.share(step)), HasSubstr("than before"));
}

TEST_F(Refusals, SharesOfStrangersAndOfTooFew) {
  attempt_.share();
  const Step good = attempt_.next(0);
  Step step = good;
  step.shares.push_back(step.shares[0]);
  EXPECT_THAT(why(device_.receive(step)), HasSubstr("twice"));
  step = good;
  step.shares[0].peer = 99;
  EXPECT_THAT(why(device_.receive(step)), HasSubstr("stranger"));
  step = good;
  step.shares.resize(2);
  EXPECT_THAT(why(device_.receive(step)), HasSubstr("too few"));
  EXPECT_TRUE(device_.receive(good));
  EXPECT_TRUE(device_.receive(good));
  step = good;
  step.shares.pop_back();
  EXPECT_THAT(why(device_.receive(step)), HasSubstr("other shares"));
}

TEST_F(Refusals, ASecondVectorUnderTheSameMasks) {
  attempt_.share();
  Numbers numbers(4, 1);
  EXPECT_FALSE(device_.mask(numbers));  // before there are any
  EXPECT_EQ(numbers, Numbers(4, 1));
  ASSERT_TRUE(device_.receive(attempt_.next(0)));
  EXPECT_TRUE(device_.mask(numbers));
  EXPECT_THAT(why(device_.mask(numbers)), HasSubstr("one vector"));
}

TEST_F(Refusals, BothSecretsOfADevice) {
  attempt_.share();
  attempt_.lives_[4] = Vanishes::kBeforeUpdate;
  attempt_.upload(4);
  const Step good = attempt_.next(0);
  ASSERT_EQ(good.dropped.size(), 1u);
  const size_t dropped = good.dropped[0], other = good.alive[1];
  Step step = good;
  step.alive.push_back(dropped);
  EXPECT_THAT(why(device_.unmask(step)), HasSubstr("both secrets"));
  step = good;
  step.dropped.push_back(other);
  EXPECT_THAT(why(device_.unmask(step)), HasSubstr("both secrets"));
  step = good;
  step.alive.push_back(other);
  EXPECT_THAT(why(device_.unmask(step)), HasSubstr("both secrets"));
  step = good;
  step.alive.erase(step.alive.begin());  // itself
  EXPECT_THAT(why(device_.unmask(step)), HasSubstr("too few"));
  step = good;
  step.dropped.push_back(step.alive[0]);
  step.alive.erase(step.alive.begin());
  EXPECT_FALSE(device_.unmask(step));  // its own key
  step = good;
  std::ranges::copy(std::span(step.alive).subspan(2), std::back_inserter(step.dropped));
  step.alive.resize(2);
  EXPECT_THAT(why(device_.unmask(step)), HasSubstr("too few"));
  // And one after the other.
  ASSERT_TRUE(device_.unmask(good));
  EXPECT_TRUE(device_.unmask(good));
  step = good;
  std::swap(step.alive[1], step.dropped[0]);
  EXPECT_THAT(why(device_.unmask(step)), HasSubstr("other secrets"));
}

TEST_F(Refusals, UnmaskingBeforeItsVectorIsOut) {
  attempt_.share();
  ASSERT_TRUE(device_.receive(attempt_.next(0)));
  EXPECT_FALSE(device_.unmask({.kind = StepKind::kUnmask, .alive = {0, 1, 2, 3, 4}}));
}

// --- What the server refuses, and what it outlasts ----------------------------------------------

TEST(Server, TakesWhatItAskedForAndTheFirstOfIt) {
  Attempt attempt(4);
  EXPECT_FALSE(attempt.say(0, {.kind = StepKind::kShares}));  // not yet
  attempt.announce();
  EXPECT_EQ(attempt.say(0, {.kind = StepKind::kKeys, .keys = attempt.keys(0)}).error().code(),
            Code::kFailedPrecondition);  // replayed
  const auto said = attempt.participants_[0].share(attempt.next(0));
  ASSERT_TRUE(said);
  Said wrong = *said;
  wrong.shares.pop_back();
  EXPECT_EQ(attempt.say(0, wrong).error().code(), Code::kInvalidArgument);
  wrong = *said;
  wrong.shares[0].peer = wrong.shares[1].peer;
  EXPECT_EQ(attempt.say(0, wrong).error().code(), Code::kInvalidArgument);
  EXPECT_TRUE(attempt.say(0, *said));
  wrong = *said;
  for (SealedShares& one : wrong.shares) one.sealed = "other";
  EXPECT_TRUE(attempt.say(0, wrong));  // taken for a repeat, and not kept
  attempt.restart();
  for (const size_t i : {1u, 2u, 3u}) {
    EXPECT_TRUE(attempt.say(i, *attempt.participants_[i].share(attempt.next(i))));
  }
  attempt.server_->begin_updates();
  for (const size_t i : {1u, 2u, 3u}) {
    const auto shares = attempt.next(i).shares;
    EXPECT_EQ(shares.size(), 3u);
    for (const SealedShares& one : shares) EXPECT_NE(one.sealed, "other") << i;
  }
  EXPECT_FALSE(attempt.server_->next("stranger"));
}

// Other keys, or other shares of secrets, after some have been told to others or looked at.
TEST(Server, TheFirstKeysAndTheFirstOpenedSharesCount) {
  Attempt attempt(4);
  ASSERT_TRUE(attempt.say(0, {.kind = StepKind::kKeys, .keys = attempt.keys(0)}));
  const Announcement first = attempt.keys(0);
  Announcement second = Participant(attempt.random_).announce();
  second.certificate = first.certificate;
  EXPECT_TRUE(attempt.say(0, {.kind = StepKind::kKeys, .keys = second}));
  attempt.restart();
  EXPECT_TRUE(attempt.say(0, {.kind = StepKind::kKeys, .keys = second}));
  for (const size_t i : {1u, 2u, 3u}) {
    ASSERT_TRUE(attempt.say(i, {.kind = StepKind::kKeys, .keys = attempt.keys(i)}));
  }
  attempt.server_->begin_shares(attempt.names_, attempt.random_);
  const size_t index = attempt.index_of(0);
  for (const size_t i : {1u, 2u, 3u}) {
    const Step step = attempt.next(i);
    const auto peer = std::ranges::find(step.peers, index, &Peer::index);
    ASSERT_NE(peer, step.peers.end());
    EXPECT_EQ(peer->keys, first) << i;
  }
  attempt.share();
  const Numbers truth = attempt.upload(3);
  std::vector<Said> said;
  for (size_t i = 0; i < 3; ++i) {
    said.push_back(*attempt.participants_[i].unmask(attempt.next(i)));
    EXPECT_TRUE(attempt.say(i, said[i]));
  }
  // Three of four are enough, so that one lie would spoil it.
  for (size_t i = 0; i < 3; ++i) {
    Said lie = said[i];
    for (OpenedShare& one : lie.seeds) one.share[5] ^= 1;
    EXPECT_TRUE(attempt.say(i, lie));
  }
  ASSERT_TRUE(attempt.server_->unmask(attempt.sum_));
  EXPECT_EQ(attempt.sum_, truth);
}

TEST(Server, TakesNoShareThatItDidNotAskFor) {
  Attempt attempt(4);
  attempt.announce();
  attempt.share();
  attempt.lives_[3] = Vanishes::kBeforeUpdate;
  attempt.upload(2);
  const Step step = attempt.next(0);
  const Said good = *attempt.participants_[0].unmask(step);
  Said wrong = good;
  wrong.mask_keys.push_back({step.alive[1], good.seeds[0].share});
  EXPECT_EQ(attempt.say(0, wrong).error().code(), Code::kInvalidArgument);
  wrong = good;
  wrong.seeds.push_back(good.seeds[0]);
  EXPECT_EQ(attempt.say(0, wrong).error().code(), Code::kInvalidArgument);
  wrong = good;
  wrong.seeds[0].share[0] = 9;  // as if another's
  EXPECT_EQ(attempt.say(0, wrong).error().code(), Code::kInvalidArgument);
  EXPECT_TRUE(attempt.say(0, good));
}

TEST(Server, FindsTheSumThoughOneDeviceLiesAboutItsShares) {
  Attempt attempt(7);
  attempt.announce();
  attempt.share();
  attempt.lives_[6] = Vanishes::kBeforeUpdate;
  const Numbers truth = attempt.upload(3);
  for (size_t i = 0; i < 6; ++i) {
    Said said = *attempt.participants_[i].unmask(attempt.next(i));
    if (i == 2) {
      for (OpenedShare& one : said.seeds) one.share[5] ^= 1;
      for (OpenedShare& one : said.mask_keys) one.share[5] ^= 1;
    }
    EXPECT_TRUE(attempt.say(i, said));
  }
  ASSERT_TRUE(attempt.server_->unmask(attempt.sum_));
  EXPECT_EQ(attempt.sum_, truth);
}

TEST(Server, SaysThatSharesAreWrongRatherThanAWrongSum) {
  Attempt other(4);
  other.announce();
  other.share();
  other.upload(3);
  for (size_t i = 0; i < 3; ++i) {
    Said said = *other.participants_[i].unmask(other.next(i));
    for (OpenedShare& one : said.seeds) one.share[5] ^= static_cast<char>(i == 0 ? 1 : 0);
    EXPECT_TRUE(other.say(i, said));
  }
  // Three of four have answered, which is the threshold, and one of them lies.
  ASSERT_TRUE(other.server_->can_unmask());
  const auto sum = other.server_->unmask(other.sum_);
  ASSERT_FALSE(sum);
  EXPECT_EQ(sum.error().code(), Code::kCorrupt);
}

TEST(Messages, ThatAreNoneAreRefused) {
  for (const char* text :
       {"", "[]", "{}", R"({"step":"magic"})", R"({"step":"wait"})",
        R"({"step":"wait","retryAfterSeconds":1e9})", R"({"step":"wait","retryAfterSeconds":-1})",
        R"({"step":"unmask","alive":[1]})", R"({"step":"unmask","alive":[-1],"dropped":[]})",
        R"({"step":"unmask","alive":[1.5],"dropped":[]})",
        R"({"step":"update","shares":[{"peer":1,"sealed":""}]})",
        R"({"step":"update","shares":[{"peer":1,"sealed":"?"}]})",
        R"({"step":"shares","self":0,"threshold":2,"peers":[{"index":1}]})"}) {
    EXPECT_FALSE(parse_step(text)) << text;
    EXPECT_FALSE(parse_said(text)) << text;
  }
  std::string long_list = R"({"step":"unmask","dropped":[],"alive":[0)";
  for (int i = 1; i < 70; ++i) long_list += "," + std::to_string(i);
  EXPECT_FALSE(parse_step(long_list + "]}"));
  EXPECT_FALSE(parse_step(std::string(kMostStepBytes, ' ') + R"({"step":"done"})"));
  EXPECT_FALSE(parse_said(R"({"step":"wait","retryAfterSeconds":1})"));
  EXPECT_FALSE(decode_masked("nonsense", 3));
  EXPECT_FALSE(decode_masked(encode_masked(1, {1, 2}), 3));
  EXPECT_EQ(decode_masked(encode_masked(1, {1, 2}), 2)->numbers, (Numbers{1, 2}));
}

}  // namespace
}  // namespace skerry::federated::secure
