/* How long layers of models take, side by side: the program that `skerry model tune` links with the
 * ways that it compares, and runs here or on the machine that they are for.
 *
 *     measure_layers MILLISECONDS
 *
 * prints "machine NAME" first, "CANDIDATE LAYER NANOSECONDS" for each, the least of all turns, and
 * "end" last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "layers.h"

extern const struct SkerryLayers* const skerry_candidates[];
extern const uint32_t skerry_candidate_count;

/* Of the turns: at least so many, however long they take. */
enum { FEWEST_TURNS = 3, MOST_TURNS = 1000000, SHORTEST_NS = 2000, MOST_RUNS = 4096 };

struct Place {
  void *arena, *state;
  const void** inputs;
  void** outputs;
};

static double now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* What the board says it is, or the processor. */
static void print_machine(void) {
  char line[512], name[128] = "of no name";
  FILE* file = fopen("/proc/device-tree/model", "r");
  if (file != NULL) {
    if (fgets(line, sizeof line, file) != NULL) snprintf(name, sizeof name, "%s", line);
    fclose(file);
  } else {
    file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
      const char* colon = strchr(line, ':');
      if (strncmp(line, "model name", 10) != 0 || colon == NULL) continue;
      snprintf(name, sizeof name, "%s", colon + 2);
      break;
    }
    if (file != NULL) fclose(file);
  }
  name[strcspn(name, "\n")] = 0;
  printf("machine %s\n", name);
}

static void* memory_for(uint64_t size_bytes, int fill) {
  const uint64_t size = (size_bytes + 4096) / 64 * 64;
  void* memory = aligned_alloc(64, size);
  if (memory == NULL) {
    fprintf(stderr, "there is no memory for %llu bytes\n", (unsigned long long)size);
    exit(2);
  }
  memset(memory, fill, size);
  return memory;
}

static struct Place place_for(const struct SkerryLayers* layers) {
  struct Place place;
  place.arena = memory_for(layers->arena_bytes, 0);
  place.state = memory_for(layers->state_bytes, 0);
  place.inputs = memory_for(layers->input_count * sizeof(void*), 0);
  place.outputs = memory_for(layers->output_count * sizeof(void*), 0);
  /* Bytes of 0 are numbers of every type, and indices that are in range. */
  for (uint32_t i = 0; i < layers->input_count; ++i) {
    place.inputs[i] = memory_for(layers->input_bytes[i], 0);
  }
  for (uint32_t i = 0; i < layers->output_count; ++i) {
    place.outputs[i] = memory_for(layers->output_bytes[i], 0);
  }
  return place;
}

static double time_of(uint32_t candidate, uint32_t layer, uint32_t runs,
                      const struct Place* place) {
  const struct SkerryLayers* layers = skerry_candidates[candidate];
  const double start = now_ns();
  for (uint32_t i = 0; i < runs; ++i) {
    layers->run(layer, place->arena, place->state, place->inputs, place->outputs);
  }
  return now_ns() - start;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const double until_ns = now_ns() + atof(argv[1]) * 1e6;
  const uint32_t candidates = skerry_candidate_count, layers = skerry_candidates[0]->layer_count;
  struct Place* places = memory_for(candidates * sizeof(struct Place), 0);
  double* least = memory_for((uint64_t)candidates * layers * sizeof(double), 0);
  uint32_t* runs = memory_for(layers * sizeof(uint32_t), 0);
  double clock_ns = 1e9;
  for (int i = 0; i < 1000; ++i) {
    const double start = now_ns(), took = now_ns() - start;
    if (took < clock_ns) clock_ns = took;
  }
  for (uint32_t c = 0; c < candidates; ++c) places[c] = place_for(skerry_candidates[c]);
  for (uint32_t i = 0; i < candidates * layers; ++i) least[i] = 1e18;
  /* As many runs for one look at the clock as make it worth while, for all candidates alike. */
  for (uint32_t layer = 0; layer < layers; ++layer) {
    runs[layer] = 1;
    while (runs[layer] < MOST_RUNS && time_of(0, layer, runs[layer], &places[0]) < SHORTEST_NS) {
      runs[layer] *= 2;
    }
  }
  for (uint32_t turn = 0; turn < MOST_TURNS; ++turn) {
    if (turn >= FEWEST_TURNS && now_ns() > until_ns) break;
    for (uint32_t i = 0; i < candidates; ++i) {
      const uint32_t c = (turn + i) % candidates; /* nobody is always behind the same one */
      for (uint32_t layer = 0; layer < layers; ++layer) {
        const double took = (time_of(c, layer, runs[layer], &places[c]) - clock_ns) / runs[layer];
        double* best = &least[(uint64_t)c * layers + layer];
        if (took < *best) *best = took;
      }
    }
  }
  print_machine();
  for (uint32_t c = 0; c < candidates; ++c) {
    for (uint32_t layer = 0; layer < layers; ++layer) {
      printf("%u %u %.1f\n", c, layer, least[(uint64_t)c * layers + layer]);
    }
  }
  printf("end\n");
  return 0;
}
