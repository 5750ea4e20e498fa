/* Layers of a model that are measured by themselves: what the tuner's objects offer, and
 * measure_layers.c takes. */
#pragma once

#include <stdint.h>

struct SkerryLayers {
  uint64_t arena_bytes, state_bytes;
  uint32_t input_count, output_count, layer_count;
  const uint64_t* input_bytes; /* of each */
  const uint64_t* output_bytes;
  void (*run)(uint32_t layer, void* arena, void* state, const void* const* inputs,
              void* const* outputs);
};
