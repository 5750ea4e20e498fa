/* Runs a compiled model that is linked to it, twice, for tests under emulators and sanitizers:
 * run_model INPUTS OUTPUTS; each file has one tensor after the other. Then it runs it with threads,
 * as many as the model has use for, and wants the same bytes. */
#include <pthread.h>
#include <skerry/compiled_model.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void* memory_for(uint64_t size_bytes) {
  return aligned_alloc(64, (size_bytes + 64) / 64 * 64);
}

struct Job {
  void (*task)(void* data, uint32_t i);
  void* data;
  uint32_t i;
};

static void* do_task(void* given) {
  const struct Job* job = (const struct Job*)given;
  job->task(job->data, job->i);
  return NULL;
}

enum { kMaxThreads = 8, kRuns = 10 };

static void run_tasks(void* context, uint32_t count, void (*task)(void*, uint32_t), void* data) {
  struct Job jobs[kMaxThreads];
  pthread_t threads[kMaxThreads];
  (void)context;
  for (uint32_t i = 0; i < count; ++i) {
    jobs[i] = (struct Job){task, data, i};
    if (i > 0 && pthread_create(&threads[i], NULL, do_task, &jobs[i]) != 0) abort();
  }
  do_task(&jobs[0]);
  for (uint32_t i = 1; i < count; ++i) pthread_join(threads[i], NULL);
}

/* Whether they come to the same bytes. */
static int same_with_threads(const SkerryCompiledModel* model, void* arena, void* state,
                             const void* const* inputs, void* const* want) {
  const SkerryCompiledPool pool = {sizeof pool, kMaxThreads, NULL, run_tasks};
  void* outputs[64];
  for (uint32_t i = 0; i < model->output_count; ++i) {
    outputs[i] = memory_for(model->outputs[i].size_bytes);
  }
  for (int run = 0; run < kRuns; ++run) {
    model->reset(state);
    if (model->run_with(arena, state, inputs, outputs, &pool) != SKERRY_COMPILED_OK) return 0;
    for (uint32_t i = 0; i < model->output_count; ++i) {
      if (memcmp(outputs[i], want[i], model->outputs[i].size_bytes) != 0) return 0;
    }
  }
  return 1;
}

int main(int argc, char** argv) {
  const SkerryCompiledModel* model = skerry_compiled_model();
  const void* inputs[64];
  void* outputs[64];
  if (argc != 3 || model == NULL || model->input_count > 64 || model->output_count > 64) return 2;
  FILE* in = fopen(argv[1], "rb");
  FILE* out = fopen(argv[2], "wb");
  if (in == NULL || out == NULL) return 2;
  for (uint32_t i = 0; i < model->input_count; ++i) {
    void* memory = memory_for(model->inputs[i].size_bytes);
    if (fread(memory, 1, model->inputs[i].size_bytes, in) != model->inputs[i].size_bytes) return 2;
    inputs[i] = memory;
  }
  for (uint32_t i = 0; i < model->output_count; ++i) {
    outputs[i] = memory_for(model->outputs[i].size_bytes);
  }
  void* arena = memory_for(model->arena_bytes);
  memset(arena, 0x5a, model->arena_bytes);
  model->bind(arena);
  void* state = memory_for(model->state_bytes);
  for (int i = 0; i < 2; ++i) {
    model->reset(state);
    const int32_t code = model->run(arena, state, inputs, outputs);
    if (code != SKERRY_COMPILED_OK) return code;
  }
  for (uint32_t i = 0; i < model->output_count; ++i) {
    fwrite(outputs[i], 1, model->outputs[i].size_bytes, out);
  }
  if (!same_with_threads(model, arena, state, inputs, outputs)) return 3;
  return fclose(out) == 0 ? 0 : 2;
}
