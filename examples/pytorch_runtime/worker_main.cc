// skerry-torch-worker LIBRARY SOCKET: a program around torch_worker.cc's library. It ends when the
// plugin hangs up, also in the middle of a run.
#include <dlfcn.h>
#include <poll.h>
#include <sys/prctl.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

void end_with(int socket) {
  pollfd hung_up = {socket, POLLRDHUP, 0};
  while (::poll(&hung_up, 1, -1) < 1) {
  }
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  void* library = argc == 3 ? ::dlopen(argv[1], RTLD_NOW) : nullptr;
  if (library == nullptr) {
    std::fprintf(stderr, "skerry-torch-worker: %s\n", argc == 3 ? ::dlerror() : "two arguments");
    return 2;
  }
  const auto serve = reinterpret_cast<int (*)(int)>(::dlsym(library, "skerry_torch_serve"));
  const int socket = std::atoi(argv[2]);
  std::thread(end_with, socket).detach();
  // Not through exit(): PyTorch's threads may still be there.
  std::_Exit(serve == nullptr ? 2 : serve(socket));
}
