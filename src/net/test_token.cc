// What an operator does with softhsm2-util and pkcs11-tool.
#include "net/test_token.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "io/test_directory.h"

namespace skerry::net {

namespace {

TestToken make_token(const std::string& directory) {
  const std::string module = "/usr/lib/softhsm/libsofthsm2.so";
  std::filesystem::create_directory(directory + "/tokens");
  std::ofstream(directory + "/softhsm2.conf")
      << "directories.tokendir = " << directory << "/tokens\nlog.level = ERROR\n";
  std::ofstream(directory + "/pin") << "1234\n";
  ::setenv("SOFTHSM2_CONF", (directory + "/softhsm2.conf").c_str(), 1);
  const std::string quiet = " >" + directory + "/tools.log 2>&1";
  const std::string commands[] = {
      "softhsm2-util --init-token --free --label dev --so-pin 12345678 --pin 1234" + quiet,
      "pkcs11-tool --module " + module +
          " --token-label dev --login --pin 1234 --keypairgen --key-type EC:prime256v1 --id 01"
          " --label devkey --usage-sign --usage-derive" +
          quiet};
  for (const std::string& command : commands) {
    // Fixed words and a scratch folder of the test's own.
    if (std::system(command.c_str()) != 0) return {};  // NOLINT(cert-env33-c)
  }
  return {"pkcs11:token=dev;object=devkey;type=private?module-path=" + module +
          "&pin-source=file:" + directory + "/pin"};
}

}  // namespace

const TestToken& test_token() {
  static const io::ScratchDirectory directory;
  static const TestToken token = make_token(directory.path());
  return token;
}

}  // namespace skerry::net
