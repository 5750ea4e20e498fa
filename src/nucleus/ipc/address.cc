// A link with a name of its own for each socket, so that it is the same after a restart.
#include "nucleus/ipc/address.h"

#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "base/encoding.h"
#include "base/sha256.h"

namespace skerry::nucleus {

Result<std::string> ipc_address(const std::string& socket, const std::string& runtime_directory) {
  constexpr size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
  if (socket.size() <= kLongest) return socket;
  std::string link =
      runtime_directory + "/skerry-" + hex_encode(sha256(socket)).substr(0, 16) + ".socket";
  if (runtime_directory.empty() || link.size() > kLongest) {
    return fail(Code::kFailedPrecondition,
                "its path " + socket + " is longer than " + std::to_string(kLongest) +
                    " bytes: choose a shorter root, or set XDG_RUNTIME_DIR");
  }
  // Nobody else can put something there: what there is, an earlier run has made.
  if (::unlink(link.c_str()) != 0 && errno != ENOENT) {
    return fail(errno_error("remove", link, errno));
  }
  if (::symlink(socket.c_str(), link.c_str()) != 0) {
    return fail(errno_error("make the link", link, errno));
  }
  return link;
}

}  // namespace skerry::nucleus
