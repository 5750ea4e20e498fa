/* A compiled model as any program loads one, with the protocol of models_bench_engine.cc:
 *
 *   models_bench_compiled MODEL.so
 */
#include <dlfcn.h>
#include <skerry/compiled_model.h>
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

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  void* entry = library == NULL ? NULL : dlsym(library, "skerry_compiled_model");
  if (entry == NULL) {
    fprintf(stderr, "models_bench_compiled: %s\n", dlerror());
    return 1;
  }
  const SkerryCompiledModel* model = ((const SkerryCompiledModel* (*)(void))entry)();
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
      model->run(arena, state, inputs, outputs);
      const long long now = now_ns();
      if (fastest < 0 || now - before < fastest) fastest = now - before;
      before = now;
    }
    printf("%lld %lld\n", before - start, fastest);
    fflush(stdout);
  }
  return 0;
}
