/* Runs a compiled model that is linked to it, twice, for tests under emulators:
 * run_model INPUTS OUTPUTS; each file has one tensor after the other. */
#include <skerry/compiled_model.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void* memory_for(uint64_t size_bytes) {
  return aligned_alloc(64, (size_bytes + 64) / 64 * 64);
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
  return fclose(out) == 0 ? 0 : 2;
}
