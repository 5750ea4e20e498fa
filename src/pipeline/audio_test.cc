// WAV headers that are cut or lie, and samples that come in pieces.
#include "pipeline/audio.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

namespace skerry::pipeline {
namespace {

template <class T>
std::string bytes_of(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string format_chunk(uint16_t tag, uint16_t channels, uint32_t rate, uint16_t bits) {
  const auto frame = static_cast<uint16_t>(channels * bits / 8);
  return "fmt " + bytes_of<uint32_t>(16) + bytes_of(tag) + bytes_of(channels) + bytes_of(rate) +
         bytes_of(rate * frame) + bytes_of(frame) + bytes_of(bits);
}

std::string wav(const std::string& chunks, const std::string& samples) {
  const std::string rest =
      "WAVE" + chunks + "data" + bytes_of(static_cast<uint32_t>(samples.size()));
  return "RIFF" + bytes_of(static_cast<uint32_t>(rest.size() + samples.size())) + rest + samples;
}

TEST(WavHeader, EveryPrefixOfOneAsksForMore) {
  const std::string file = wav("LIST" + bytes_of<uint32_t>(3) + "abc" + std::string(1, '\0') +
                                   format_chunk(1, 2, 44'100, 24),
                               "");
  for (size_t size = 0; size < file.size(); ++size) {
    const auto header = parse_wav_header(std::string_view(file).substr(0, size));
    ASSERT_TRUE(header) << size << ": " << header.error().message();
    EXPECT_FALSE(*header) << size;
  }
  const auto header = parse_wav_header(file);
  ASSERT_TRUE(header && *header);
  EXPECT_EQ((*header)->format.rate, 44'100);
  EXPECT_EQ((*header)->format.frame_bytes(), 6u);
  EXPECT_EQ((*header)->data_begin, file.size());
}

TEST(WavHeader, SaysWhatIsWrong) {
  const auto refusal = [](const std::string& file) {
    const auto header = parse_wav_header(file);
    return header ? "accepted" : header.error().message();
  };
  EXPECT_EQ(refusal("RIFX"), "it is no WAV file");
  EXPECT_EQ(refusal(wav("", "")), "the WAV's samples have no format");
  EXPECT_NE(refusal(wav(format_chunk(85, 2, 44'100, 16), "")).find("in format 85"),
            std::string::npos);
  EXPECT_NE(refusal(wav(format_chunk(1, 0, 44'100, 16), "")).find("0 channels"), std::string::npos);
  EXPECT_NE(refusal(wav(format_chunk(1, 1, 0, 16), "")).find("0 Hz"), std::string::npos);
  EXPECT_EQ(refusal(wav("LIST" + bytes_of<uint32_t>(0xffffffff), "")),
            "the WAV has more than 1 MiB before its samples");
}

TEST(Samples, OfEveryWidthGoFromMinusOneToOne) {
  const auto samples = [](SampleType type, const std::string& bytes) {
    std::vector<float> out;
    append_samples({type, 1, 8'000}, bytes, -1, out);
    return out;
  };
  EXPECT_EQ(samples(SampleType::kUint8, std::string("\x00\x80\xc0", 3)),
            (std::vector{-1.f, 0.f, .5f}));
  EXPECT_EQ(samples(SampleType::kInt16, bytes_of<int16_t>(-32768) + bytes_of<int16_t>(16384)),
            (std::vector{-1.f, .5f}));
  EXPECT_EQ(samples(SampleType::kInt24, std::string("\x00\x00\x80\x00\x00\x40\xff\xff", 8)),
            (std::vector{-1.f, .5f}));  // what is no whole frame is left
  EXPECT_EQ(samples(SampleType::kFloat32, bytes_of(0.25f)), std::vector{.25f});
}

TEST(Resampler, TheResultDoesNotDependOnThePieces) {
  std::vector<float> samples(5000);
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = std::sin(0.05f * static_cast<float>(i));
  for (const auto& [from, to] :
       {std::pair{48'000, 16'000}, {44'100, 16'000}, {8'000, 22'050}, {1, 1}}) {
    auto resampler = Resampler::make(from, to);
    ASSERT_TRUE(resampler);
    std::vector<float> whole;
    resampler->push(samples, whole);
    resampler->finish(whole);
    EXPECT_EQ(whole.size(),
              (samples.size() * static_cast<size_t>(to) + static_cast<size_t>(from) - 1) /
                  static_cast<size_t>(from));
    for (const size_t piece : {1u, 7u, 480u, 4'999u}) {
      std::vector<float> pieces;
      for (size_t at = 0; at < samples.size(); at += piece) {
        resampler->push(std::span(samples).subspan(at, std::min(piece, samples.size() - at)),
                        pieces);
      }
      resampler->finish(pieces);
      EXPECT_EQ(pieces, whole) << from << " to " << to << " by " << piece;
    }
  }
}

TEST(Resampler, RatesWithNothingInCommonAreRefused) {
  const auto resampler = Resampler::make(767'999, 768'000);
  ASSERT_FALSE(resampler);
  EXPECT_EQ(resampler.error().code(), Code::kUnsupported);
}

}  // namespace
}  // namespace skerry::pipeline
