// The files of secrets on a disk that somebody else has written to: the key's (first byte 'k'), a
// secret's as it is ('f'), or what is sealed in one ('s').
#include <cstdint>
#include <string>

#include "base/encoding.h"
#include "base/sealed.h"
#include "base/sha256.h"
#include "io/fault_files.h"
#include "io/random.h"
#include "nucleus/secrets.h"

namespace {

using namespace skerry;

constexpr const char* kFolder = "/secrets";
constexpr std::string_view kHeader = "skerry secret 1\n";

void write(io::Files& files, const std::string& name, const std::string& content) {
  static_cast<void>(io::make_directories(files, kFolder, 0700));
  static_cast<void>(io::write_file_atomic(files, std::string(kFolder) + "/" + name, content));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string key(kSealKeyBytes, 'k');
  const std::string file = hex_encode(sha256("a")).substr(0, 32) + ".secret";
  io::FaultFiles files;
  io::SeededRandom random(1);
  const bool is_key = data[0] == 'k';
  write(files, "key",
        is_key ? text : R"({"wrapped":"none","key":")" + base64_encode(key) + R"("})");
  const std::string sealed =
      data[0] == 's' ? seal(key, std::string(kSealNonceBytes, 'n'), file, text) : text;
  write(files, file, std::string(kHeader) + (is_key ? std::string() : sealed));
  nucleus::SecretStore store(files, random, {kFolder, "", "arn:aws:secretsmanager:r:1:secret:"});
  static_cast<void>(store.list());
  static_cast<void>(store.find({"a", "", ""}));
  static_cast<void>(store.put("a", "value", false, 1));
  static_cast<void>(store.find({"a", "", "AWSPREVIOUS"}));
  return 0;
}
