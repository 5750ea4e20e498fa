/* A plugin that breaks the interface, as its model file says in one word. */
#include <skerry/runtime_plugin.h>
#include <stddef.h>
#include <string.h>

struct SkerryModel {
  char fault[32];
};
static struct SkerryModel the_model; /* tests load one at a time */

static const int64_t kShape[] = {2};
static const SkerryTensorSpec kInput = {sizeof kInput, SKERRY_FP32, "x", 1, kShape};
static const SkerryTensorSpec kOutput = {sizeof kOutput, SKERRY_FP32, "y", 1, kShape};
static const SkerryTensorSpec kNoType = {sizeof kNoType, 99, "x", 1, kShape};

static int32_t open_model(SkerryLoad* load, SkerryModel** model) {
  const void* data = 0;
  size_t size = 0;
  const int32_t code = load->read(load, load->main_file, &data, &size);
  if (code != SKERRY_OK) return code;
  memset(&the_model, 0, sizeof the_model);
  memcpy(the_model.fault, data, size < 31 ? size : 31);
  *model = &the_model;
  if (strcmp(the_model.fault, "no message") == 0) return SKERRY_UNSUPPORTED;
  return SKERRY_OK;
}

static const SkerryTensorSpec* input(SkerryModel* model, uint32_t index) {
  if (strcmp(model->fault, "endless inputs") == 0) return &kInput;
  if (strcmp(model->fault, "no type") == 0) return index == 0 ? &kNoType : 0;
  return index == 0 ? &kInput : 0;
}

static const SkerryTensorSpec* output(SkerryModel* model, uint32_t index) {
  (void)model;
  return index == 0 ? &kOutput : 0;
}

static int32_t run_model(SkerryModel* model, SkerryRun* run) {
  const int64_t other[] = {3};
  const char* fault = model->fault;
  if (strcmp(fault, "no output") == 0) return SKERRY_OK;
  if (strcmp(fault, "another shape") == 0 && run->output(run, 0, 1, other, 12)) return SKERRY_OK;
  if (strcmp(fault, "another size") == 0 && run->output(run, 0, 1, kShape, 4)) return SKERRY_OK;
  if (strcmp(fault, "another index") == 0 && run->output(run, 7, 1, kShape, 8)) return SKERRY_OK;
  if (strcmp(fault, "twice") == 0 && run->output(run, 0, 1, kShape, 8) &&
      run->output(run, 0, 1, kShape, 8)) {
    return SKERRY_OK;
  }
  return SKERRY_RESOURCE_EXHAUSTED;
}

static void close_model(SkerryModel* model) {
  (void)model;
}

static const SkerryRuntime kRuntime = {offsetof(SkerryRuntime, memory),
                                       SKERRY_RUNTIME_ABI,
                                       "wrong",
                                       "1",
                                       0,
                                       1u << SKERRY_FP32,
                                       open_model,
                                       input,
                                       output,
                                       0,
                                       run_model,
                                       close_model,
                                       0};

const SkerryRuntime* skerry_runtime_plugin(uint32_t host_abi) {
  (void)host_abi;
  return &kRuntime;
}
