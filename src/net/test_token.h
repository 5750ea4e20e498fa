// For tests: a token in software (SoftHSM) with a key in it that was made there.
#pragma once

#include <string>

namespace skerry::net {

struct TestToken {
  std::string key_name;  // as private_key.h has it, with module and file of the PIN
};
// One for the process, made when it is first asked for: the module reads where its tokens are when
// it is loaded. "" as name where the machine has no SoftHSM or no pkcs11-tool (./dev setup installs
// them).
const TestToken& test_token();

}  // namespace skerry::net
