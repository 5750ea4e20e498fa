/* The functions that the models of this folder call, as a model compiled by SageMaker Neo has them:
 * TVM's calling convention. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  void* data;
  int32_t device_type, device_id;
  int32_t rank;
  uint8_t kind, bits;
  uint16_t lanes;
  int64_t* shape;
  int64_t* strides;
  uint64_t offset;
} Tensor;

typedef union {
  int64_t integer;
  double real;
  void* pointer;
} Value;

#define EXPORT __attribute__((visibility("default")))
/* Filled in by the loader, which looks for this name. */
/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming) */
EXPORT void (*__TVMAPISetLastError)(const char*) = NULL;

static int fail(const char* message) {
  if (__TVMAPISetLastError != NULL) __TVMAPISetLastError(message);
  return -1;
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */

static char* data_of(Value value) {
  const Tensor* tensor = value.pointer;
  return (char*)tensor->data + tensor->offset;
}

static size_t count_of(Value value) {
  const Tensor* tensor = value.pointer;
  size_t count = 1;
  for (int32_t i = 0; i < tensor->rank; ++i) count *= (size_t)tensor->shape[i];
  return count;
}

#define KERNEL(name) \
  EXPORT int name(Value* values, int* codes, int count, Value* result, int* code, void* resource)
#define UNUSED (void)codes, (void)result, (void)code, (void)resource

KERNEL(copy) {
  UNUSED;
  if (count != 2) return fail("copy has one input and one output");
  const Tensor* tensor = values[0].pointer;
  memcpy(data_of(values[1]), data_of(values[0]), count_of(values[0]) * tensor->bits / 8);
  return 0;
}

KERNEL(never) {
  UNUSED, (void)values, (void)count;
  return fail("this model always fails");
}

/* x, weights, bias, y */
static void dense(Value* values, int is_relu) {
  const float* x = (float*)data_of(values[0]);
  const float* weights = (float*)data_of(values[1]);
  const float* bias = (float*)data_of(values[2]);
  float* y = (float*)data_of(values[3]);
  const size_t rows = count_of(values[3]);
  const size_t columns = count_of(values[0]);
  for (size_t i = 0; i < rows; ++i) {
    float sum = bias[i];
    for (size_t k = 0; k < columns; ++k) sum += x[k] * weights[i * columns + k];
    y[i] = is_relu && sum < 0 ? 0 : sum;
  }
}

KERNEL(fused_dense) {
  UNUSED;
  if (count != 4) return fail("fused_dense has three inputs and one output");
  dense(values, 0);
  return 0;
}

KERNEL(fused_dense_relu) {
  UNUSED;
  if (count != 4) return fail("fused_dense_relu has three inputs and one output");
  dense(values, 1);
  return 0;
}
