/* A runtime for skerry-infer as a shared library of its own: the C interface between the two.
 *
 * The library exports skerry_runtime_plugin(), which returns a table of functions. skerry-infer is
 * started with `--runtime NAME=PATH`, or told by `skerry-infer runtime add NAME PATH`, and loads
 * the library when the first model with "runtime": "NAME" in its model.json comes, first in a
 * process that may die, then in its own.
 *
 * Versions. SKERRY_RUNTIME_ABI counts changes that break; skerry-infer refuses another one. Every
 * structure begins with its size as its maker knows it: later members are added at the end, and a
 * reader looks at none that lies beyond that size. Structures come by pointer, never in arrays.
 *
 * Threads. open() may be called from several threads at once. run() of one model only with
 * SKERRY_RUNTIME_THREAD_SAFE. close() when no run() is going on. Nothing may throw across this
 * interface.
 *
 * Memory. Whoever made something frees it; a pointer given to a function is valid until it returns,
 * except where it says otherwise. Data of tensors and files is aligned to 64 bytes.
 *
 * Files. A package may have more files than the model: open() reads them by their paths in the
 * package, and with SKERRY_RUNTIME_SEVERAL_FILES says that it does.
 *
 * Trial. A package that is new on a device is opened and run first in a process that may die, with
 * limits and without network; it can start no other program (execve(2) and kill(2) fail with
 * EACCES). What starts processes of its own needs a way without them there.
 *
 * examples/copy_runtime is a complete one in a page; examples/pytorch_runtime one that runs each
 * model in a process of its own. */
#ifndef SKERRY_RUNTIME_PLUGIN_H_
#define SKERRY_RUNTIME_PLUGIN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKERRY_RUNTIME_ABI 1u

/* Element types. SKERRY_BYTES: strings, each with its length before it as 4 bytes, little-endian.
 * Tensors are row-major, dense and little-endian; SKERRY_BOOL has one byte, 0 or 1. */
enum {
  SKERRY_BOOL = 0,
  SKERRY_INT8 = 1,
  SKERRY_INT16 = 2,
  SKERRY_INT32 = 3,
  SKERRY_INT64 = 4,
  SKERRY_UINT8 = 5,
  SKERRY_UINT16 = 6,
  SKERRY_UINT32 = 7,
  SKERRY_UINT64 = 8,
  SKERRY_FP16 = 9,
  SKERRY_FP32 = 10,
  SKERRY_FP64 = 11,
  SKERRY_BYTES = 12
};

/* What functions return. */
enum {
  SKERRY_OK = 0,
  SKERRY_INVALID_ARGUMENT = 1,   /* the caller's fault */
  SKERRY_CORRUPT = 2,            /* the model's bytes are not what they should be */
  SKERRY_UNSUPPORTED = 3,        /* a model that this runtime cannot run */
  SKERRY_RESOURCE_EXHAUSTED = 4, /* memory */
  SKERRY_CANCELLED = 5,          /* stopped() said so */
  SKERRY_INTERNAL = 6
};

/* SkerryRuntime.capabilities */
enum {
  SKERRY_RUNTIME_THREAD_SAFE = 1u,   /* run() of one model from several threads at once */
  SKERRY_RUNTIME_INTERRUPTIBLE = 2u, /* run() asks stopped() and ends soon after it says yes */
  SKERRY_RUNTIME_SEVERAL_FILES = 4u, /* open() reads more than the main file */
  SKERRY_RUNTIME_BATCHING = 8u,      /* dimensions of -1 may differ from run to run */
  SKERRY_RUNTIME_STATEFUL = 16u      /* a run may depend on those before it */
};

/* SkerryRuntime.traits() */
enum {
  SKERRY_MODEL_BOUNDED = 1u /* a run's time depends on the shapes of its inputs alone */
};

typedef struct SkerryModel SkerryModel; /* the plugin's own */

typedef struct SkerryTensorSpec {
  uint32_t struct_size;
  int32_t type;
  const char* name; /* UTF-8, unique among inputs, and among outputs */
  uint32_t rank;
  const int64_t* shape; /* -1: any size */
} SkerryTensorSpec;

typedef struct SkerryTensor {
  uint32_t struct_size;
  int32_t type;
  uint32_t rank;
  const int64_t* shape;
  const void* data;
  size_t size_bytes;
} SkerryTensor;

/* What open() is given, by skerry-infer. */
typedef struct SkerryLoad SkerryLoad;
struct SkerryLoad {
  uint32_t struct_size;
  uint32_t threads;      /* of one run() */
  const char* main_file; /* for read() */
  /* A whole file of the package, verified; it stays until close(). SKERRY_OK, or what open() should
   * return. */
  int32_t (*read)(SkerryLoad* self, const char* path, const void** data, size_t* size_bytes);
  /* Says what is wrong, in words that help, and returns `code`. */
  int32_t (*fail)(SkerryLoad* self, int32_t code, const char* message);
};

/* What run() is given, by skerry-infer. */
typedef struct SkerryRun SkerryRun;
struct SkerryRun {
  uint32_t struct_size;
  /* All inputs in the order of input(); names, types, shapes and sizes are checked. */
  uint32_t input_count;
  const SkerryTensor* const* inputs;
  /* Whether the caller wants this output. */
  int32_t (*wanted)(SkerryRun* self, uint32_t output);
  /* Memory for an output, to be filled before run() returns; NULL: return
   * SKERRY_RESOURCE_EXHAUSTED. Once for each output that is wanted. */
  void* (*output)(SkerryRun* self, uint32_t output, uint32_t rank, const int64_t* shape,
                  size_t size_bytes);
  /* Whether nobody waits for this run any more. Cheap, from any thread. */
  int32_t (*stopped)(SkerryRun* self);
  int32_t (*fail)(SkerryRun* self, int32_t code, const char* message);
};

typedef struct SkerryRuntime {
  uint32_t struct_size;
  uint32_t abi_version;  /* SKERRY_RUNTIME_ABI */
  const char* name;      /* of model.json's "runtime" */
  const char* version;   /* for people */
  uint32_t capabilities; /* SKERRY_RUNTIME_… */
  uint32_t types;        /* a bit for each element type: 1u << SKERRY_FP32 */

  int32_t (*open)(SkerryLoad* load, SkerryModel** model);
  /* The model's tensors in order, NULL after the last; valid until close(). */
  const SkerryTensorSpec* (*input)(SkerryModel* model, uint32_t index);
  const SkerryTensorSpec* (*output)(SkerryModel* model, uint32_t index);
  uint32_t (*traits)(SkerryModel* model); /* SKERRY_MODEL_…; NULL: none */
  int32_t (*run)(SkerryModel* model, SkerryRun* run);
  void (*close)(SkerryModel* model);

  /* What the model holds in memory now, in bytes: weights, and what runs keep; 0: not counted. For
   * people. Asked after each run by the thread that ran it, so cheap. NULL: never counted. A table
   * may end before this member: what came before it is what there was first. */
  uint64_t (*memory)(SkerryModel* model);
} SkerryRuntime;

/* The one symbol that a plugin exports. The table stays as long as the process. NULL where the
 * plugin cannot work with `host_abi`. */
const SkerryRuntime* skerry_runtime_plugin(uint32_t host_abi);

#ifdef __cplusplus
}
#endif

#endif
