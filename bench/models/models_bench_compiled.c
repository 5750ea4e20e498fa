/* A compiled model as any program loads one, with the protocol of models_bench_engine.cc:
 *
 *   models_bench_compiled MODEL.so [THREADS]
 */
#include <dlfcn.h>
#include <pthread.h>
#include <skerry/compiled_model.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kMaxTensors = 64, kFp32 = 10, kInt8 = 1, kUint8 = 5, kBool = 0 };

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void* memory_for(unsigned long long size_bytes) {
  void* memory = aligned_alloc(64, (size_bytes + 128) / 64 * 64);
  if (memory == NULL) exit(1);
  return memory;
}

/* The same numbers that the other engines get. */
static void* made_up(const SkerryCompiledTensor* tensor) {
  unsigned char* bytes = (unsigned char*)memory_for(tensor->size_bytes);
  for (unsigned long long i = 0; i < tensor->size_bytes; ++i) {
    const int is_byte = tensor->type == kInt8 || tensor->type == kUint8;
    bytes[i] = (unsigned char)(is_byte ? i * 37 + 11 : 0);
  }
  for (unsigned long long i = 0; tensor->type == kFp32 && i < tensor->size_bytes / 4; ++i) {
    const float value = (float)((i * 37 + 11) % 101) / 50.0f - 1.0f;
    memcpy(bytes + 4 * i, &value, sizeof value);
  }
  return bytes;
}

/* Threads that spin, as those of the other engines do between two runs: they are stopped with the
 * process when it is not its turn. */
static struct {
  atomic_uint job, done;
  uint32_t count;
  void (*task)(void* data, uint32_t i);
  void* data;
} pool;

static void* work(void* number) {
  const uint32_t i = (uint32_t)(uintptr_t)number;
  for (unsigned seen = 0;;) {
    const unsigned job = atomic_load_explicit(&pool.job, memory_order_acquire);
    if (job == seen) continue;
    seen = job;
    if (i < pool.count) pool.task(pool.data, i);
    atomic_fetch_add_explicit(&pool.done, 1, memory_order_release);
  }
  return NULL;
}

static void run_tasks(void* context, uint32_t count, void (*task)(void*, uint32_t), void* data) {
  const uint32_t threads = *(uint32_t*)context;
  pool.count = count;
  pool.task = task;
  pool.data = data;
  atomic_store_explicit(&pool.done, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&pool.job, 1, memory_order_release);
  task(data, 0);
  while (atomic_load_explicit(&pool.done, memory_order_acquire) < threads) continue;
}

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return 2;
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  void* entry = library == NULL ? NULL : dlsym(library, "skerry_compiled_model");
  if (entry == NULL) {
    fprintf(stderr, "models_bench_compiled: %s\n", dlerror());
    return 1;
  }
  const SkerryCompiledModel* model = ((const SkerryCompiledModel* (*)(void))entry)();
  uint32_t threads = argc == 3 ? (uint32_t)atoi(argv[2]) : 1;
  if (threads > model->max_threads) threads = model->max_threads;
  const SkerryCompiledPool lent = {sizeof lent, threads, &threads, run_tasks};
  for (uint32_t i = 1; i < threads; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, (void*)(uintptr_t)i) != 0) return 1;
  }
  void* arena = memory_for(model->arena_bytes);
  void* state = memory_for(model->state_bytes);
  const void* inputs[kMaxTensors];
  void* outputs[kMaxTensors];
  if (model->input_count > kMaxTensors || model->output_count > kMaxTensors) return 1;
  model->bind(arena);
  model->reset(state);
  for (unsigned i = 0; i < model->input_count; ++i) inputs[i] = made_up(&model->inputs[i]);
  for (unsigned i = 0; i < model->output_count; ++i) outputs[i] = made_up(&model->outputs[i]);
  if (model->run(arena, state, inputs, outputs) != SKERRY_COMPILED_OK) return 1;
  puts("ready");
  fflush(stdout);
  char line[32];
  while (fgets(line, sizeof line, stdin) != NULL && line[0] != '\n') {
    const long long start = now_ns();
    long long before = start, fastest = -1;
    for (long left = atol(line); left > 0; --left) {
      model->run_with(arena, state, inputs, outputs, &lent);
      const long long now = now_ns();
      if (fastest < 0 || now - before < fastest) fastest = now - before;
      before = now;
    }
    printf("%lld %lld\n", before - start, fastest);
    fflush(stdout);
  }
  return 0;
}
