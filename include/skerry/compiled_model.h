/* A model that `skerry model compile` has made: a shared object without a runtime behind it, and
 * the C interface to what is inside.
 *
 *     const SkerryCompiledModel* model = skerry_compiled_model();   (or by dlsym)
 *     void* arena = aligned_alloc(64, model->arena_bytes);
 *     model->bind(arena);
 *     const void* inputs[] = {x};
 *     void* outputs[] = {y};
 *     model->run(arena, NULL, inputs, outputs);
 *
 * A model with state gets memory of state_bytes instead of NULL, which reset() puts to its start.
 *
 * Versions. SKERRY_COMPILED_ABI counts changes that break; a caller checks it before anything else.
 * Structures begin with their size as their maker knows it; later members are added at the end.
 *
 * Memory. The object has its weights in read-only memory and nothing of its own that can be
 * written: everything that a run changes is in the arena and the state, which the caller gives.
 * run() takes no lock, allocates nothing, calls nothing of the system, and cannot fail but where an
 * index among the inputs is out of range, or an input is not what the code is made for.
 *
 * State is all that a run hands to the next one: streams of data may share an arena, and have a
 * state each. It holds no address; it may be copied, kept and restored.
 *
 * Threads. Any number at once, each with an arena of its own. One run may have several, too, where
 * the model was compiled for that (max_threads): run_with() takes them from the caller's pool. Its
 * results are the same to the last bit as run()'s, whatever the number of threads. A caller that
 * wants it checks struct_size first: models that were made before it was there end earlier.
 *
 * Tensors are row-major, dense, little-endian; element types have the numbers of
 * skerry/runtime_plugin.h. Inputs and outputs need the alignment of their elements, no more.
 *
 * The processor. The code uses what cpu_features says without asking; a caller that may run
 * anywhere compares first. A model that is compiled for several targets chooses the best that the
 * processor can run, and is NULL where there is none. Behind the object stands a trailer with the
 * same facts and a hash, which can be read without running anything: docs/data/compiled-model.md.
 */
#ifndef SKERRY_COMPILED_MODEL_H_
#define SKERRY_COMPILED_MODEL_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKERRY_COMPILED_ABI 1u

/* SkerryCompiledModel.cpu_features */
enum {
  SKERRY_CPU_SSE4_2 = 1u << 0,  /* and what x86-64-v2 has besides */
  SKERRY_CPU_AVX2 = 1u << 1,    /* and FMA, F16C, BMI: x86-64-v3 */
  SKERRY_CPU_AVX512 = 1u << 2,  /* F, BW, CD, DQ, VL: x86-64-v4 */
  SKERRY_CPU_VNNI = 1u << 3,    /* AVX512_VNNI */
  SKERRY_CPU_VBMI = 1u << 4,    /* AVX512_VBMI */
  SKERRY_CPU_AARCH64 = 1u << 5, /* 64-bit ARM: ARMv8-A with its vectors (NEON) */
  SKERRY_CPU_ARM_DOT = 1u << 6, /* ARMv8.2-A with dot products (SDOT, UDOT) */
  SKERRY_CPU_RV64GC = 1u << 7   /* 64-bit RISC-V with what Linux needs */
};

/* What run() and self_check() return. */
enum {
  SKERRY_COMPILED_OK = 0,
  SKERRY_COMPILED_BAD_INDEX = 1, /* an index among the inputs is out of range */
  SKERRY_COMPILED_WRONG = 2,     /* self_check(): other results than those of the reference */
  SKERRY_COMPILED_BAD_VALUE = 3  /* an input has not the one value that the code is made for */
};

typedef struct SkerryCompiledTensor {
  uint32_t struct_size;
  int32_t type;
  const char* name; /* UTF-8 */
  uint32_t rank;
  const int64_t* shape; /* constant: a model is compiled for one shape of its inputs */
  uint64_t size_bytes;
} SkerryCompiledTensor;

/* A part of the state: what is an input and an output of the model that was compiled. */
typedef struct SkerryCompiledState {
  uint32_t struct_size;
  int32_t type;
  const char* name;      /* of the input */
  const char* next_name; /* of the output that is this input in the next run */
  uint32_t rank;
  const int64_t* shape;
  uint64_t size_bytes;
  uint64_t offset; /* in the state, of a multiple of 64 */
} SkerryCompiledState;

/* Threads that a caller lends for one run at a time. */
typedef struct SkerryCompiledPool {
  uint32_t struct_size;
  uint32_t threads; /* with the caller's own */
  void* context;
  /* Calls task(data, i) once for each i below count, from any threads, and returns when all have
   * returned. Tasks share work as they come: it is right, though no faster, to call one after the
   * other. A task waits for others that have begun, so a thread for which no processor is free
   * makes a run slower. */
  void (*run)(void* context, uint32_t count, void (*task)(void* data, uint32_t i), void* data);
} SkerryCompiledPool;

typedef struct SkerryCompiledModel {
  uint32_t struct_size;
  uint32_t abi_version; /* SKERRY_COMPILED_ABI */
  const char* name;     /* of the model's graph */
  const char* target;   /* for people: "x86-64-v3" */
  const char* made_by;  /* for people: compilers and versions */
  uint64_t cpu_features;
  uint64_t arena_bytes; /* at an address of a multiple of 64 */
  uint64_t state_bytes; /* of what lives from run to run; 0 for most models, state is NULL then.
                           At an address of a multiple of 64 */
  uint32_t input_count;
  uint32_t output_count;
  const SkerryCompiledTensor* inputs;
  const SkerryCompiledTensor* outputs;

  /* Makes memory an arena: once, before the first run with it. */
  void (*bind)(void* arena);
  /* Puts the state to where a model starts. */
  void (*reset)(void* state);
  int32_t (*run)(void* arena, void* state, const void* const* inputs, void* const* outputs);
  /* Runs once on inputs of its own making and compares with what the reference executor said when
   * the model was compiled: whole numbers exactly, FP32 within the tolerance of docs/compile.md.
   * `scratch` has scratch_bytes. The state is at its start afterwards. */
  int32_t (*self_check)(void* arena, void* state, void* scratch);
  uint64_t scratch_bytes;
  uint32_t state_count; /* parts of the state */
  const SkerryCompiledState* states;

  uint32_t max_threads; /* that run_with() has work for; 1 of most models */
  int32_t (*run_with)(void* arena, void* state, const void* const* inputs, void* const* outputs,
                      const SkerryCompiledPool* pool);
} SkerryCompiledModel;

/* The one symbol that a compiled model exports. NULL only of a model for several targets, none of
 * which this processor can run. */
const SkerryCompiledModel* skerry_compiled_model(void);

#ifdef __cplusplus
}
#endif

#endif
