/* Asks a model of a skerry-infer on this machine, through shared memory:
 *
 *   ring_client SOCKET MODEL INPUT VALUE…
 *
 * VALUEs are the one row of the FP32 input INPUT. Prints each output's name and its numbers. */
#include <skerry/infer_client.h>
#include <stdio.h>
#include <stdlib.h>

enum { kMaxValues = 1024 };

static void print_output(const SkerryClientTensor* output) {
  printf("%s", output->name);
  const float* values = output->data;
  for (uint64_t i = 0; output->type == SKERRY_FP32 && i < output->bytes / sizeof *values; ++i) {
    printf(" %g", values[i]);
  }
  printf("\n");
}

int main(int argc, char** argv) {
  if (argc < 5 || argc > 4 + kMaxValues) {
    fprintf(stderr, "usage: ring_client SOCKET MODEL INPUT VALUE...\n");
    return 2;
  }
  float values[kMaxValues];
  const int64_t shape[] = {1, argc - 4};
  for (int i = 4; i < argc; ++i) values[i - 4] = strtof(argv[i], NULL);

  SkerryClientOptions options = {0};
  options.size = sizeof options;
  options.socket_path = argv[1];
  SkerryClient* client = NULL;
  char reason[256];
  if (skerry_client_open(&options, &client, reason, sizeof reason) != SKERRY_STATUS_OK) {
    fprintf(stderr, "ring_client: %s\n", reason);
    return 3;
  }
  const SkerryClientTensor input = {argv[3], SKERRY_FP32, 2,
                                    shape,   values,      (uint64_t)shape[1] * sizeof *values};
  SkerryClientRequest request = {0};
  request.size = sizeof request;
  request.model = argv[2];
  request.inputs = &input;
  request.input_count = 1;
  SkerryClientAnswer answer = {0};
  answer.size = sizeof answer;
  const int status = skerry_client_infer(client, &request, &answer);
  if (status != SKERRY_STATUS_OK) fprintf(stderr, "ring_client: %s\n", answer.message);
  for (size_t i = 0; i < answer.output_count; ++i) print_output(&answer.outputs[i]);
  skerry_client_release(client, &answer);
  skerry_client_close(client);
  return status == SKERRY_STATUS_OK ? 0 : 1;
}
