// Round trips through a ring of skerry-infer, and the floor: two processes that wake each other
// and do nothing else.
//
//   infer_ring_bench ring SOCKET REQUESTS SPIN_US        (SPIN_US as SkerryClientOptions has it)
//   infer_ring_bench eventfd|futex|spin ROUNDS PEER_CORE  (the peer is pinned there)
//
// Prints one JSON object: p50_us, min_us, p99_us, requests_per_s, failures.
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <skerry/infer_client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kFloats = 16 };

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static void print_result(double* took, size_t count, double all_us, size_t failures) {
  qsort(took, count, sizeof *took, compare);
  printf(
      "{\"p50_us\":%.2f,\"min_us\":%.2f,\"p99_us\":%.2f,\"requests_per_s\":%.0f,\"failures\":%zu}"
      "\n",
      took[count / 2], took[0], took[count * 99 / 100], (double)count * 1e6 / all_us, failures);
}

// --- The floor ---------------------------------------------------------------------------------

enum How { kEventfd, kFutex, kSpin };

struct Shared {
  _Alignas(64) uint32_t asked;
  _Alignas(64) uint32_t answered;
};

static void futex(uint32_t* word, int operation, uint32_t value) {
  syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void tell(enum How how, int fd, uint32_t* word, uint32_t number) {
  const uint64_t one = 1;
  __atomic_store_n(word, number, __ATOMIC_RELEASE);
  if (how == kEventfd) (void)!write(fd, &one, sizeof one);
  if (how == kFutex) futex(word, FUTEX_WAKE, 1);
}

static void await(enum How how, int fd, uint32_t* word, uint32_t number) {
  uint64_t count;
  if (how == kEventfd) (void)!read(fd, &count, sizeof count);
  for (uint32_t seen; (seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != number;) {
    if (how == kFutex) futex(word, FUTEX_WAIT, seen);
  }
}

static void pin_to(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  sched_setaffinity(0, sizeof cores, &cores);
}

static int measure_floor(enum How how, size_t rounds, int peer_core) {
  struct Shared* shared =
      mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const int there = eventfd(0, 0), back = eventfd(0, 0);
  const pid_t peer = fork();
  if (peer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin_to(peer_core);
    for (uint32_t i = 1;; ++i) {
      await(how, there, &shared->asked, i);
      tell(how, back, &shared->answered, i);
    }
  }
  double* took = calloc(rounds, sizeof *took);
  const size_t warm_up = rounds / 10;
  double begun = 0;
  for (size_t i = 0; i < warm_up + rounds; ++i) {
    if (i == warm_up) begun = now_us();
    const double started = now_us();
    tell(how, there, &shared->asked, (uint32_t)i + 1);
    await(how, back, &shared->answered, (uint32_t)i + 1);
    if (i >= warm_up) took[i - warm_up] = now_us() - started;
  }
  print_result(took, rounds, now_us() - begun, 0);
  kill(peer, SIGKILL);
  waitpid(peer, NULL, 0);
  return 0;
}

// --- The ring ----------------------------------------------------------------------------------

static int measure_ring(const char* socket_path, size_t requests, int spin_us) {
  SkerryClientOptions options = {0};
  options.size = sizeof options;
  options.socket_path = socket_path;
  options.spin_us = spin_us;
  SkerryClient* client = NULL;
  char reason[256];
  if (skerry_client_open(&options, &client, reason, sizeof reason) != SKERRY_STATUS_OK) {
    fprintf(stderr, "infer_ring_bench: %s\n", reason);
    return 1;
  }
  float values[kFloats];
  for (int i = 0; i < kFloats; ++i) values[i] = i % 2 == 0 ? 1.5F : -2.0F;
  const int64_t shape[] = {1, kFloats};
  const SkerryClientTensor input = {"x", SKERRY_FP32, 2, shape, values, sizeof values};
  SkerryClientRequest request = {0};
  request.size = sizeof request;
  request.model = "bench";
  request.inputs = &input;
  request.input_count = 1;
  double* took = calloc(requests, sizeof *took);
  const size_t warm_up = requests / 10;
  size_t failures = 0;
  double begun = 0;
  for (size_t i = 0; i < warm_up + requests; ++i) {
    if (i == warm_up) begun = now_us();
    SkerryClientAnswer answer = {0};
    answer.size = sizeof answer;
    const double started = now_us();
    if (skerry_client_infer(client, &request, &answer) != SKERRY_STATUS_OK ||
        answer.output_count != 1 || answer.outputs[0].bytes != sizeof values) {
      ++failures;
    }
    skerry_client_release(client, &answer);
    if (i >= warm_up) took[i - warm_up] = now_us() - started;
  }
  print_result(took, requests, now_us() - begun, failures);
  skerry_client_close(client);
  return failures == 0 ? 0 : 1;
}

int main(int argc, char** argv) {
  if (argc == 5 && strcmp(argv[1], "ring") == 0) {
    return measure_ring(argv[2], strtoul(argv[3], NULL, 10), atoi(argv[4]));
  }
  static const char* const kNames[] = {"eventfd", "futex", "spin"};
  for (int how = kEventfd; argc == 4 && how <= kSpin; ++how) {
    if (strcmp(argv[1], kNames[how]) == 0) {
      return measure_floor((enum How)how, strtoul(argv[2], NULL, 10), atoi(argv[3]));
    }
  }
  fprintf(stderr,
          "usage: infer_ring_bench ring SOCKET REQUESTS SPIN_US\n"
          "       infer_ring_bench eventfd|futex|spin ROUNDS PEER_CORE\n");
  return 2;
}
