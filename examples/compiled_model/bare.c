/* A compiled model where there is nothing else: no operating system's library, no heap, no files.
 * What the model needs of its surroundings is memcpy and memset; they are here, as firmware has
 * them.
 *
 *     skerry model compile keywords.onnx --format static -o keywords-lib
 *     cc -O2 -ffreestanding -nostdlib -static -Ikeywords-lib bare.c keywords-lib/libmodel.a -o bare
 *     ./bare; echo $?          0: the model computes here what it should
 */
#include <model.h>
#include <stddef.h>

static _Alignas(64) uint8_t arena[MODEL_ARENA_BYTES];
static _Alignas(64) uint8_t state[MODEL_STATE_BYTES + 1];
static _Alignas(64) uint8_t scratch[MODEL_SCRATCH_BYTES + 1];

void* memcpy(void* to, const void* from, size_t count) {
  for (size_t i = 0; i < count; ++i) ((volatile uint8_t*)to)[i] = ((const uint8_t*)from)[i];
  return to;
}

void* memset(void* to, int value, size_t count) {
  for (size_t i = 0; i < count; ++i) ((volatile uint8_t*)to)[i] = (uint8_t)value;
  return to;
}

static int check(void) {
  const SkerryCompiledModel* model = skerry_compiled_model();
  model->bind(arena);
  model->reset(state);
  return model->self_check(arena, state, scratch);
}

/* The end of a program on Linux, in place of a board's own. */
__attribute__((force_align_arg_pointer)) void _start(void) {
  const int code = check();
  __asm__ volatile("syscall" : : "a"(60), "D"(code));
  __builtin_unreachable();
}
