/* A compiled model in a program of one's own, with nothing else: no runtime, no file, no allocation
 * behind the arena. Prints what the model is, and whether it computes here what it should.
 *
 *     skerry model compile keywords.onnx -o keywords.so
 *     cc self_check.c ./keywords.so -o self_check && ./self_check
 */
#include <skerry/compiled_model.h>
#include <stdio.h>
#include <stdlib.h>

static void* memory_for(uint64_t size_bytes) {
  return aligned_alloc(64, (size_bytes + 64) / 64 * 64);
}

int main(void) {
  const SkerryCompiledModel* model = skerry_compiled_model();
  if (model == NULL) {
    fprintf(stderr, "the model is for other processors than this one\n");
    return 2;
  }
  if (model->abi_version != SKERRY_COMPILED_ABI) {
    fprintf(stderr, "the model has version %u of the interface\n", model->abi_version);
    return 2;
  }
  void* arena = memory_for(model->arena_bytes);
  void* state = model->state_bytes == 0 ? NULL : memory_for(model->state_bytes);
  void* scratch = memory_for(model->scratch_bytes);
  if (arena == NULL || scratch == NULL) return 2;
  model->bind(arena);
  const int32_t code = model->self_check(arena, state, scratch);
  free(arena);
  free(state);
  free(scratch);
  printf("%s for %s by %s: %u inputs, %u outputs, %llu bytes of memory; %s\n", model->name,
         model->target, model->made_by, model->input_count, model->output_count,
         (unsigned long long)model->arena_bytes, code == 0 ? "right" : "WRONG");
  return code;
}
