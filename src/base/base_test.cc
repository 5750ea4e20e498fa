// Encodings and hashes against published vectors, and the errno mapping.
#include <cerrno>

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/iso_time.h"
#include "base/log_limit.h"
#include "base/sha256.h"

namespace skerry {
namespace {

TEST(Base64, Rfc4648Vectors) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (auto [plain, encoded] : vectors) {
    EXPECT_EQ(base64_encode(plain), encoded);
    EXPECT_EQ(base64_decode(encoded).value(), plain);
  }
  EXPECT_EQ(base64_decode("Zm8").value(), "fo");
}

TEST(Base64, RefusesWhatIsNotBase64) {
  for (const char* bad : {"Z", "Zm9v!", "Zg=", "=", "Zm 9v"})
    EXPECT_FALSE(base64_decode(bad)) << bad;
}

TEST(Sha256, Fips180Vectors) {
  EXPECT_EQ(hex_encode(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex_encode(sha256("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Encoding, HexadecimalComesBackAndNothingElseIsRead) {
  const std::string bytes("\x00\x7f\xff\x10", 4);
  EXPECT_EQ(hex_decode(hex_encode(bytes)).value_or("?"), bytes);
  EXPECT_EQ(hex_decode("0aFf").value_or("?"), "\x0a\xff");
  EXPECT_EQ(hex_decode("").value_or("?"), "");
  for (const char* wrong : {"0", "0g", "g0", "00 ", "+1", "0x"}) EXPECT_FALSE(hex_decode(wrong));
}

TEST(IsoTime, IsUtcWithMilliseconds) {
  EXPECT_EQ(iso_time(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(iso_time(1'582'934'400'250), "2020-02-29T00:00:00.250Z");
  EXPECT_EQ(iso_time(-1), "1969-12-31T23:59:59.999Z");
}

TEST(CheckDeathTest, ABrokenInvariantEndsTheProgramWithItsMessageAndPlace) {
  const int count = 0;
  SKERRY_CHECK(count == 0, "never shown");
  EXPECT_DEATH(SKERRY_CHECK(count > 0, "released too often"),
               "released too often .count > 0 at .*base_test.cc");
}

TEST(LogLimit, LeavesOutWhatIsTooMuchAndSaysHowMuch) {
  log::Limit limit(2, 1'000);
  EXPECT_EQ(limit.admit(0), 0u);
  EXPECT_EQ(limit.admit(1), 0u);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(limit.admit(500));
  EXPECT_EQ(limit.admit(1'000), 5u);
  EXPECT_EQ(limit.admit(1'001), 0u);
  EXPECT_FALSE(limit.admit(1'999));
}

TEST(Error, OnlyTransientErrnosAreRetryable) {
  EXPECT_TRUE(errno_error("write", "/x", ENOSPC).retryable());
  EXPECT_TRUE(errno_error("connect", "h", ECONNREFUSED).retryable());
  EXPECT_FALSE(errno_error("open", "/x", ENOENT).retryable());
  EXPECT_EQ(errno_error("open", "/x", ENOENT).message(), "open /x: No such file or directory");
}

}  // namespace
}  // namespace skerry
